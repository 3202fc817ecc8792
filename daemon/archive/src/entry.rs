//! One entry of a snapshot: everything about a file, folder or link that a restore gives back.
//!
//! Always true: `content` tiles a file exactly, so the lengths of its extents add up to its size.

use crate::path::TreePath;

/// A moment with nanoseconds; may lie before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Seconds since 1970, rounded towards the past.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below one thousand million.
    pub nanoseconds: u32,
}

/// Where a piece of a file's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Nothing is stored: it reads as zeros and is a hole again after a restore.
    Hole {
        /// Bytes of the file.
        length: u64,
    },
    /// A piece of a pack's raw content stream, which `zstd -dc` prints. It may run over frames.
    Stored {
        /// The pack's id within the lineage.
        pack: u64,
        /// Offset in the raw content stream of that pack.
        position: u64,
        /// Bytes of the file.
        length: u64,
    },
}

impl Extent {
    /// Bytes of the file that this extent stands for.
    pub fn length(&self) -> u64 {
        match self {
            Self::Hole { length } | Self::Stored { length, .. } => *length,
        }
    }
}

/// What an entry is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Apparent size.
        size: u64,
        /// Extents in file order; their lengths add up to `size`.
        content: Vec<Extent>,
    },
    /// A symbolic link, its target as it is.
    Symlink {
        /// Never followed by us, so any bytes may stand here.
        target: Vec<u8>,
    },
    /// A further name of a file that came earlier in path order.
    Hardlink {
        /// The first name.
        target: TreePath,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A socket: recorded, never carried. Programs make theirs again.
    Socket,
}

/// One extended attribute; ACLs and file capabilities are among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Name with its namespace, as `user.origin`.
    pub name: Vec<u8>,
    /// Value, any bytes.
    pub value: Vec<u8>,
}

/// What told the walk that nothing changed: compared by the next incremental, never restored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Witness {
    /// Inode number.
    pub inode: u64,
    /// Change time.
    pub changed: Stamp,
    /// The content moved while it was read, so it may not stand for "unchanged" next time.
    pub unsteady: bool,
    /// It may not do so for another reason: its times were too fresh to tell a later change by, or not all of its
    /// attributes could be read.
    pub young: bool,
    /// What the stored content of a regular file hashes to; nothing for all other kinds.
    pub chunks: Chunks,
}

/// The first 16 bytes of a BLAKE3, all zero for what lies wholly in a hole.
pub type ShortHash = [u8; 16];

/// Hashes of a file's content as it is stored, in pieces of 1 MiB: see [`crate::pages`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// Pages of the file are `1 << page_exponent` bytes long.
    pub page_exponent: u8,
    /// One for each chunk, or none at all.
    pub hashes: Vec<ShortHash>,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { page_exponent: crate::pages::CHUNK_EXPONENT, hashes: Vec::new() }
    }
}

/// One entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where, relative to the root of the source.
    pub path: TreePath,
    /// What.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: the low twelve bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time.
    pub modified: Stamp,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// For the next incremental.
    pub witness: Witness,
}

impl Entry {
    /// The apparent size; zero for everything but files.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File { size, .. } => *size,
            Kind::Folder
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => 0,
        }
    }
}
