//! What a tree on disk is like, exactly, holes among it; and whether a snapshot says the same.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use archive::channel::Packed;
use archive::entry::{Entry, Kind, ShortHash};
use archive::varint::Reader;
use rustix::fs::SeekFrom;

use crate::lineage::Lineage;

/// One entry as text that can be compared: kind, attributes, content as a hash, holes.
pub type Tree = BTreeMap<Vec<u8>, String>;

/// Records everything at and under `root`, which must lie on a file system that tells holes.
pub fn record(root: &Path) -> Tree {
    record_where(root, &|_path| true)
}

/// Records only what is wanted, as if nothing else were there.
pub fn record_where(root: &Path, is_wanted: &dyn Fn(&[u8]) -> bool) -> Tree {
    let mut tree = Tree::new();
    visit(root, root, is_wanted, &mut tree, &mut HashMap::new());
    tree
}

fn visit(
    root: &Path,
    at: &Path,
    is_wanted: &dyn Fn(&[u8]) -> bool,
    tree: &mut Tree,
    firsts: &mut HashMap<u64, String>,
) {
    let meta = fs::symlink_metadata(at).unwrap();
    let path = at.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    if is_wanted(&path) {
        let line = line_of(at, &path, &meta, firsts);
        tree.insert(path, line);
    }
    if meta.is_dir() {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort_by(|a, b| archive::path::compare(a.as_os_str().as_bytes(), b.as_os_str().as_bytes()));
        names.iter().for_each(|name| visit(root, name, is_wanted, tree, firsts));
    }
}

fn line_of(at: &Path, path: &[u8], meta: &fs::Metadata, firsts: &mut HashMap<u64, String>) -> String {
    let what = if meta.is_dir() {
        "d".to_owned()
    } else if meta.is_symlink() {
        format!("l {:?}", fs::read_link(at).unwrap().as_os_str().as_bytes())
    } else if meta.file_type().is_fifo() {
        "p".to_owned()
    } else if let Some(first) = firsts.get(&meta.ino()) {
        format!("h {first}")
    } else {
        firsts.insert(meta.ino(), format!("{:?}", archive::path::printable(path)));
        describe(&fs::read(at).unwrap(), &holes(at, meta.len()))
    };
    let xattrs = if what.starts_with('h') { Vec::new() } else { xattrs(at) };
    let times = (meta.mtime(), meta.mtime_nsec());
    format!("{what} {:o} {}:{} {times:?} {xattrs:?}", meta.mode() & 0o7777, meta.uid(), meta.gid())
}

fn describe(content: &[u8], holes: &[(u64, u64)]) -> String {
    format!("f {} {} {holes:?}", content.len(), blake3::hash(content).to_hex())
}

fn holes(path: &Path, size: u64) -> Vec<(u64, u64)> {
    let file = fs::File::open(path).unwrap();
    let (mut holes, mut at) = (Vec::new(), 0);
    while at < size {
        let data = rustix::fs::seek(&file, SeekFrom::Data(at)).unwrap_or(size).min(size);
        if data > at {
            holes.push((at, data));
        }
        at = if data < size { rustix::fs::seek(&file, SeekFrom::Hole(data)).unwrap() } else { size };
    }
    holes
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|b| *b == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        (String::from_utf8_lossy(name).into_owned(), value)
    };
    let mut xattrs: Vec<_> = names.map(value).collect();
    xattrs.sort();
    xattrs
}

/// What a snapshot says of the tree.
pub fn read(lineage: &Lineage, packed: &Packed) -> Tree {
    lineage.entries(packed).iter().map(|e| (e.path.as_bytes().to_vec(), line(lineage, e))).collect()
}

