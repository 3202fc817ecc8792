//! A target without room: the restore says so, and what was there before is untouched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use archive::channel::{FailedCause, SwapJob, Target, Unpacked};
use archive::look::look;
use archive::swap::{SwapError, discard, swap};
use archive::unpack::UnpackError;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use support::stream::Stream;
use support::{feed, job, open, tree};

/// A small file system with old content; unmounted when it goes.
struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let small = Self { dir };
        let options = std::ffi::CString::new(options).unwrap();
        fs::create_dir(small.root()).unwrap();
        mount("tmpfs", small.root(), "tmpfs", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        fs::create_dir(small.root().join("old")).unwrap();
        tree::write(&small.root().join("old/file"), b"old");
        small
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(self.root(), UnmountFlags::DETACH).unwrap();
    }
}

fn restore(root: &Path, s: &Stream) -> Result<Unpacked, UnpackError> {
    feed(root, &job(Target::Staging, 2), s.records(100, 1 << 20), Some(&s.end()))
}

/// The restore fails for want of room; the old content stays, and all room comes back.
#[track_caller]
fn check(name: &str, options: &str, stream: &Stream, want: FailedCause) {
    let small = Small::new(options);
    let old = tree::describe(&small.root().join("old"));
    let before = look(open(&small.root()).as_fd()).unwrap();
    let error = restore(&small.root(), stream).unwrap_err();
    assert_eq!(error.cause(), want, "{name}: {error}");
    assert_eq!(tree::describe(&small.root().join("old")), old, "{name}");
    let root = open(&small.root());
    let refused = swap(root.as_fd(), &SwapJob { run: "r1".to_owned(), keep_previous: false });
    assert!(matches!(refused, Err(SwapError::NotWhole { .. })), "{name}: {refused:?}");
    let left = look(root.as_fd()).unwrap();
    assert_eq!(left.staged.len(), 1, "{name}");
    assert!(!left.staged[0].swapping, "{name}");
    discard(root.as_fd(), "r1").unwrap();
    assert_eq!(look(root.as_fd()).unwrap(), before, "{name}");
    assert_eq!(tree::describe(&small.root().join("old")), old, "{name}");
}

#[test]
fn no_room_for_bytes() {
    let mut s = Stream::new();
    s.file(b"large", &vec![7; 6 << 20]);
    check("one large file", "size=4m", &s, FailedCause::Full);
    let mut s = Stream::new();
    for i in 0..2000 {
        s.file(format!("{i:05}").as_bytes(), &[7; 4096]);
    }
    check("many small files", "size=4m", &s, FailedCause::Full);
}

#[test]
fn no_inodes() {
    let mut s = Stream::new();
    for i in 0..100 {
        s.folder(format!("{i:05}").as_bytes());
    }
    check("folders", "size=4m,nr_inodes=50", &s, FailedCause::Full);
}

#[test]
fn a_read_only_target_is_told() {
    let small = Small::new("size=4m");
    mount_remount(small.root(), MountFlags::RDONLY, "").unwrap();
    assert!(look(open(&small.root()).as_fd()).unwrap().read_only);
    assert_eq!(restore(&small.root(), &Stream::new()).unwrap_err().cause(), FailedCause::ReadOnly);
}

#[test]
fn xattrs_beyond_what_a_file_may_have_are_told_and_are_no_full_disk() {
    // ext4 says "no space" here; other file systems may take them all.
    let mut s = Stream::new();
    let values = (0..40_u8).map(|i| support::stream::xattr(&format!("user.{i:02}"), &[i; 1000])).collect();
    s.file(b"f", b"whole").xattrs = values;
    let dir = tempfile::tempdir().unwrap();
    let done = feed(dir.path(), &job(Target::Empty, 1), s.records(10, 100), Some(&s.end())).unwrap();
    let kept = tree::xattrs(&dir.path().join("f")).len() as u64;
    assert_eq!(kept + done.notes.attributes, 40);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"whole");
}

#[test]
fn a_look_changes_nothing_and_tells_what_is_there() {
    let small = Small::new("size=4m,nr_inodes=100");
    let root = open(&small.root());
    restore(&small.root(), &Stream::new()).unwrap();
    let looked = look(root.as_fd()).unwrap();
    assert_eq!(looked.top_entries, 1);
    assert!(looked.free_bytes > 3 << 20 && looked.free_bytes <= 4 << 20);
    assert!(looked.free_inodes.is_some_and(|n| n < 100));
    assert!(!looked.read_only);
    assert_eq!(looked.staged[0].run, "r1");
    assert_eq!(looked, look(root.as_fd()).unwrap());
}
