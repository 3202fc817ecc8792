//! Which snapshots of a lineage stay, which go, and why: one plan over values, printed before anybody acts on
//! it.
//!
//! **What stays.** For each of `hourly`, `daily`, `weekly` (ISO weeks), `monthly` and `yearly` the newest
//! snapshot of every bucket, for as many of the newest buckets as asked for; the newest `last`; and all that
//! are no more than `within` older than the newest. A bucket counts if a snapshot is in it, however long ago:
//! a host that was off for three months loses nothing, and age itself is measured against the newest
//! snapshot, never against the clock.
//!
//! **What never goes**, whatever `keep` says: the newest snapshot and the newest proven one (verified or
//! drilled), of both also the newest whole one, pinned ones, any that one that stays needs, any that is dated
//! in the future, and any that is newer than the last failed run until the lineage is `after_failure` past
//! it. (That bound is there because a single failure would otherwise keep every later snapshot of a lineage
//! for ever.)
//!
//! **What does not count.** A snapshot made by hand fills no bucket; it stays for `by_hand`, 90 days by
//! default, and a pin keeps it longer. A partial snapshot pushes no whole one out: whole ones are counted as
//! if there were no partial ones, and a partial one stays only in a bucket that has nothing whole and would
//! be counted with the partial ones.
//!
//! **What waits.** Deleting is soft first: a deleted snapshot can be undeleted until `grace` is over, then it
//! is purged, unless one that is not purged needs it. Nothing is deleted and nothing purged while the guard
//! has flagged a snapshot that nobody has acknowledged, or while the clock disagrees with the store's.
//!
//! Always true, and tested against an oracle: the order of the input does not matter, only recorded times,
//! then numbers; a plan that was carried out plans nothing more; keeping more never deletes more; a pin never
//! deletes.

mod bucket;
mod counting;
pub mod guard;
mod keep;
mod lineage;
mod plan;
mod reason;
mod text;

pub use bucket::Rule;
pub use keep::{Keep, KeepError, Terms};
pub use lineage::{Clock, Lineage, Number, Snapshot};
pub use plan::{Decided, Decision, Plan, plan};
pub use reason::{Hold, Reason, Why};
pub use text::KeepTextError;

#[cfg(test)]
mod tests;
