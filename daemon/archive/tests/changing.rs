//! Sources that change while they are read, and what must not be touched: everything is in the snapshot as
//! it was at one moment, or has a note, and nothing outside is ever read.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/packs.rs"]
mod packs;
#[path = "support/planted.rs"]
mod planted;

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::channel::{NoteKind, Notes, Packed};
use archive::entry::{Entry, Extent, Kind};
use archive::pack::PackError;
use rustix::fs::{CWD, FileType, RenameFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use packs::{JOB, Opened, pack_folder, try_pack};
use planted::{node, write};

/// Large enough that its end cannot be read before the first piece has passed the sink.
const LARGE: usize = 24 << 20;

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A tree whose first file `a` is large; `change` happens while that one is read.
fn pack_while(fill: impl Fn(&Path), change: impl Fn(&Path) + Send + Sync) -> (Opened, Packed) {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a"), &noise(LARGE));
    fill(root.path());
    let mut changed = false;
    let hook = |_piece: &[u8]| {
        if !std::mem::replace(&mut changed, true) {
            change(root.path());
        }
        Ok(())
    };
    let (bytes, packed) = try_pack(root.path(), &JOB, hook).unwrap();
    (packs::open(&bytes, &packed), packed)
}

fn entry<'a>(opened: &'a Opened, path: &str) -> Option<&'a Entry> {
    opened.entries.iter().find(|entry| entry.path.as_bytes() == path.as_bytes())
}

/// A file's content as the pack holds it.
fn content(opened: &Opened, path: &str) -> Vec<u8> {
    let Kind::File { content, .. } = &entry(opened, path).unwrap().kind else { panic!("{path} is no file") };
    let mut bytes = Vec::new();
    for extent in content {
        match *extent {
            Extent::Hole { length } => bytes.resize(bytes.len() + length as usize, 0),
            Extent::Stored { position, length, .. } => {
                bytes.extend_from_slice(&opened.raw[position as usize..(position + length) as usize]);
            }
        }
    }
    bytes
}

/// The notes, as `what path: why`.
fn told(notes: &Notes) -> Vec<String> {
    notes.named.iter().map(|n| format!("{:?} {}: {}", n.what, n.path, n.why)).collect()
}

#[test]
fn a_file_that_grows_keeps_its_length() {
    let (opened, packed) = pack_while(
        |_| {},
        |root| {
            let file = fs::OpenOptions::new().append(true).open(root.join("a")).unwrap();
            std::io::Write::write_all(&mut &file, &[7; 5000]).unwrap();
        },
    );
    assert!(content(&opened, "a") == noise(LARGE));
    assert!(entry(&opened, "a").unwrap().witness.unsteady);
    assert_eq!(told(&packed.notes), ["Changed a: grew; what was appended is not in it"]);
    assert_eq!((packed.writes, packed.notes.is_partial()), (1, false));
}

#[test]
fn a_file_that_shrinks_keeps_its_length_with_zeros() {
    let cut = LARGE - (1 << 20) + 99;
    let (opened, packed) = pack_while(
        |root| write(&root.join("b"), b"next"),
        |root| {
            fs::OpenOptions::new().write(true).open(root.join("a")).unwrap().set_len(cut as u64).unwrap();
        },
    );
    let got = content(&opened, "a");
    assert!(got[..cut] == noise(cut) && got[cut..] == vec![0; LARGE - cut]);
    assert!(entry(&opened, "a").unwrap().witness.unsteady);
    assert_eq!(told(&packed.notes), ["Changed a: became shorter; what was cut off is kept as zeros"]);
    assert_eq!(content(&opened, "b"), b"next", "what follows stays in step");
}

#[test]
fn a_file_that_is_rewritten_counts_as_changed() {
    let (opened, packed) = pack_while(
        |_| {},
        |root| {
            let file = fs::OpenOptions::new().write(true).open(root.join("a")).unwrap();
            file.write_all_at(&[0; 512], LARGE as u64 - 512).unwrap();
        },
    );
    assert!(entry(&opened, "a").unwrap().witness.unsteady);
    assert_eq!((told(&packed.notes), packed.writes), (vec!["Changed a: ".to_owned()], 1));
}

/// Nobody wrote: a snapshot of files that stood still may have it.
#[test]
fn a_new_mode_or_name_is_told_and_is_no_write() {
    let (opened, packed) = pack_while(
        |_| {},
        |root| {
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o640)).unwrap();
            fs::hard_link(root.join("a"), root.join("a-too")).unwrap();
        },
    );
    assert!(entry(&opened, "a").unwrap().witness.unsteady);
    assert_eq!(told(&packed.notes), ["Changed a: its attributes or links changed"]);
    assert_eq!((packed.writes, packed.notes.named[0].is_of_a_write()), (0, false));
}

