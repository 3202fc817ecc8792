//! The files of a restore that wait for bytes.
//!
//! A file whose bytes come in one piece is never opened here: whoever has the piece makes, fills, finishes
//! and closes it in one go. A file over several frames is made with its first piece and stays open, within
//! a bound, until every byte arrived; a descriptor closed for that bound is opened again when needed.
//!
//! Always true: each stored byte of each file is claimed once, by one worker; memory is counted.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::beneath;
use crate::channel::Piece;
use crate::path::TreePath;
use crate::unpack::coverage::{Coverage, RUN_BYTES};
use crate::unpack::error::UnpackError;
use crate::unpack::folders::Folders;

/// Descriptors of half-filled files that are kept open at once.
const OPEN_MAX: usize = 256;

/// What a waiting file takes in memory beyond names, xattrs and runs, roughly, for the books.
const FILE_BYTES: usize = 320;

/// What a waiting link takes beyond its name.
const LINK_BYTES: usize = 64;

/// What a file is to become.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) folder: u64,
    pub(crate) name: Box<[u8]>,
    pub(crate) size: u64,
    pub(crate) attributes: Attributes,
}

/// A further name for a file that is not there yet.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) folder: u64,
    pub(crate) name: Box<[u8]>,
}

/// What a worker that holds a piece has to do.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The piece is all that the file waits for: make it in this folder.
    Whole(Arc<Planned>, Arc<OwnedFd>),
    /// Write into this file.
    Part(Arc<Planned>, Arc<OwnedFd>),
}

/// A file that was made and is not full yet. Its inode tells it from whatever may stand there later.
#[derive(Debug)]
struct Made {
    device: u64,
    inode: u64,
    fd: Option<Arc<OwnedFd>>,
}

#[derive(Debug)]
struct Waiting {
    planned: Arc<Planned>,
    key: Key,
    missing: Coverage,
    in_flight: u32,
    made: Option<Made>,
    links: Vec<Link>,
}

/// Stands for a path in half the memory of a short one, and in none of that of a long one.
type Key = [u8; 16];

fn key(path: &TreePath) -> Key {
    *blake3::hash(path.as_bytes()).as_bytes().first_chunk().unwrap_or(&[0; 16])
}

/// All files that wait for bytes, by the number of their row.
#[derive(Debug, Default)]
pub(crate) struct Files {
    waiting: HashMap<u64, Waiting>,
    by_path: HashMap<Key, u64>,
    opened: VecDeque<u64>,
    bytes: usize,
}

impl Files {
    /// Memory that the files take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a file whose folder is held for it.
    pub(crate) fn add(&mut self, number: u64, path: &TreePath, planned: Planned, missing: Coverage) {
        let key = key(path);
        self.bytes += cost(&planned) + missing.runs() * RUN_BYTES;
        self.by_path.insert(key, number);
        let planned = Arc::new(planned);
        let file = Waiting { planned, key, missing, in_flight: 0, made: None, links: Vec::new() };
        self.waiting.insert(number, file);
    }

    /// Makes a link wait for its target; gives it back when the target is not waiting itself.
    pub(crate) fn add_link(&mut self, target: &TreePath, link: Link) -> Option<Link> {
        match self.by_path.get(&key(target)).and_then(|number| self.waiting.get_mut(number)) {
            Some(file) => {
                self.bytes += LINK_BYTES + link.name.len();
                file.links.push(link);
                None
            }
            None => Some(link),
        }
    }

