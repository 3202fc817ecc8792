//! What a backup leans on: the snapshot before it, or nothing.
//!
//! A function of values: the parent's manifest, the time, and what was asked for. Always true: a snapshot never
//! leans on a parent that is older than the last full one may be, needs at most [`PACKS_MAX`] packs besides its
//! own, and takes nothing from a pack of whose content less than a third is still wanted.

use std::collections::BTreeSet;
use std::fmt;

use archive::base::Base;
use jiff::Timestamp;

use crate::format::manifest::{Manifest, PackRef};
use crate::usecase::terms::RunTerms;

/// Packs behind one snapshot: a restore has to open each, and each is one more thing that can be lost.
pub const PACKS_MAX: usize = 40;

/// When there are too many, so few stay. What lay in the others is written anew, so it must not be for one
/// pack at a time.
const PACKS_KEPT: usize = 20;

/// One full snapshot in so many days, unless somebody says otherwise.
pub const FULL_EVERY_DAYS: u32 = 30;

/// Why a snapshot is a full one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyFull {
    /// There is nothing to lean on.
    First,
    /// Somebody asked for it.
    Asked,
    /// The last full one is that many days old.
    Due(i64),
    /// So many packs are behind the last one, more than its policy wants.
    Packs(usize),
    /// The snapshot before cannot be leaned on.
    Lost(String),
}

impl fmt::Display for WhyFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("it is the first"),
            Self::Asked => f.write_str("it was asked for"),
            Self::Due(days) => write!(f, "the last full one is {days} days old"),
            Self::Packs(packs) => write!(f, "{packs} packs are behind the last one"),
            Self::Lost(why) => write!(f, "the snapshot before cannot be compared with: {why}"),
        }
    }
}

/// What a new snapshot leans on.
pub(crate) fn base(
    parent: Option<&Manifest>,
    full: bool,
    terms: &RunTerms,
    now: Timestamp,
) -> Result<Base, WhyFull> {
    let parent = parent.ok_or(WhyFull::First)?;
    if full {
        return Err(WhyFull::Asked);
    }
    let age = now.duration_since(parent.full_taken_at());
    if age >= terms.full_every {
        return Err(WhyFull::Due(age.as_hours() / 24));
    }
    if terms.max_packs.is_some_and(|most| parent.packs.len() > most as usize) {
        return Err(WhyFull::Packs(parent.packs.len()));
    }
    Ok(Base {
        entries: parent.entries.clone(),
        pages: parent.pages.clone(),
        shun: shun(&parent.packs),
        reread: false,
    })
}

/// The packs that the next snapshot does without.
fn shun(packs: &[PackRef]) -> BTreeSet<u64> {
    // Not by `raw_bytes`: of many small files most is headers, which nobody ever wants again.
    let waste = |pack: &&PackRef| pack.used.saturating_mul(3) < pack.content_bytes;
    let mut shunned: BTreeSet<u64> = packs.iter().filter(waste).map(|pack| pack.id).collect();
    let mut kept: Vec<&PackRef> = packs.iter().filter(|pack| !shunned.contains(&pack.id)).collect();
    if kept.len() > PACKS_MAX {
        // Those that are needed least cost least to write again.
        kept.sort_by_key(|pack| (pack.used, pack.id));
        shunned.extend(kept[..kept.len() - PACKS_KEPT].iter().map(|pack| pack.id));
    }
    shunned
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
