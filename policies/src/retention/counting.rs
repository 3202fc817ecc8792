//! Counts buckets for one rule.
//!
//! Whole snapshots are counted as if there were no partial ones. Then all are counted together, and of a bucket that
//! the second count reaches and that holds nothing whole the newest partial one stays. So a partial snapshot never
//! pushes a whole one out, and a lineage that is always partial still keeps as many as it was told.
//!
//! Always true: of each bucket that a count reaches at least one snapshot stays, a whole one if there is one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use crate::retention::bucket::Rule;
use crate::retention::lineage::{Number, Snapshot};
use crate::retention::reason::Reason;

/// What a rule says of the snapshots that it counts.
pub(super) struct Counted {
    /// Those that stay, and as what.
    pub(super) stay: BTreeMap<Number, Reason>,
    /// For those that do not, although their bucket was reached: the bucket, and who stands for it.
    pub(super) replaced: BTreeMap<Number, (String, Number)>,
}

/// Counts `snapshots`, the newest first, up to `most` buckets.
pub(super) fn count(rule: Rule, most: u32, snapshots: &[&Snapshot], zone: &TimeZone) -> Counted {
    let labelled: Vec<_> = snapshots.iter().map(|s| (rule.label(s, zone), *s)).collect();
    let whole = || labelled.iter().filter(|(_, snapshot)| !snapshot.partial);
    let with_whole: BTreeSet<&str> = whole().map(|(label, _)| label.as_str()).collect();
    let all = reached(most, labelled.iter()).into_iter().filter(|(label, _)| !with_whole.contains(label));

    let mut stay = BTreeMap::new();
    let mut stands = BTreeMap::new();
    for (label, (place, snapshot)) in reached(most, whole()).into_iter().chain(all) {
        let (bucket, partial) = (label.to_owned(), snapshot.partial);
        stay.insert(snapshot.number, Reason::Counted { rule, place, of: most, bucket, partial });
        stands.insert(label, snapshot.number);
    }
    let replaced = labelled.iter().filter_map(|(label, snapshot)| {
        let by = stands.get(label.as_str()).filter(|by| **by != snapshot.number)?;
        Some((snapshot.number, (label.clone(), *by)))
    });
    Counted { replaced: replaced.collect(), stay }
}

/// The first `most` buckets, each with its place and its newest snapshot.
fn reached<'a>(
    most: u32,
    labelled: impl Iterator<Item = &'a (String, &'a Snapshot)>,
) -> BTreeMap<&'a str, (u32, &'a Snapshot)> {
    let mut buckets: BTreeMap<&str, (u32, &Snapshot)> = BTreeMap::new();
    let mut place = 0;
    for (label, snapshot) in labelled {
        if place < most && !buckets.contains_key(label.as_str()) {
            place += 1;
            buckets.insert(label, (place, snapshot));
        }
    }
    buckets
}
