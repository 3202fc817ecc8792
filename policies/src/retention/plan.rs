//! The plan: for every snapshot of a lineage what happens to it, and why.
//!
//! Made from values, printed, and then carried out as it is. Always true: every snapshot of the lineage is in it once,
//! and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::retention::bucket::Rule;
use crate::retention::counting::{Counted, count};
use crate::retention::keep::Keep;
use crate::retention::lineage::{Clock, Lineage, Number, Snapshot};
use crate::retention::reason::{Hold, Reason, Why, minute};

/// How far clocks may differ before nobody believes them.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(10);

/// What happens to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays: never empty.
    Keep(Vec<Reason>),
    /// It is deleted, and can be undeleted for the grace time.
    Delete(Why),
    /// It would be deleted or purged, but not now: never empty.
    Held(Vec<Hold>),
    /// It was deleted, and goes for good.
    Purge {
        /// When it was deleted.
        deleted_at: Timestamp,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |all: Vec<String>| all.join("; ");
        match self {
            Self::Keep(reasons) => {
                write!(f, "keep: {}", joined(reasons.iter().map(Reason::to_string).collect()))
            }
            Self::Delete(why) => write!(f, "delete: {why}"),
            Self::Held(holds) => write!(f, "held: {}", joined(holds.iter().map(Hold::to_string).collect())),
            Self::Purge { deleted_at } => write!(f, "purge: deleted at {}", minute(*deleted_at)),
        }
    }
}

/// A snapshot, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Which.
    pub number: Number,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// What.
    pub decision: Decision,
}

/// What happens to a lineage, the newest snapshot first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// For every snapshot.
    pub all: Vec<Decided>,
}

impl Plan {
    /// Those to delete now.
    pub fn deletes(&self) -> impl Iterator<Item = Number> {
        self.all.iter().filter(|d| matches!(d.decision, Decision::Delete(_))).map(|d| d.number)
    }

    /// Those to purge now.
    pub fn purges(&self) -> impl Iterator<Item = Number> {
        self.all.iter().filter(|d| matches!(d.decision, Decision::Purge { .. })).map(|d| d.number)
    }

    /// Whether it deletes more than it keeps, which a changed policy can do and an ordinary night does not: ask first.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        let kept = self.all.iter().filter(|d| matches!(d.decision, Decision::Keep(_))).count();
        self.deletes().count() > kept
    }
}

/// Makes the plan for a lineage.
#[must_use]
pub fn plan(lineage: &Lineage, keep: &Keep, zone: &TimeZone, clock: &Clock) -> Plan {
    let mut all: Vec<&Snapshot> = lineage.snapshots.iter().collect();
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.age_key()));
    let live: Vec<&Snapshot> = all.iter().copied().filter(|s| s.is_live()).collect();
    let counted = counted(&live, keep, zone, clock);
    let mut stay = reasons(&live, &counted, lineage.failed_at, keep, clock);
    for (number, by) in needed(&live, |s| stay.contains_key(&s.number)) {
        stay.entry(number).or_default().push(Reason::NeededBy { number: by });
    }
    let is_over =
        |s: &Snapshot| s.deleted_at.is_some_and(|at| clock.now.duration_since(at) >= keep.terms().grace);
    let wanted: BTreeMap<_, _> = needed(&all, |s| !is_over(s)).into_iter().collect();
    let holds = holds(lineage, clock);
    let mut decide = |s: &Snapshot| match s.deleted_at {
        None => match stay.remove(&s.number) {
            Some(reasons) => Decision::Keep(reasons),
            None if holds.is_empty() => Decision::Delete(why(s, &counted, keep)),
            None => Decision::Held(holds.clone()),
        },
        Some(at) if !is_over(s) => {
            let until = at.saturating_add(keep.terms().grace).unwrap_or(Timestamp::MAX);
            Decision::Held(vec![Hold::InGrace { until }])
        }
        Some(deleted_at) => match wanted.get(&s.number) {
            Some(number) => Decision::Held(vec![Hold::NeededBy { number: *number }]),
            None if holds.is_empty() => Decision::Purge { deleted_at },
            None => Decision::Held(holds.clone()),
        },
    };
    let decided = |s: &&Snapshot| Decided { number: s.number, taken_at: s.taken_at, decision: decide(s) };
    Plan { all: all.iter().map(decided).collect() }
}

/// What the counts say of those that they count.
fn counted(live: &[&Snapshot], keep: &Keep, zone: &TimeZone, clock: &Clock) -> Vec<(Rule, Counted)> {
    let counts = |s: &&&Snapshot| !s.by_hand && !is_future(s, clock);
    let scheduled: Vec<&Snapshot> = live.iter().filter(counts).copied().collect();
    let asked = Rule::ALL.into_iter().map(|rule| (rule, keep.count(rule))).filter(|(_, most)| *most > 0);
    asked.map(|(rule, most)| (rule, count(rule, most, &scheduled, zone))).collect()
}

