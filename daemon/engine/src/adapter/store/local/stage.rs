//! Files on their way to becoming objects, in the folder `.tmp` at the root of the store.
//!
//! A file gets its name as an object only when its content is synced, in one rename or link; then the folder
//! that holds the name is synced. Whoever looks sees the whole object or none. `<id>.put` files are locked by the
//! process that writes them, so one without a lock was left by a process that died, and is swept away at the
//! next opening. `<id>.part` files belong to uploads; `<id>.key` beside them holds the key.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, RenameFlags};
use rustix::io::Errno;

use super::folder::{Folder, is_missing};
use crate::port::store::{KEY_BYTES_MAX, OpenUpload, Put};

pub(super) const STAGE: &str = ".tmp";
const ID_BYTES: usize = 12;

/// The root and its staging folder.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) root: Folder,
    folder: Folder,
}

impl Stage {
    pub(super) fn open(root: Folder) -> io::Result<Arc<Self>> {
        let folder = match root.child(STAGE) {
            Ok(folder) => folder,
            Err(error) if is_missing(&error) => root.make(STAGE)?,
            Err(error) => return Err(error),
        };
        let stage = Self { root, folder };
        stage.sweep()?;
        Ok(Arc::new(stage))
    }

    /// Removes what puts of dead processes left. On a read-only file system nothing can be left behind by us.
    fn sweep(&self) -> io::Result<()> {
        for (name, _) in self.folder.entries()? {
            if !name.ends_with(".put") {
                continue;
            }
            let file = match self.folder.open(&name) {
                Ok(file) => file,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(error),
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                match self.folder.remove(&name) {
                    Ok(()) => {}
                    // A leftover is a few kilobytes and never read; a store that we may only read must open.
                    Err(error) => tracing::debug!(name, %error, "leave a staged file"),
                }
            }
        }
        Ok(())
    }

    /// Stores a whole small object.
    pub(super) fn put(&self, key: &str, bytes: &[u8], mode: Put) -> io::Result<()> {
        let (name, mut file) = self.new_locked()?;
        let placed =
            file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| self.place(&name, key, mode));
        if placed.is_err() {
            // Not an object yet, whatever failed; the first error is the one to tell.
            drop(self.folder.remove(&name));
        }
        placed
    }

    /// A sweeper of another process may lock, and so remove, the file between its creation and our lock.
    fn new_locked(&self) -> io::Result<(String, File)> {
        loop {
            let name = format!("{}.put", new_id()?);
            let file = self.folder.create(&name)?;
            let ours = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if ours && rustix::fs::fstat(&file)?.st_nlink == 1 {
                return Ok((name, file));
            }
        }
    }

    /// Gives a synced file its name as an object.
    fn place(&self, staged: &str, key: &str, mode: Put) -> io::Result<()> {
        let (folder, name) = self.root.reach(key)?;
        let (from, to) = (self.folder.as_fd(), folder.as_fd());
        match mode {
            Put::Replace => rustix::fs::renameat(&from, staged, &to, name)?,
            Put::IfAbsent => {
                match rustix::fs::renameat_with(&from, staged, &to, name, RenameFlags::NOREPLACE) {
                    Ok(()) => {}
                    // File systems without that flag have links, which never replace either.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        rustix::fs::linkat(&from, staged, &to, name, AtFlags::empty())?;
                        self.folder.remove(staged)?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        folder.sync()
    }

    /// Begins an upload. The key is noted first, so that no part is ever without an owner.
    pub(super) fn begin(&self, key: &str) -> io::Result<(OpenUpload, File)> {
        let id = new_id()?;
        let mut note = self.folder.create(&key_name(&id))?;
        note.write_all(key.as_bytes())?;
        note.sync_all()?;
        let file = self.folder.create(&part_name(&id))?;
        self.folder.sync()?;
        Ok((OpenUpload { key: key.to_owned(), id }, file))
    }

    /// Makes an upload's file, which is written whole, the object.
    pub(super) fn finish(&self, upload: &OpenUpload, file: &File) -> io::Result<u64> {
        let length = file.metadata()?.len();
        file.sync_all()?;
        self.place(&part_name(&upload.id), &upload.key, Put::Replace)?;
        self.folder.remove(&key_name(&upload.id))?;
        Ok(length)
    }

    /// Removes an upload; the note goes last, so that a part is never without an owner.
    pub(super) fn abort(&self, id: &str) -> io::Result<()> {
        if id.len() != 2 * ID_BYTES || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the id of an upload"));
        }
        self.folder.remove(&part_name(id))?;
        self.folder.remove(&key_name(id))
    }

    pub(super) fn uploads(&self) -> io::Result<Vec<OpenUpload>> {
        let mut found = Vec::new();
        for (name, _) in self.folder.entries()? {
            let Some(id) = name.strip_suffix(".key") else { continue };
            let mut key = String::new();
            match self.folder.open(&name).and_then(|file| {
                // Longer ones were not written by us; the bound keeps them out of memory.
                file.take(KEY_BYTES_MAX as u64 + 1).read_to_string(&mut key)
            }) {
                Ok(_) => found.push(OpenUpload { key, id: id.to_owned() }),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

fn key_name(id: &str) -> String {
    format!("{id}.key")
}

fn part_name(id: &str) -> String {
    format!("{id}.part")
}

fn new_id() -> io::Result<String> {
    let mut bytes = [0_u8; ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