fn line(lineage: &Lineage, entry: &Entry) -> String {
    let what = match &entry.kind {
        Kind::Folder => "d".to_owned(),
        Kind::File { .. } => {
            let (content, holes) = lineage.content(entry);
            describe(&content, &holes)
        }
        Kind::Symlink { target } => format!("l {target:?}"),
        Kind::Hardlink { target } => format!("h {:?}", target.to_string()),
        Kind::Fifo => "p".to_owned(),
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Socket => "other".to_owned(),
    };
    let xattrs: Vec<_> = entry
        .xattrs
        .iter()
        .map(|x| (String::from_utf8_lossy(&x.name).into_owned(), x.value.clone()))
        .collect();
    let times = (entry.modified.seconds, i64::from(entry.modified.nanoseconds));
    format!("{what} {:o} {}:{} {times:?} {xattrs:?}", entry.mode, entry.uid, entry.gid)
}

/// Panics with what differs.
#[track_caller]
pub fn assert_same(got: &Tree, want: &Tree) {
    let mut paths: Vec<_> =
        got.keys().chain(want.keys()).filter(|path| got.get(*path) != want.get(*path)).collect();
    paths.dedup();
    let show = |path: &&Vec<u8>| {
        let name = archive::path::printable(path);
        format!("{name}\n   got {:?}\n  want {:?}", got.get(*path), want.get(*path))
    };
    assert!(paths.is_empty(), "{}", paths.iter().take(8).map(show).collect::<Vec<_>>().join("\n"));
}

/// Page and chunk hashes of every file are those of its content, by the definition.
#[track_caller]
pub fn check_hashes(lineage: &Lineage, packed: &Packed) {
    let mut want = Vec::new();
    for entry in lineage.entries(packed) {
        let Kind::File { size, .. } = entry.kind else { continue };
        let (content, holes) = lineage.content(&entry);
        let exponent = entry.witness.chunks.page_exponent;
        // A stream has pages as large as chunks, however long it came to be.
        let is_stream = entry.path.as_bytes().starts_with(b".backupd-dump/") && exponent == 20;
        assert!(is_stream || (exponent == 20) == (size <= 16 << 10), "{}", entry.path);
        let page = 1 << exponent;
        let hash = |(n, bytes): (usize, &[u8])| {
            let (from, to) = ((n * page) as u64, (n * page + bytes.len()) as u64);
            if holes.iter().any(|h| h.0 <= from && to <= h.1) { [0; 16] } else { short(bytes) }
        };
        let pages: Vec<_> = content.chunks(page).enumerate().map(hash).collect();
        let chunks: Vec<_> = pages.chunks((1 << 20) / page).map(chunk).collect();
        assert_eq!(entry.witness.chunks.hashes, chunks, "{}", entry.path);
        for (part, pages) in pages.chunks((64 << 20) / page).enumerate().filter(|_| exponent < 20) {
            if pages.iter().any(|page| *page != [0; 16]) {
                want.push((entry.path.as_bytes().to_vec(), part as u64, pages.to_vec()));
            }
        }
    }
    assert!(pages(lineage, packed) == want, "pages table");
}

fn short(bytes: &[u8]) -> ShortHash {
    *blake3::hash(bytes).as_bytes().first_chunk().unwrap()
}

fn chunk(pages: &[ShortHash]) -> ShortHash {
    match pages {
        [only] => *only,
        pages if pages.iter().all(|page| *page == [0; 16]) => [0; 16],
        pages => short(&pages.concat()),
    }
}

/// The rows of the pages table: path, part, pages.
pub fn pages(lineage: &Lineage, packed: &Packed) -> Vec<(Vec<u8>, u64, Vec<ShortHash>)> {
    let mut rows: Vec<(Vec<u8>, u64, Vec<ShortHash>)> = Vec::new();
    for at in lineage.segments(&packed.pages) {
        let raw = lineage.rows(&at);
        let mut segment = Reader::new(&raw);
        let (mut before, mut count) = (Vec::new(), 0);
        while !segment.is_empty() {
            let mut row = Reader::new(segment.bytes().unwrap());
            let shared = usize::try_from(row.number().unwrap()).unwrap();
            before.truncate(shared);
            before.extend_from_slice(row.bytes().unwrap());
            let part = row.number().unwrap();
            let hashes = row.rest().as_chunks::<16>().0.to_vec();
            rows.push((before.clone(), part, hashes));
            count += 1;
        }
        assert_eq!((count, before.as_slice()), (at.rows, at.last.as_bytes()));
    }
    rows
}