/// Every reason to stay but the needs of others; those without one are not in it.
fn reasons(
    live: &[&Snapshot],
    counted: &[(Rule, Counted)],
    failed_at: Option<Timestamp>,
    keep: &Keep,
    clock: &Clock,
) -> BTreeMap<Number, Vec<Reason>> {
    let terms = keep.terms();
    let sane = || live.iter().filter(|s| !is_future(s, clock));
    let newest = sane().next();
    let newest_whole = sane().find(|s| !s.partial).filter(|whole| newest != Some(whole));
    let newest_proven = sane().find(|s| s.proven);
    let mut stay: BTreeMap<Number, Vec<Reason>> = BTreeMap::new();
    for s in live {
        let older_by =
            newest.map_or(SignedDuration::ZERO, |newest| newest.taken_at.duration_since(s.taken_at));
        let failed_at = failed_at.filter(|failed_at| {
            let since =
                newest.map_or(SignedDuration::ZERO, |newest| newest.taken_at.duration_since(*failed_at));
            s.taken_at > *failed_at && since <= terms.after_failure
        });
        let young = |most: SignedDuration| !is_future(s, clock) && older_by <= most;
        let by_state = [
            (newest == Some(s), Reason::Newest),
            (newest_whole == Some(s), Reason::NewestWhole),
            (newest_proven == Some(s), Reason::NewestProven),
            (s.pinned, Reason::Pinned),
            (is_future(s, clock), Reason::Future),
        ];
        let by_age = [
            (!terms.within.is_zero() && young(terms.within), Reason::Within { within: terms.within }),
            (s.by_hand && young(terms.by_hand), Reason::ByHand { stays: terms.by_hand }),
        ];
        let true_one = |(holds, reason): (bool, Reason)| holds.then_some(reason);
        let by_count = counted.iter().filter_map(|(_, counted)| counted.stay.get(&s.number).cloned());
        let mut reasons: Vec<Reason> = by_state.into_iter().filter_map(true_one).collect();
        reasons.extend(failed_at.map(|failed_at| Reason::AfterFailure { failed_at }));
        reasons.extend(by_count.chain(by_age.into_iter().filter_map(true_one)));
        if !reasons.is_empty() {
            stay.insert(s.number, reasons);
        }
    }
    stay
}

/// Whom those that stay need, directly or through others, and which newest one needs them; not who stays anyway.
fn needed(snapshots: &[&Snapshot], stays: impl Fn(&Snapshot) -> bool) -> Vec<(Number, Number)> {
    let by_number: BTreeMap<Number, &Snapshot> = snapshots.iter().map(|s| (s.number, *s)).collect();
    let mut known: BTreeSet<Number> = snapshots.iter().filter(|s| stays(s)).map(|s| s.number).collect();
    // A queue, the newest first.
    let mut queue: Vec<&Snapshot> = snapshots.iter().filter(|s| stays(s)).copied().collect();
    let mut needed = Vec::new();
    let mut at = 0;
    while let Some(snapshot) = queue.get(at).copied() {
        at += 1;
        let needs: BTreeSet<Number> = snapshot.needs.iter().copied().collect();
        for need in needs.iter().filter_map(|number| by_number.get(number)) {
            if known.insert(need.number) {
                needed.push((need.number, snapshot.number));
                queue.push(need);
            }
        }
    }
    needed
}

/// What stops all deleting in the lineage.
fn holds(lineage: &Lineage, clock: &Clock) -> Vec<Hold> {
    let mut flags: Vec<_> = lineage.flags.iter().collect();
    flags.sort_by_key(|(number, _)| *number);
    let flagged = |(number, flag): &(Number, _)| Hold::Flagged { number: *number, flag: Clone::clone(flag) };
    let ahead = clock.store.map(|store| clock.now.duration_since(store));
    let wrong = ahead.filter(|ahead| ahead.abs() > CLOCK_SLACK).map(|ahead| Hold::Clock { ahead });
    flags.into_iter().map(flagged).chain(wrong).collect()
}

/// Why one that has no reason to stay goes.
fn why(snapshot: &Snapshot, counted: &[(Rule, Counted)], keep: &Keep) -> Why {
    if snapshot.by_hand {
        return Why::ByHandOver { stayed: keep.terms().by_hand };
    }
    let replaced = counted.iter().find_map(|(rule, counted)| {
        let (bucket, by) = counted.replaced.get(&snapshot.number)?;
        Some(Why::Replaced { rule: *rule, bucket: bucket.clone(), by: *by })
    });
    replaced.unwrap_or(Why::Beyond)
}

fn is_future(snapshot: &Snapshot, clock: &Clock) -> bool {
    snapshot.taken_at.duration_since(clock.now) > CLOCK_SLACK
}