#[test]
fn what_vanishes_is_told_and_left_out() {
    let (opened, packed) = pack_while(
        |root| {
            write(&root.join("b"), b"file");
            fs::create_dir(root.join("c")).unwrap();
            symlink("x", root.join("d")).unwrap();
            write(&root.join("e"), b"stays");
        },
        |root| {
            fs::remove_file(root.join("b")).unwrap();
            fs::remove_dir(root.join("c")).unwrap();
            fs::remove_file(root.join("d")).unwrap();
        },
    );
    assert_eq!(told(&packed.notes), ["Vanished b: ", "Vanished c: ", "Vanished d: "]);
    assert_eq!((packed.totals.entries, packed.notes.is_partial(), packed.writes), (3, false, 3));
    assert_eq!(content(&opened, "e"), b"stays");
}

#[test]
fn what_is_swapped_for_another_kind_is_recorded_as_that_kind() {
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("secret"), b"must not be read");
    let (opened, packed) = pack_while(
        |root| {
            write(&root.join("b"), b"file");
            fs::create_dir(root.join("c")).unwrap();
            write(&root.join("d"), b"file");
        },
        |root| {
            fs::remove_file(root.join("b")).unwrap();
            symlink(outside.path().join("secret"), root.join("b")).unwrap();
            fs::remove_dir(root.join("c")).unwrap();
            symlink(outside.path(), root.join("c")).unwrap();
            fs::remove_file(root.join("d")).unwrap();
            node(&root.join("d"), FileType::Fifo, 0);
        },
    );
    assert!(matches!(entry(&opened, "b").unwrap().kind, Kind::Symlink { .. }));
    assert!(matches!(entry(&opened, "c").unwrap().kind, Kind::Symlink { .. }));
    assert_eq!(entry(&opened, "d").unwrap().kind, Kind::Fifo);
    assert_eq!((packed.totals.entries, packed.notes), (5, Notes::default()));
}

/// A thread swaps names as fast as it can; whatever the reader meets, it reads nothing outside.
#[test]
fn a_race_of_swaps_reads_nothing_outside() {
    const SECRET: &[u8] = b"the content of the file outside";
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("name"), SECRET);
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    write(&at("file"), b"inside");
    symlink(outside.path().join("name"), at("file-link")).unwrap();
    node(&at("fifo"), FileType::Fifo, 0);
    fs::create_dir(at("folder")).unwrap();
    write(&at("folder/name"), b"inside");
    symlink(outside.path(), at("folder-link")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (a, b) in [("file", "file-link"), ("folder", "folder-link"), ("file", "fifo")] {
                    rustix::fs::renameat_with(CWD, at(a), CWD, at(b), RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        let packs: Vec<_> = (0..150).map(|_| pack_folder(root.path())).collect();
        stop.store(true, Ordering::Relaxed);
        for (bytes, packed) in packs {
            let opened = packs::open(&bytes, &packed);
            assert!(!opened.raw.windows(SECRET.len()).any(|window| window == SECRET));
            for (entry, name) in opened.entries.iter().map(|e| (e, e.path.to_string())) {
                if let Kind::File { .. } = entry.kind {
                    assert_eq!(content(&opened, &name), b"inside", "{name}");
                }
            }
        }
    });
}

/// Nobody ever writes to the fifo, so whoever opened it to read would wait for ever.
#[test]
fn a_fifo_without_writer_holds_nobody_up() {
    let root = tempfile::tempdir().unwrap();
    node(&root.path().join("fifo"), FileType::Fifo, 0);
    let (done, wait) = std::sync::mpsc::channel();
    let path = root.path().to_owned();
    std::thread::spawn(move || done.send(pack_folder(&path)).unwrap());
    let (bytes, packed) = wait.recv_timeout(Duration::from_secs(60)).expect("packing waits for a fifo");
    assert_eq!(entry(&packs::open(&bytes, &packed), "fifo").unwrap().kind, Kind::Fifo);
}

