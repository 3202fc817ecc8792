//! What the kernel says of one entry, in our types.
//!
//! Always true: a [`Stat`] comes from one `statx` call, so its fields belong together.

use std::ffi::CStr;
use std::io;

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags};

use crate::entry::Stamp;

/// Who an entry is: as long as these are equal, two looks saw the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Device number, major and minor.
    pub(crate) device: (u32, u32),
    /// Inode number.
    pub(crate) inode: u64,
    /// Birth, zero where the file system keeps none: an inode number that was used again is somebody else.
    pub(crate) born: Stamp,
}

/// Which mount an entry lies on.
///
/// The id says it all, and tells bind mounts of one file system apart. The device does not: overlayfs gives
/// files another one than folders, and btrfs each subvolume its own, all on one mount. Before Linux 5.8
/// there is no id, and the device has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mount {
    Id(u64),
    Device((u32, u32)),
}

/// One look at an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) identity: Identity,
    pub(crate) mount: Mount,
    pub(crate) kind: FileType,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Allocated bytes.
    pub(crate) allocated: u64,
    pub(crate) modified: Stamp,
    pub(crate) changed: Stamp,
    /// Major and minor number of a device node.
    pub(crate) node: (u32, u32),
    /// Immutable or append-only: nobody changes it, nor what it holds.
    pub(crate) fixed: bool,
}

impl Stat {
    /// Looks at a name in a folder, never through a link and never setting off an automount.
    pub(crate) fn of_name(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<Self> {
        Self::look(folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
    }

    /// Looks at what is open.
    pub(crate) fn of_open(file: BorrowedFd<'_>) -> io::Result<Self> {
        Self::look(file, c"", AtFlags::EMPTY_PATH)
    }

    fn look(at: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> io::Result<Self> {
        let statx = rustix::fs::statx(
            at,
            name,
            flags,
            StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID,
        )?;
        Ok(Self::from(&statx))
    }

    /// Whether both looks saw the same thing.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.kind == other.kind
    }

    /// Whether nothing of a file was changed between two looks at it.
    pub(crate) fn is_steady(&self, later: &Self) -> bool {
        self.size == later.size && self.modified == later.modified && self.changed == later.changed
    }

    /// Whether nobody wrote between two looks at the same file. A new link or owner moves the change time alone.
    pub(crate) fn has_same_content(&self, later: &Self) -> bool {
        self.size == later.size && self.modified == later.modified
    }
}

impl From<&Statx> for Stat {
    fn from(statx: &Statx) -> Self {
        let device = (statx.stx_dev_major, statx.stx_dev_minor);
        let knows_birth = statx.stx_mask & StatxFlags::BTIME.bits() != 0;
        let knows_mount = statx.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        let stamp = |seconds, nanoseconds| Stamp { seconds, nanoseconds };
        let born = stamp(statx.stx_btime.tv_sec, statx.stx_btime.tv_nsec);
        Self {
            identity: Identity {
                device,
                inode: statx.stx_ino,
                born: if knows_birth { born } else { stamp(0, 0) },
            },
            mount: if knows_mount { Mount::Id(statx.stx_mnt_id) } else { Mount::Device(device) },
            kind: FileType::from_raw_mode(statx.stx_mode.into()),
            mode: u32::from(statx.stx_mode) & 0o7777,
            links: statx.stx_nlink,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            size: statx.stx_size,
            allocated: statx.stx_blocks.saturating_mul(512),
            modified: stamp(statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec),
            changed: stamp(statx.stx_ctime.tv_sec, statx.stx_ctime.tv_nsec),
            node: (statx.stx_rdev_major, statx.stx_rdev_minor),
            fixed: statx.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_told_by_its_id_and_by_the_device_only_without_one() {
        let here =
            rustix::fs::statx(rustix::fs::CWD, c".", AtFlags::empty(), StatxFlags::BASIC_STATS).unwrap();
        #[track_caller]
        fn check(one: &Statx, change: impl Fn(&mut Statx), want_same: bool) {
            let mut other = *one;
            change(&mut other);
            assert_eq!(Stat::from(one).mount == Stat::from(&other).mount, want_same);
        }
        let mut with_id = here;
        with_id.stx_mask |= StatxFlags::MNT_ID.bits();
        check(&with_id, |_| {}, true);
        check(&with_id, |other| other.stx_dev_minor ^= 1, true);
        check(&with_id, |other| other.stx_mnt_id ^= 1, false);
        let mut without = here;
        without.stx_mask &= !StatxFlags::MNT_ID.bits();
        check(&without, |other| other.stx_mnt_id ^= 1, true);
        check(&without, |other| other.stx_dev_minor ^= 1, false);
    }
}
