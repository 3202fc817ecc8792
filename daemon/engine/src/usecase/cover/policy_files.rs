//! The files of a folder of policies.
//!
//! A policy is a regular file `NAME.toml`; links to one are followed, for many tools lay files out that way.
//! `Cargo.toml` and names that begin with a dot are nobody's policy.
//!
//! Always true: a file that cannot be read, that others may write, or that changes while it is read is a
//! complaint, and any complaint makes the whole folder bad. Nothing here waits: no fifo, no device is read.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use policies::complaint::{Complaint, Complaints};
use policies::policy::Folder;

use crate::absent::is_dangling;
use crate::adapter::store::url::StoreUrl;
use crate::failure::{Class, Failure};

/// Whose files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those of root and of our own user that nobody else may write: what they say, root does.
    Owned,
    /// Anybody's, to be judged and no more.
    Anybodys,
}

/// Why there are no policies.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The folder itself.
    #[error("{0}")]
    Folder(Failure),
    /// Its files.
    #[error("{0}")]
    Files(Complaints),
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Folder(failure) => failure,
            Unread::Files(complaints) => {
                let all: Vec<String> = complaints.to_string().lines().map(str::to_owned).collect();
                Self::new(Class::Usage, all.join("; "))
                    .hint("correct them until `backupctl policy check` is content")
            }
        }
    }
}

/// More is no folder of policies.
const FILES_MAX: usize = 1_000;

/// One byte more than a policy may have, so that judging sees that it is too long.
const FILE_BYTES_MAX: u64 = (256 << 10) + 1;

/// A file that is replaced while it is read is read again, so often.
const TRIES: usize = 3;

/// Reads and judges all files of `folder`.
pub fn read_folder(folder: &Path, trust: Trust) -> Result<Folder, Unread> {
    let names = names(folder, trust).map_err(Unread::Folder)?;
    let (mut files, mut all) = (Vec::new(), Vec::new());
    for name in names {
        match read(&folder.join(&name), trust) {
            Ok(text) => files.push((name.to_string_lossy().into_owned(), text)),
            Err(message) => {
                let file = name.to_string_lossy().escape_debug().to_string();
                all.push(Complaint { file, line: 1, column: 1, message });
            }
        }
    }
    match Folder::judge(files.iter().map(|(name, text)| (name, text))) {
        Ok(judged) if all.is_empty() => {
            let all = bad_stores(&judged, &files);
            if all.is_empty() { Ok(judged) } else { Err(Unread::Files(Complaints { all })) }
        }
        Ok(_) => Err(Unread::Files(Complaints { all })),
        Err(complaints) => {
            all.extend(complaints.all);
            all.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            Err(Unread::Files(Complaints { all }))
        }
    }
}

/// What is wrong with the addresses of stores: the language knows their shape, and we their parameters.
fn bad_stores(judged: &Folder, files: &[(String, String)]) -> Vec<Complaint> {
    let mut all = Vec::new();
    for policy in judged.policies() {
        let Some(store) = policy.terms().and_then(|terms| terms.store.as_deref()) else { continue };
        let Err(why) = store.parse::<StoreUrl>() else { continue };
        let file = format!("{}.toml", policy.name);
        let text = files.iter().find(|(name, _)| *name == file).map_or("", |(_, text)| text);
        let line = text.lines().position(|line| line.trim_start().starts_with("store")).unwrap_or(0) + 1;
        all.push(Complaint { file, line, column: 1, message: format!("`store` cannot be used: {why}") });
    }
    all
}

fn names(folder: &Path, trust: Trust) -> Result<Vec<std::ffi::OsString>, Failure> {
    let shown = folder.display();
    let refused = |e: io::Error| {
        if is_dangling(folder) {
            return Failure::not_found(format!(
                "the folder of policies `{shown}` is behind a link to nothing"
            ))
            .hint("put back what the link names: is its disk mounted, is the checkout there?");
        }
        if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            return Failure::not_found(format!("there is no folder of policies `{shown}`"))
                .hint("name one with `--policies DIR`, or make it and write policies into it");
        }
        Failure::failed(format!("read the folder of policies `{shown}`")).because(e)
    };
    let about = fs::metadata(folder).map_err(refused)?;
    if let Some(why) = distrust(&about, trust) {
        return Err(Failure::new(Class::Usage, format!("the folder of policies `{shown}` {why}")));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".toml") && !bytes.starts_with(b".") && bytes != b"Cargo.toml" {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            let what = format!("`{shown}` has more than {FILES_MAX} policies");
            return Err(Failure::new(Class::Usage, what).hint("is it the right folder? `--policies DIR`"));
        }
    }
    names.sort();
    Ok(names)
}

/// The text of a file, or why it has none.
fn read(path: &Path, trust: Trust) -> Result<String, String> {
    for _ in 0..TRIES {
        if let Some(text) = read_once(path, trust)? {
            return Ok(text);
        }
    }
    Err("changes while it is read; write policies beside the folder and rename them into it".to_owned())
}

/// `None` if the file is not the same before and after.
fn read_once(path: &Path, trust: Trust) -> Result<Option<String>, String> {
    let unreadable = |e: io::Error| {
        let gone = e.kind() == io::ErrorKind::NotFound;
        if gone { "is a link to nothing".to_owned() } else { format!("cannot be read: {e}") }
    };
    let mut file = open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    if !before.is_file() {
        return Err("is no regular file".to_owned());
    }
    if let Some(why) = distrust(&before, trust) {
        return Err(why);
    }
    let mut bytes = Vec::new();
    (&mut file).take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    let after = fs::metadata(path).map_err(unreadable)?;
    if stamp(&before) != stamp(&after) {
        return Ok(None);
    }
    String::from_utf8(bytes).map(Some).map_err(|_not_text| "is not text in UTF-8".to_owned())
}

/// Without waiting for the other end of a fifo.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn stamp(about: &Metadata) -> [i128; 5] {
    [
        about.dev().into(),
        about.ino().into(),
        about.len().into(),
        i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()),
        i128::from(about.ctime()) * 1_000_000_000 + i128::from(about.ctime_nsec()),
    ]
}

fn distrust(about: &Metadata, trust: Trust) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    match trust {
        Trust::Anybodys => None,
        Trust::Owned if about.uid() != 0 && about.uid() != us => {
            Some(format!("belongs to user {}, who could make backups stop; `chown root` it", about.uid()))
        }
        Trust::Owned if about.mode() & 0o002 != 0 => {
            Some("may be written by everybody; `chmod o-w` it".to_owned())
        }
        Trust::Owned => None,
    }
}