/// A mount that goes with the test, however that ends.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: PathBuf, flags: MountFlags) -> Self {
        mount("tmpfs", &at, "tmpfs", flags, None).expect("this test needs root");
        Self(at)
    }

    fn bind(from: &Path, at: PathBuf) -> Self {
        rustix::mount::mount_bind(from, &at).expect("this test needs root");
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn mounts_inside_are_not_crossed() {
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("file"), b"bound file");
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["tmpfs", "same-device"] {
        fs::create_dir(at(name)).unwrap();
    }
    write(&at("bound"), b"covered");
    write(&at("z"), b"after");
    let _mounts = [
        Mounted::tmpfs(at("tmpfs"), MountFlags::empty()),
        Mounted::bind(outside.path(), at("same-device")),
        Mounted::bind(&outside.path().join("file"), at("bound")),
    ];
    write(&at("tmpfs/inner"), b"inner");
    let (bytes, packed) = pack_folder(root.path());
    let opened = packs::open(&bytes, &packed);
    assert_eq!(told(&packed.notes), ["OtherMount bound: ", "OtherMount same-device: ", "OtherMount tmpfs: "]);
    let paths: Vec<_> = opened.entries.iter().map(|e| e.path.to_string()).collect();
    assert_eq!(paths.len(), 5, "{paths:?}");
    assert!(content(&opened, "bound").is_empty());
    assert_eq!(content(&opened, "z"), b"after");
}

#[test]
fn reading_leaves_access_times_alone_even_where_nothing_can_be_written() {
    for read_only in [false, true] {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        fs::create_dir(&root).unwrap();
        let _mount = Mounted::tmpfs(root.clone(), MountFlags::from_bits_retain(1 << 24)); // strictatime
        fs::create_dir(root.join("folder")).unwrap();
        write(&root.join("folder/file"), b"read me");
        let paths = [root.clone(), root.join("folder"), root.join("folder/file")];
        for path in &paths {
            planted::set_time(path, 1_000_000_000, 0);
        }
        if read_only {
            mount_remount(&root, MountFlags::RDONLY, "").unwrap();
        }
        let (_, packed) = pack_folder(&root);
        assert_eq!((packed.totals.entries, packed.notes), (3, Notes::default()));
        for path in &paths {
            let accessed = fs::symlink_metadata(path).unwrap().accessed().unwrap();
            let since = accessed.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(since, 1_000_000_000, "{}", path.display());
        }
    }
}

/// Without the capabilities of root, so that permissions count.
#[test]
fn what_may_not_be_read_makes_the_snapshot_partial() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("b-folder")).unwrap();
    write(&at("b-folder/lost"), b"lost");
    for name in ["a-file", "c-file"] {
        write(&at(name), name.as_bytes());
    }
    fs::hard_link(at("a-file"), at("a-too")).unwrap();
    for name in ["a-file", "b-folder"] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let (bytes, packed) = std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let mut mine = capabilities(None).unwrap();
            mine.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            set_capabilities(None, mine).unwrap();
            pack_folder(root.path())
        });
        packing.join().unwrap()
    });
    let opened = packs::open(&bytes, &packed);
    let unreadable: Vec<_> = packed.notes.named.iter().map(|n| (n.what, n.path.as_str())).collect();
    let want = ["a-file", "a-too", "b-folder"].map(|path| (NoteKind::Unreadable, path));
    assert_eq!(unreadable, want);
    assert!(packed.notes.is_partial());
    assert!(entry(&opened, "a-file").is_none() && entry(&opened, "a-too").is_none());
    assert_eq!(entry(&opened, "b-folder").unwrap().kind, Kind::Folder);
    assert_eq!(content(&opened, "c-file"), b"c-file");
    assert_eq!(packed.totals.entries, 3);
}

/// The store's failure is the store's: no file is left out because of it, and there is no pack.
#[test]
fn a_sink_that_fails_in_the_middle_of_a_file_ends_the_backup() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a"), &noise(LARGE));
    for pieces in [0, 1, 7] {
        let mut taken = 0;
        let result = try_pack(root.path(), &JOB, |_| {
            taken += 1;
            if taken > pieces { Err(std::io::Error::other("store is gone")) } else { Ok(()) }
        });
        match result {
            Err(PackError::Sink(why)) => assert_eq!(why.to_string(), "store is gone"),
            other => panic!("{:?}", other.map(|(_, packed)| packed)),
        }
    }
}

#[test]
fn our_own_folders_are_left_out_at_the_top_only() {
    let root = tempfile::tempdir().unwrap();
    for name in [".backupd-restore-r1", ".backupd-previous-r1", ".backupd", "x/.backupd-restore-r1"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    let (bytes, packed) = pack_folder(root.path());
    let paths: Vec<_> =
        packs::open(&bytes, &packed).entries.iter().map(|e| e.path.as_bytes().to_vec()).collect();
    assert_eq!(paths, [&b""[..], b".backupd", b"x", b"x/.backupd-restore-r1"]);
}