    /// Claims the bytes of a piece.
    pub(crate) fn claim(&mut self, folders: &mut Folders, piece: &Piece) -> Result<Claim, UnpackError> {
        let Some(file) = self.waiting.get_mut(&piece.entry) else {
            return Err(UnpackError::hostile(
                format!("entry {}", piece.entry),
                "bytes for something that waits for none",
            ));
        };
        let planned = Arc::clone(&file.planned);
        let path = |folders: &Folders| folders.path(planned.folder, &planned.name);
        let runs = file.missing.runs();
        if !file.missing.take(piece.file_offset, u64::from(piece.length)) {
            return Err(UnpackError::hostile(path(folders), "bytes twice, into a hole, or beyond the end"));
        }
        self.bytes = self.bytes + file.missing.runs() * RUN_BYTES - runs * RUN_BYTES;
        file.in_flight += 1;
        let folder =
            folders.fd(planned.folder).map_err(|e| UnpackError::tree("open folder of", path(folders), e))?;
        if file.made.is_none() && file.missing.is_empty() {
            return Ok(Claim::Whole(planned, folder));
        }
        let (fd, fresh) =
            open_again(file, &folder).map_err(|e| UnpackError::tree("open", path(folders), e))?;
        if fresh {
            self.note_opened(piece.entry);
        }
        Ok(Claim::Part(planned, fd))
    }

    /// A claimed piece was written. True when it was the last one of its file.
    pub(crate) fn landed(&mut self, number: u64) -> bool {
        self.waiting.get_mut(&number).is_some_and(|file| {
            file.in_flight -= 1;
            file.in_flight == 0 && file.missing.is_empty()
        })
    }

    /// A file is finished; gives the links that waited for it.
    pub(crate) fn finished(&mut self, number: u64) -> Vec<Link> {
        let Some(file) = self.waiting.remove(&number) else { return Vec::new() };
        self.by_path.remove(&file.key);
        self.bytes -= cost(&file.planned) + file.missing.runs() * RUN_BYTES;
        self.bytes -= file.links.iter().map(|link| LINK_BYTES + link.name.len()).sum::<usize>();
        file.links
    }

    /// What a waiting file is to become.
    pub(crate) fn planned(&self, number: u64) -> Option<&Planned> {
        self.waiting.get(&number).map(|file| &*file.planned)
    }

    /// One file whose bytes did not all come, and how many are missing.
    pub(crate) fn left(&self) -> Option<(Arc<Planned>, u64)> {
        let first = self.waiting.keys().min()?;
        self.waiting.get(first).map(|file| (Arc::clone(&file.planned), file.missing.bytes()))
    }

    fn note_opened(&mut self, number: u64) {
        self.opened.push_back(number);
        if self.opened.len() > OPEN_MAX
            && let Some(oldest) = self.opened.pop_front()
            && let Some(made) = self.waiting.get_mut(&oldest).and_then(|file| file.made.as_mut())
        {
            made.fd = None;
        }
    }
}

fn cost(planned: &Planned) -> usize {
    FILE_BYTES + planned.name.len() + planned.attributes.heap_bytes()
}

/// The descriptor to write to, and whether it was opened just now.
fn open_again(file: &mut Waiting, folder: &OwnedFd) -> io::Result<(Arc<OwnedFd>, bool)> {
    if let Some(Made { fd: Some(fd), .. }) = &file.made {
        return Ok((Arc::clone(fd), false));
    }
    let name = &file.planned.name;
    let fd = if file.made.is_none() {
        let fd = beneath::make_file(folder.as_fd(), name)?;
        rustix::fs::ftruncate(&fd, file.planned.size)?;
        fd
    } else {
        beneath::open(folder.as_fd(), name, OFlags::WRONLY | OFlags::NONBLOCK)?
    };
    let stat = rustix::fs::fstat(&fd)?;
    if let Some(made) = &file.made
        && ((stat.st_dev, stat.st_ino) != (made.device, made.inode)
            || beneath::file_type(&stat) != FileType::RegularFile)
    {
        // Somebody put another file at this name since.
        return Err(Errno::EXIST.into());
    }
    let fd = Arc::new(fd);
    file.made = Some(Made { device: stat.st_dev, inode: stat.st_ino, fd: Some(Arc::clone(&fd)) });
    Ok((fd, true))
}
