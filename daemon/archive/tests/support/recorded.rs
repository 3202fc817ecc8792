//! A tree on disk as values that can be compared: everything that a restore must give back.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of this")]

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};

/// One entry, without its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As `ls` prints it.
    pub kind: char,
    /// Twelve bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub modified: (i64, i64),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a device node.
    pub device: u64,
    /// Of a symbolic link.
    pub target: Vec<u8>,
    pub size: u64,
    pub hash: Option<blake3::Hash>,
    /// First path, in path order, of the file that has this name too.
    pub same_as: Option<Vec<u8>>,
    /// Noticeably less is allocated than the size asks for.
    pub sparse: bool,
}

/// Paths, relative and without `./`, to what is there; the root is the empty path.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// Records everything at and under `root`.
pub fn record(root: &Path) -> Tree {
    let folder = rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut recorder = Recorder::default();
    let stat = rustix::fs::fstat(&folder).unwrap();
    let xattrs = xattrs(&format!("/proc/self/fd/{}/.", folder.as_raw_fd()).into_bytes());
    recorder.tree.insert(Vec::new(), node(&stat, xattrs));
    recorder.folder(&folder, b"");
    recorder.tree
}

#[derive(Default)]
struct Recorder {
    tree: Tree,
    firsts: HashMap<(u64, u64), Vec<u8>>,
}

impl Recorder {
    fn folder(&mut self, folder: &OwnedFd, path: &[u8]) {
        let mut names: Vec<CString> = rustix::fs::Dir::read_from(folder)
            .unwrap()
            .map(|row| row.unwrap().file_name().to_owned())
            .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
            .collect();
        names.sort();
        for name in names {
            let path = match path {
                b"" => name.to_bytes().to_vec(),
                path => [path, b"/", name.to_bytes()].concat(),
            };
            self.entry(folder.as_fd(), &name, path);
        }
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CString, path: Vec<u8>) {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let proc = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name.to_bytes()].concat();
        let mut node = node(&stat, xattrs(&proc));
        let open = |flags| rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty()).unwrap();
        match node.kind {
            '-' => {
                if stat.st_nlink > 1 {
                    let first = self.firsts.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.clone());
                    node.same_as = (*first != path).then(|| first.clone());
                }
                node.hash = Some(hash(open(OFlags::RDONLY)));
            }
            'l' => node.target = rustix::fs::readlinkat(folder, name, Vec::new()).unwrap().into_bytes(),
            'd' => self.folder(&open(OFlags::RDONLY | OFlags::DIRECTORY), &path),
            _ => {}
        }
        self.tree.insert(path, node);
    }
}

fn node(stat: &Stat, xattrs: BTreeMap<Vec<u8>, Vec<u8>>) -> Node {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    };
    let size = u64::try_from(stat.st_size).unwrap();
    let allocated = u64::try_from(stat.st_blocks).unwrap() * 512;
    Node {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap()),
        xattrs,
        device: if matches!(kind, 'b' | 'c') { stat.st_rdev } else { 0 },
        target: Vec::new(),
        size: if kind == '-' { size } else { 0 },
        hash: None,
        same_as: None,
        sparse: kind == '-' && allocated + (32 << 10) < size,
    }
}

/// Of every page that is not all zero, with its offset: a hole and the zeros that it stands for are the same,
/// and a file that is nearly all hole is hashed at once.
fn hash(file: OwnedFd) -> blake3::Hash {
    const PAGE: usize = 4096;
    let file = std::fs::File::from(file);
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    let mut buffer = vec![0; 256 * PAGE];
    while let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(&file, SeekFrom::Hole(data)).unwrap();
        at = data / PAGE as u64 * PAGE as u64;
        while at < end {
            let length = file.read_at(&mut buffer, at).unwrap();
            assert!(length > 0, "a file ends before its data does");
            for (page, offset) in buffer[..length].chunks(PAGE).zip((at..).step_by(PAGE)) {
                if page.iter().any(|byte| *byte != 0) {
                    hasher.update(&offset.to_le_bytes()).update(page);
                }
            }
            at += length as u64;
        }
    }
    hasher.finalize()
}

fn xattrs(path: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, list.as_mut_slice()).unwrap();
    list[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// Panics with what differs, entry by entry.
#[track_caller]
pub fn assert_equal(got: &Tree, want: &Tree) {
    let show = |path: &[u8]| archive::path::printable(path);
    let mut differences = Vec::new();
    for (path, node) in want {
        match got.get(path) {
            None => differences.push(format!("missing: {}", show(path))),
            Some(found) if found != node => {
                differences.push(format!("{}:\n   got {found:?}\n  want {node:?}", show(path)));
            }
            Some(_) => {}
        }
    }
    differences.extend(
        got.keys().filter(|path| !want.contains_key(*path)).map(|path| format!("extra: {}", show(path))),
    );
    differences.truncate(20);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
