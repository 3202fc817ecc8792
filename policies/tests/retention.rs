//! Retention against an oracle that knows no buckets and no order: for each snapshot on its own it asks whether there
//! is a reason to keep it, by looking at all the others.
//!
//! 50,000 random histories by default; `PROPTEST_CASES` says how many instead.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use policies::retention::guard::Flag;
use policies::retention::{Clock, Decision, Keep, Lineage, Number, Plan, Snapshot, Terms, plan};
use proptest::prelude::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// What one plan is made of.
#[derive(Debug, Clone)]
struct Case {
    lineage: Lineage,
    terms: Terms,
    zone: TimeZone,
    clock: Clock,
}

impl Case {
    fn plan(&self) -> Plan {
        plan(&self.lineage, &Keep::new(self.terms).unwrap(), &self.zone, &self.clock)
    }

    fn live(&self) -> impl Iterator<Item = &Snapshot> + Clone {
        self.lineage.snapshots.iter().filter(|s| s.deleted_at.is_none())
    }
}

fn now() -> Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

/// Seconds before now, at scales at which each rule has something to do.
fn age() -> impl Strategy<Value = i64> {
    prop_oneof![
        (0..60i64).prop_map(|n| n * 600),
        (0..40i64).prop_map(|n| n * DAY / 4 + 600),
        (0..30i64).prop_map(|n| n * 7 * DAY / 2),
        (0..30i64).prop_map(|n| n * 30 * DAY),
        // Around the hour that repeats in Berlin.
        (0..12i64).prop_map(|n| 27 * DAY - 2 * HOUR + n * HOUR / 2),
        -1000..1000i64,
        Just(-3650 * DAY),
    ]
}

