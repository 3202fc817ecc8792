//! Files of a length that nobody knows beforehand: that they come back as they were said, that what was said before is
//! not sent again, and that they stand beside or instead of what is in the source.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/deeds.rs"]
mod deeds;
#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/packs.rs"]
mod packs;
#[path = "support/planted.rs"]
mod planted;
mod support;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use archive::base::Ask;
use archive::channel::Packed;
use archive::entry::Kind;
use archive::pack::PackError;
use archive::pages::CHUNK_BYTES;
use archive::path::TreePath;
use archive::scope::{LeftOut, Planted, PlantedContent, Scope};
use deeds::content;
use lineage::{How, Lineage};
use planted::{chown_link, write};

const FOLDER: &str = ".backupd-dump";

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes().to_vec()).unwrap()
}

fn within(name: &str) -> TreePath {
    path(&format!("{FOLDER}/{name}"))
}

fn folder() -> Planted {
    Planted { path: path(FOLDER), content: PlantedContent::Folder, like: path("") }
}

/// The first pass: what is in the source or nothing of it, and what was said before.
fn first(with_files: bool, names: &[&str]) -> Scope {
    let leave_out = if with_files { Vec::new() } else { vec![LeftOut::Inside(path(""))] };
    let keep = names.iter().map(|name| within(name)).collect();
    Scope { leave_out, keep, plant: vec![folder()], ..Scope::default() }
}

fn second(said: &[(&str, &[u8])]) -> How {
    let stream = |name| Planted { path: within(name), content: PlantedContent::Stream, like: path("") };
    let plant = std::iter::once(folder()).chain(said.iter().map(|(name, _)| stream(name))).collect();
    let scope = Scope {
        leave_out: vec![LeftOut::At(path(FOLDER))],
        only: Some(vec![path(FOLDER)]),
        plant,
        ..Scope::default()
    };
    let streams = said.iter().map(|(name, bytes)| (within(name), bytes.to_vec())).collect();
    How { scope: Some(scope), streams, ..How::default() }
}

/// Both passes; how many bytes each sent, and what came of them.
#[track_caller]
fn take(lineage: &mut Lineage, root: &Path, with_files: bool, said: &[(&str, &[u8])]) -> (u64, u64, Packed) {
    let names: Vec<&str> = said.iter().map(|(name, _)| *name).collect();
    let one = lineage.snapshot(root, &How { scope: Some(first(with_files, &names)), ..How::default() });
    let two = lineage.snapshot(root, &second(said));
    model::check_hashes(lineage, &two);
    assert_eq!(two.used, lineage.count_used(&two));
    for (name, bytes) in said {
        let entry = lineage.entry(&two, &within(name).to_string());
        let owner = fs::metadata(root).unwrap();
        assert_eq!((entry.mode, entry.uid, entry.gid), (0o600, owner.uid(), owner.gid()));
        assert!(lineage.content(&entry) == (bytes.to_vec(), vec![]), "`{name}` is another one");
    }
    let inside = lineage.entries(&two).iter().filter(|entry| entry.path.is_within(&path(FOLDER))).count();
    assert_eq!(inside, 1 + said.len(), "the folder, and what was said now");
    (one.length, two.raw_bytes, two)
}

fn source() -> tempfile::TempDir {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    chown_link(root.path(), 70, 71);
    write(&root.path().join("a"), &content(1, 50_000));
    fs::create_dir(root.path().join("z")).unwrap();
    write(&root.path().join("z/b"), b"b");
    root
}

#[test]
fn a_stream_of_any_length_is_the_file() {
    let (root, chunk) = (source(), CHUNK_BYTES);
    let mut lineage = Lineage::default();
    for length in [1, 17_000, chunk - 1, chunk, chunk + 1, 3 * chunk + chunk / 2, 2 * chunk, 0] {
        let said = content(length as u32, length);
        let (_, _, packed) = take(&mut lineage, root.path(), true, &[("x.sql", &said)]);
        let others: model::Tree = model::read(&lineage, &packed)
            .into_iter()
            .filter(|(at, _)| !at.starts_with(FOLDER.as_bytes()))
            .collect();
        model::assert_same(&others, &model::record(root.path()));
        assert_eq!(packed.totals.files, 3);
        assert_eq!(packed.totals.bytes, 50_001 + length as u64);
    }
}

