//! Files that somebody is in the middle of updating: there is no pack of these where one of a moment between updates is asked for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "file times come from the system's clock")]

#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/planted.rs"]
mod planted;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use archive::channel::{PackJob, Packed};
use archive::clones::{Cloner, Scratch};
use archive::pack::{PackError, Still, System, pack};
use lineage::{How, Lineage};
use planted::write;
use rustix::fd::AsFd as _;

/// Another process that has a file locked; nobody's own locks are in his own way.
struct Locked(Child);

impl Locked {
    fn hold(path: &Path, kind: &str) -> Self {
        let program = format!(
            "import fcntl, sys\nwith open(sys.argv[1], 'r+b') as f:\n fcntl.lockf(f, fcntl.{kind} | fcntl.LOCK_NB)\n \
             print(flush=True)\n sys.stdin.read()"
        );
        let mut python = Command::new("python3");
        python.args(["-c", &program]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = Self(python.spawn().unwrap());
        holder.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        holder
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// A pass on top of the last snapshot, an hour later, so that nothing is too young; of a picture, if one is wanted.
fn pass(
    lineage: &mut Lineage,
    root: &Path,
    between_updates: bool,
    pictured: bool,
) -> Result<Packed, PackError> {
    let job = PackJob { between_updates, ..lineage.job(&How::default()) };
    let mut sink = |_: &[u8]| Ok(());
    let mut ask = |ask: &_| Ok(lineage.answer(ask));
    let scratch = match pictured {
        true => {
            Scratch { folder: Some(File::open(std::env::temp_dir()).unwrap().into()), cloner: Cloner::COPY }
        }
        false => Scratch::NONE,
    };
    let still = Still { scratch: &scratch, taken: &mut || Ok(()) };
    let now = || SystemTime::now() + Duration::from_secs(3600);
    let folder = File::open(root).unwrap();
    pack(
        folder.as_fd(),
        &job,
        &mut sink,
        &mut ask,
        &mut |_| {},
        System { now: &now, ..System::KERNEL },
        still,
    )
}

#[test]
fn a_moment_between_updates_is_one_at_which_no_rrd_file_that_changed_is_locked() {
    let root = tempfile::tempdir().unwrap();
    let [changed, same, other] = ["changed.rrd", "same.rrd", "other"].map(|name| root.path().join(name));
    for file in [&changed, &same] {
        write(file, b"RRD\x000003 as it was");
    }
    write(&other, b"as it was");
    let mut lineage = Lineage::default();
    lineage.snapshot(root.path(), &How::default());
    write(&changed, b"RRD\x000003 after it");
    write(&other, b"after it");

    for pictured in [false, true] {
        let mut pass = |between| pass(&mut lineage, root.path(), between, pictured);
        pass(true).unwrap();
        let locked = Locked::hold(&changed, "LOCK_EX");
        match pass(true) {
            Err(PackError::Updating(path)) => assert_eq!(path, "changed.rrd"),
            other => panic!("{other:?}"),
        }
        // Who does not ask for it reads on.
        pass(false).unwrap();
        drop(locked);
        for (file, kind) in [(&changed, "LOCK_SH"), (&same, "LOCK_EX"), (&other, "LOCK_EX")] {
            let _locked = Locked::hold(file, kind);
            pass(true).unwrap_or_else(|e| panic!("{kind} {}: {e}", file.display()));
        }
    }
}

/// Whoever stands still in the middle of one, because he was paused, leaves no newer time: what was read then is asked for again.
#[test]
fn a_file_that_was_locked_when_it_was_read_is_read_once_more() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("a.rrd");
    write(&file, b"RRD\x000003 torn");
    for pictured in [false, true] {
        let mut lineage = Lineage::default();
        let locked = Locked::hold(&file, "LOCK_EX");
        lineage.snapshot(root.path(), &How::default());
        let refused = pass(&mut lineage, root.path(), true, pictured);
        assert!(matches!(refused, Err(PackError::Updating(_))), "{refused:?}");
        drop(locked);
        pass(&mut lineage, root.path(), true, pictured).unwrap();
    }
}