fn flag(percent: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(percent) / 100.0)
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let state = (flag(20), flag(25), flag(20), flag(10));
    let needs = prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec(1..12u64, 1..3)];
    let deleted = prop::option::weighted(0.15, 0..20 * DAY);
    (age(), state, needs, deleted).prop_map(|(age, (by_hand, partial, proven, pinned), needs, deleted)| {
        Snapshot {
            number: 0,
            taken_at: now() - SignedDuration::from_secs(age),
            by_hand,
            partial,
            proven,
            pinned,
            needs,
            deleted_at: deleted.map(|ago| now() - SignedDuration::from_secs(ago)),
        }
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    let count = || prop_oneof![2 => Just(0u32), 3 => 1..6u32];
    let span = || prop_oneof![1 => Just(0), 2 => 0..20 * DAY, 1 => 0..400 * DAY];
    let counts = (count(), count(), count(), count(), count(), count());
    let spans = (span(), span(), span(), span());
    (counts, spans).prop_map(|((last, hourly, daily, weekly, monthly, yearly), spans)| {
        let span = SignedDuration::from_secs;
        let (within, by_hand, after_failure, grace) =
            (span(spans.0), span(spans.1), span(spans.2), span(spans.3));
        let nothing = last + hourly + daily + weekly + monthly + yearly == 0 && within.is_zero();
        let last = if nothing { 1 } else { last };
        Terms { last, hourly, daily, weekly, monthly, yearly, within, by_hand, after_failure, grace }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let snapshots = prop::collection::vec(snapshot(), 0..10);
    let doubts =
        (prop::option::weighted(0.3, 0..40 * DAY), flag(10), prop::option::weighted(0.2, -900..900i64));
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"]);
    (snapshots, terms(), doubts, zone).prop_map(|(mut snapshots, terms, (failed, flagged, store), zone)| {
        for (snapshot, number) in snapshots.iter_mut().zip(1..) {
            snapshot.number = number;
        }
        let failed_at = failed.map(|ago| now() - SignedDuration::from_secs(ago));
        let flags = if flagged { vec![(1, Flag::FilesLost { from: 9, to: 1, limit: 50 })] } else { vec![] };
        Case {
            lineage: Lineage { snapshots, failed_at, flags },
            terms,
            zone: TimeZone::get(zone).unwrap(),
            clock: Clock { now: now(), store: store.map(|off| now() + SignedDuration::from_secs(off)) },
        }
    })
}

/// The oracle: who stays, by reasons of its own or because a chain of needs leads to it.
fn stays(case: &Case) -> BTreeSet<Number> {
    let codes = case.live().map(|s| (s.number, codes(&s.taken_at.to_zoned(case.zone.clone())))).collect();
    let mut stays: BTreeSet<Number> =
        case.live().filter(|s| has_reason(case, &codes, s)).map(|s| s.number).collect();
    loop {
        let needs: Vec<Number> =
            case.live().filter(|s| stays.contains(&s.number)).flat_map(|s| s.needs.clone()).collect();
        let before = stays.len();
        stays.extend(case.live().map(|s| s.number).filter(|number| needs.contains(number)));
        if stays.len() == before {
            return stays;
        }
    }
}

/// For each snapshot numbers that say in which hour, day, week, month and year it was taken.
type Codes = BTreeMap<Number, [i64; 5]>;

fn codes(local: &Zoned) -> [i64; 5] {
    let week = local.date().iso_week_date();
    let day = i64::from(local.year()) * 1000 + i64::from(local.day_of_year());
    [
        // An hour that repeats has another offset.
        (day * 24 + i64::from(local.hour())) * 200_000 + i64::from(local.offset().seconds()),
        day,
        i64::from(week.year()) * 100 + i64::from(week.week()),
        i64::from(local.year()) * 100 + i64::from(local.month()),
        i64::from(local.year()),
    ]
}

fn has_reason(case: &Case, codes: &Codes, s: &Snapshot) -> bool {
    let (terms, now) = (&case.terms, case.clock.now);
    let future = |s: &Snapshot| s.taken_at > now + SLACK;
    if future(s) || s.pinned {
        return true;
    }
    let is_newer = |a: &Snapshot, b: &Snapshot| (a.taken_at, a.number) > (b.taken_at, b.number);
    let others = || case.live().filter(|o| !future(o));
    let newest_of =
        |wanted: fn(&Snapshot) -> bool| wanted(s) && !others().any(|o| wanted(o) && is_newer(o, s));
    if newest_of(|_| true) || newest_of(|s| !s.partial) || newest_of(|s| s.proven) {
        return true;
    }
    let newest = others().map(|o| o.taken_at).max().unwrap();
    let failed_before = |failed: Timestamp| failed < s.taken_at && newest <= failed + terms.after_failure;
    if case.lineage.failed_at.is_some_and(failed_before)
        || (terms.within > SignedDuration::ZERO && s.taken_at + terms.within >= newest)
    {
        return true;
    }
    if s.by_hand {
        return s.taken_at + terms.by_hand >= newest;
    }
    let counts = [terms.hourly, terms.daily, terms.weekly, terms.monthly, terms.yearly];
    let counted = |rule: usize, most: u32| {
        let same = |a: &Snapshot, b: &Snapshot| {
            a.number == b.number || (rule < 5 && codes[&a.number][rule] == codes[&b.number][rule])
        };
        // Partial ones see all others, whole ones only whole ones.
        let seen = || others().filter(|o| !o.by_hand && (s.partial || !o.partial));
        if s.partial && seen().any(|o| !o.partial && same(o, s)) {
            return false;
        }
        // As many newer buckets as there are snapshots that are the newest of a bucket that is not this one.
        let newest_there = |o: &Snapshot| !seen().any(|p| same(p, o) && is_newer(p, o));
        let newer = seen().filter(|o| is_newer(o, s) && !same(o, s) && newest_there(o)).count();
        newest_there(s) && newer < usize::try_from(most).unwrap()
    };
    counted(5, terms.last) || (0..5).any(|rule| counted(rule, counts[rule]))
}

fn decided(plan: &Plan, wanted: fn(&Decision) -> bool) -> BTreeSet<Number> {
    plan.all.iter().filter(|d| wanted(&d.decision)).map(|d| d.number).collect()
}

fn deleted(plan: &Plan) -> BTreeSet<Number> {
    plan.deletes().collect()
}

fn check_oracle(case: &Case) -> Result<(), TestCaseError> {
    let plan = case.plan();
    let numbers: BTreeSet<Number> = plan.all.iter().map(|d| d.number).collect();
    prop_assert_eq!(
        (plan.all.len(), numbers.len()),
        (case.lineage.snapshots.len(), case.lineage.snapshots.len())
    );
    let want = stays(case);
    prop_assert_eq!(&decided(&plan, |d| matches!(d, Decision::Keep(r) if !r.is_empty())), &want, "kept");

    let now = case.clock.now;
    let off = case.clock.store.is_some_and(|store| store > now + SLACK || now > store + SLACK);
    let held = off || !case.lineage.flags.is_empty();
    let rest = case.live().map(|s| s.number).filter(|number| !want.contains(number));
    prop_assert_eq!(deleted(&plan), if held { BTreeSet::new() } else { rest.collect() }, "deleted");

    let over = |s: &Snapshot| s.deleted_at.is_some_and(|at| at + case.terms.grace <= case.clock.now);
    let mut needed: BTreeSet<Number> =
        case.lineage.snapshots.iter().filter(|s| !over(s)).map(|s| s.number).collect();
    for _ in &case.lineage.snapshots {
        let more: Vec<_> = case.lineage.snapshots.iter().filter(|s| needed.contains(&s.number)).collect();
        needed = more.iter().flat_map(|s| s.needs.iter().copied().chain([s.number])).collect();
    }
    let gone = case.lineage.snapshots.iter().filter(|s| over(s) && !needed.contains(&s.number) && !held);
    prop_assert_eq!(plan.purges().collect::<BTreeSet<_>>(), gone.map(|s| s.number).collect(), "purged");
    Ok(())
}

fn check_properties(case: &Case, more: &Terms, pin: usize, seed: u64) -> Result<(), TestCaseError> {
    let plan = case.plan();
    let gone = deleted(&plan);

    let newest = |wanted: fn(&Snapshot) -> bool| {
        case.live().filter(|s| wanted(s)).max_by_key(|s| (s.taken_at, s.number)).map(|s| s.number)
    };
    for number in [newest(|_| true), newest(|s| s.proven), newest(|s| !s.partial)].into_iter().flatten() {
        prop_assert!(!gone.contains(&number), "@{} never goes", number);
    }

    let mut longer = case.clone();
    longer.terms = sum(&case.terms, more);
    prop_assert!(deleted(&longer.plan()).is_subset(&gone), "a longer keep deletes more");

    let mut pinned = case.clone();
    if let Some(snapshot) = pinned.lineage.snapshots.get_mut(pin) {
        snapshot.pinned = true;
        prop_assert!(deleted(&pinned.plan()).is_subset(&gone), "a pin deletes more");
    }

    let mut shuffled = case.clone();
    shuffled.lineage.snapshots.sort_by_key(|s| (s.number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    prop_assert_eq!(&shuffled.plan(), &plan, "the order of the input matters");

    // Carried out, with its tombstones and without.
    let mut after = case.clone();
    for snapshot in after.lineage.snapshots.iter_mut().filter(|s| gone.contains(&s.number)) {
        snapshot.deleted_at = Some(case.clock.now);
    }
    let purged: BTreeSet<Number> = plan.purges().collect();
    after.lineage.snapshots.retain(|s| !purged.contains(&s.number));
    prop_assert_eq!(deleted(&after.plan()), BTreeSet::new(), "a second plan deletes more");
    after.lineage.snapshots.retain(|s| s.deleted_at.is_none());
    let last = after.plan();
    prop_assert_eq!((deleted(&last), last.purges().count()), (BTreeSet::new(), 0), "a last plan finds more");
    Ok(())
}

fn sum(a: &Terms, b: &Terms) -> Terms {
    Terms {
        last: a.last + b.last,
        hourly: a.hourly + b.hourly,
        daily: a.daily + b.daily,
        weekly: a.weekly + b.weekly,
        monthly: a.monthly + b.monthly,
        yearly: a.yearly + b.yearly,
        within: a.within + b.within,
        by_hand: a.by_hand + b.by_hand,
        after_failure: a.after_failure + b.after_failure,
        grace: a.grace + b.grace,
    }
}

fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 50_000 };
    ProptestConfig { cases, failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn plans_are_those_of_the_oracle_and_keep_their_promises(
        case in case(),
        more in terms(),
        pin in 0..10usize,
        seed: u64,
    ) {
        check_oracle(&case)?;
        check_properties(&case, &more, pin, seed)?;
    }
}