#[test]
fn what_was_said_before_is_not_sent_again() {
    let root = source();
    let mut lineage = Lineage::default();
    let mut said = content(7, 5 * CHUNK_BYTES + 9);
    let (_, sent, full) = take(&mut lineage, root.path(), false, &[("x", &said)]);
    assert_eq!((sent, full.totals.entries), (said.len() as u64, 3), "the root, the folder and the dump");
    let (one, sent, _) = take(&mut lineage, root.path(), false, &[("x", &said)]);
    assert_eq!((one, sent), (0, 0), "the first pass has no pack, and the second no content");
    said[2 * CHUNK_BYTES + 5] ^= 1;
    let (_, sent, _) = take(&mut lineage, root.path(), false, &[("x", &said)]);
    assert_eq!(sent, CHUNK_BYTES as u64, "the chunk that changed");
    // By another name, or behind something else: a whole chunk is found wherever it lies.
    let moved = [&content(9, CHUNK_BYTES)[..], &said].concat();
    let (_, sent, packed) = take(&mut lineage, root.path(), false, &[("x", &said), ("y", &moved)]);
    assert_eq!(sent, CHUNK_BYTES as u64, "what is new");
    // One that nobody asks for any more is gone.
    assert!(lineage.entries(&packed).iter().any(|entry| entry.path == within("y")));
    take(&mut lineage, root.path(), false, &[("x", &said)]);
}

#[test]
fn what_stands_in_its_place_in_the_source_is_not_in_the_snapshot() {
    let root = source();
    // As after a restore, and more.
    fs::create_dir_all(root.path().join(FOLDER).join("deep")).unwrap();
    write(&root.path().join(FOLDER).join("x"), &content(3, 300_000));
    write(&root.path().join(FOLDER).join("deep/old"), b"old");
    let mut lineage = Lineage::default();
    let live = lineage.snapshot(root.path(), &How::default());
    assert!(lineage.entries(&live).iter().any(|entry| entry.path == within("deep/old")));
    let said = content(4, 2 * CHUNK_BYTES);
    take(&mut lineage, root.path(), true, &[("x", &said)]);
    // And back: it is a file as any other.
    let live = lineage.snapshot(root.path(), &How::default());
    model::assert_same(&model::read(&lineage, &live), &model::record(root.path()));
}

#[test]
fn what_lies_in_a_pack_that_is_given_up_is_sent_anew() {
    let root = source();
    let mut lineage = Lineage::default();
    let said = content(7, 3 * CHUNK_BYTES);
    take(&mut lineage, root.path(), false, &[("x", &said)]);
    let shun = lineage.packs.keys().copied().collect();
    let one =
        lineage.snapshot(root.path(), &How { scope: Some(first(false, &["x"])), shun, ..How::default() });
    assert!(!lineage.entries(&one).iter().any(|entry| entry.path == within("x")), "it was carried over");
    let two = lineage.snapshot(root.path(), &second(&[("x", &said)]));
    assert_eq!(two.raw_bytes, said.len() as u64);
}

#[test]
fn a_stream_that_breaks_off_leaves_no_pack_and_needs_a_base() {
    let root = source();
    let mut lineage = Lineage::default();
    let said = content(7, 3 * CHUNK_BYTES);
    let how = second(&[("x", &said)]);
    let alone = How { scope: how.scope.clone().map(|scope| Scope { only: None, ..scope }), ..how.clone() };
    let failed = lineage.try_snapshot(root.path(), &alone, |_ask, answer| Ok(answer)).unwrap_err();
    assert!(matches!(&failed, PackError::Scope(why) if why.contains("has no length yet")), "{failed}");
    lineage.snapshot(root.path(), &How { scope: Some(first(false, &["x"])), ..How::default() });
    let mut left = 2;
    let failed = lineage.try_snapshot(root.path(), &how, |ask, answer| {
        left -= i32::from(matches!(ask, Ask::Stream(_)));
        if left < 0 { Err(io::Error::other("it is dead")) } else { Ok(answer) }
    });
    let failed = failed.unwrap_err();
    assert!(matches!(&failed, PackError::Unanswered(why) if why.to_string() == "it is dead"), "{failed}");
    let failed = lineage.try_snapshot(root.path(), &how, |ask, mut answer| {
        if matches!(ask, Ask::Stream(_)) {
            answer.push(0);
        }
        Ok(answer)
    });
    assert!(matches!(failed.unwrap_err(), PackError::Unanswered(_)), "more than a chunk at once");
}

/// The tarball of the first pass is one that any tar reads.
#[test]
fn the_folder_is_in_the_tarball_of_a_full_pass() {
    let root = source();
    let mut lineage = Lineage::default();
    let packed = lineage.snapshot(root.path(), &How { scope: Some(first(false, &["x"])), ..How::default() });
    let entry = lineage.entry(&packed, FOLDER);
    assert!(matches!(entry.kind, Kind::Folder) && entry.mode == 0o700, "{entry:?}");
    let raw = &lineage.packs.values().next().unwrap().raw;
    let mut reader = tar::Archive::new(raw.as_slice());
    let names: Vec<_> = reader.entries().unwrap().map(|one| one.unwrap().path_bytes().into_owned()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
