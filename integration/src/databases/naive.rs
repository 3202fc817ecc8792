//! The control: a copy of a live volume, file after file, as `cp` or `tar` make it on their way to a store.
//!
//! Servers that start on it, or answer, prove nothing; their checkers tell. A checker that finds nothing wrong with any
//! of these copies would be one that proves nothing either.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

const PIECE: usize = 256 << 10;

/// Copies a folder while it changes, so many bytes a second. What vanishes on the way is left out, as `tar` does.
pub fn copy(from: &Path, to: &Path, bytes_per_second: u64) -> io::Result<()> {
    let mut pace = Pace { began: Instant::now(), bytes: 0, per_second: bytes_per_second };
    folder(from, to, &mut pace)
}

struct Pace {
    began: Instant,
    bytes: u64,
    per_second: u64,
}

impl Pace {
    /// Waits until so much may have been copied.
    fn wait(&mut self, more: u64) {
        self.bytes += more;
        let due = Duration::from_millis(self.bytes * 1000 / self.per_second.max(1));
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}

fn folder(from: &Path, to: &Path, pace: &mut Pace) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from)? {
        names.push(entry?.file_name());
    }
    names.sort();
    for name in names {
        match one(&from.join(&name), &to.join(&name), pace) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    like(from, to)
}

fn one(from: &Path, to: &Path, pace: &mut Pace) -> io::Result<()> {
    let about = fs::symlink_metadata(from)?;
    if about.is_dir() {
        fs::create_dir(to)?;
        return folder(from, to, pace);
    }
    if about.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !about.is_file() {
        return Ok(());
    }
    let (mut source, mut copy) = (File::open(from)?, File::create(to)?);
    let mut piece = vec![0; PIECE];
    loop {
        let length = source.read(&mut piece)?;
        if length == 0 {
            break;
        }
        copy.write_all(&piece[..length])?;
        pace.wait(u64::try_from(length).unwrap_or(u64::MAX));
    }
    like(from, to)
}

/// Owner and mode.
fn like(from: &Path, to: &Path) -> io::Result<()> {
    let about = fs::symlink_metadata(from)?;
    chown(to, Some(about.uid()), Some(about.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(about.mode() & 0o7777))
}
