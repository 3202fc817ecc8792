//! A tar archive that other software made, to a tree.
//!
//! ```text
//! bytes → unwrap (gzip, zstd, or as they are) → members (headers, records, maps) → place (what of it, and where)
//!       → build (beneath the root)            … and last, from a file without a name, what folders look like
//! ```
//!
//! The archive is hostile throughout. Always true:
//! * Nothing outside the root is opened, created or changed, whatever names and links say.
//! * Where readers of tar disagree on what comes next, nobody's guess is taken: such an archive is refused.
//! * Success means that the archive came to its own end, and so did what it was compressed with. One that was cut short
//!   is refused, wherever the cut is.
//! * What cannot be carried is counted and named, never left out in silence.
//! * Memory does not grow with the archive: limits are checked before anything is taken.

mod build;
mod error;
mod folders;
mod header;
mod later;
mod map;
mod members;
mod place;
mod records;
mod unwrap;

use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};

pub(crate) use self::error::ForeignError;
use crate::channel::{UntarJob, Untarred};
use crate::foreign::build::Builder;
use crate::foreign::members::Members;
use crate::foreign::place::Place;
use crate::foreign::unwrap::Unwrapped;
use crate::path::TreePath;

/// The error of an input whose sender broke off: nothing about the archive.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BrokenOff(pub(crate) String);

impl BrokenOff {
    fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Hears how far it is: entries, bytes, and the member at hand.
pub(crate) type Pulse<'a> = &'a dyn Fn(u64, u64, &TreePath);

/// Makes of the archive `input` a tree in the empty folder `root`.
pub(crate) fn untar(
    root: OwnedFd,
    job: &UntarJob,
    input: Box<dyn Read + '_>,
    pulse: Pulse<'_>,
) -> Result<Untarred, ForeignError> {
    crate::look::check_empty(root.as_fd()).map_err(ForeignError::Target)?;
    let unwrapped = Unwrapped::begin(input)?;
    let wrapping = unwrapped.wrapping;
    let mut members = Members::new(unwrapped);
    let mut builder = Builder::new(root, Place::of(job), pulse)?;
    while let Some(member) = members.next()? {
        builder.member(member, &mut members)?;
    }
    members.finish()?;
    builder.finish(wrapping)
}
