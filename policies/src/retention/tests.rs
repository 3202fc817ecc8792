//! Tables: what a policy keeps of a lineage, what it deletes, and the sentences that say why.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::retention::guard::Flag;
use crate::retention::{Clock, Keep, KeepError, Lineage, Plan, Rule, Snapshot, Terms, plan};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The table: `number date-and-time [words] | decision`, the newest first. Words: `hand`, `partial`, `proven`, `pinned`,
/// `needs=N`, `deleted=date`.
#[track_caller]
fn check(terms: Terms, now: &str, table: &str) {
    check_with(&Lineage::default(), terms, now, table);
}

#[track_caller]
fn check_with(doubts: &Lineage, terms: Terms, now: &str, table: &str) {
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|line| line.trim().split_once(" | ")).collect();
    let snapshots = rows.iter().map(|(row, _)| snapshot(row)).collect();
    let lineage = Lineage { snapshots, ..doubts.clone() };
    let got: Vec<_> = decide(&lineage, terms, now).all.iter().map(|d| d.decision.to_string()).collect();
    let want: Vec<_> = rows.iter().map(|(_, decision)| (*decision).to_owned()).collect();
    assert_eq!(got, want);
}

fn decide(lineage: &Lineage, terms: Terms, now: &str) -> Plan {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    plan(lineage, &Keep::new(terms).unwrap(), &zone, &Clock { now: time(now), store: None })
}

fn snapshot(row: &str) -> Snapshot {
    let words: Vec<&str> = row.split_whitespace().collect();
    let after = |start: &str| words.iter().find_map(|word| word.strip_prefix(start));
    Snapshot {
        number: words[0].parse().unwrap(),
        taken_at: time(words[1]),
        by_hand: words.contains(&"hand"),
        partial: words.contains(&"partial"),
        proven: words.contains(&"proven"),
        pinned: words.contains(&"pinned"),
        needs: after("needs=").iter().map(|n| n.parse().unwrap()).collect(),
        deleted_at: after("deleted=").map(time),
    }
}

/// `11-20` is midnight UTC, `11-20T14` an hour, `2025-11-20` another year.
fn time(text: &str) -> Timestamp {
    let (date, hour) = text.split_once('T').unwrap_or((text, "00"));
    let date = if date.len() == 5 { format!("2026-{date}") } else { date.to_owned() };
    format!("{date}T{hour}:00:00Z").parse().unwrap()
}

#[test]
fn the_newest_of_each_bucket_stays() {
    check(
        Terms { daily: 2, weekly: 3, ..Terms::default() },
        "11-21",
        "
        9 11-20T12 | keep: the newest; daily 1 of 2 (2026-11-20); weekly 1 of 3 (2026-W47)
        8 11-20T02 | delete: @9 stands for 2026-11-20 (daily)
        7 11-19T02 | keep: daily 2 of 2 (2026-11-19)
        6 11-18T02 | delete: @9 stands for 2026-W47 (weekly)
        5 11-15T22 | keep: weekly 2 of 3 (2026-W46)
        4 11-09T02 | delete: @5 stands for 2026-W46 (weekly)
        3 11-08T02 | keep: weekly 3 of 3 (2026-W45)
        2 10-30T02 | delete: older than all that `keep` counts",
    );
}

#[test]
fn buckets_are_those_of_the_zone_and_of_iso_weeks() {
    // 23:00 UTC is the next day in Berlin; 2027-01-01 is in the last week of 2026.
    check(Terms { daily: 2, weekly: 1, yearly: 1, ..Terms::default() }, "2027-01-02", "
        3 2026-12-31T23 | keep: the newest; daily 1 of 2 (2027-01-01); weekly 1 of 1 (2026-W53); yearly 1 of 1 (2027)
        2 2026-12-31T22 | keep: daily 2 of 2 (2026-12-31)
        1 2026-12-30T23 | delete: @2 stands for 2026-12-31 (daily)");
    // The hour that repeats is two hours.
    check(
        Terms { hourly: 3, ..Terms::default() },
        "10-26",
        "
        3 10-25T02 | keep: the newest; hourly 1 of 3 (2026-10-25 03:00 +01:00)
        2 10-25T01 | keep: hourly 2 of 3 (2026-10-25 02:00 +01:00)
        1 10-25T00 | keep: hourly 3 of 3 (2026-10-25 02:00 +02:00)",
    );
}

#[test]
fn a_host_that_was_off_loses_nothing() {
    let terms = Terms { daily: 3, within: DAY * 2, ..Terms::default() };
    check(
        terms,
        "2026-11-20",
        "
        3 08-01 | keep: the newest; daily 1 of 3 (2026-08-01); within 2 d of the newest
        2 07-31 | keep: daily 2 of 3 (2026-07-31); within 2 d of the newest
        1 05-01 | keep: daily 3 of 3 (2026-05-01)",
    );
}

#[test]
fn by_hand_does_not_count_and_stays_for_its_time() {
    check(
        Terms { last: 2, by_hand: DAY * 30, ..Terms::default() },
        "11-21",
        "
        6 11-20 hand | keep: the newest; made by hand, stays for 30 d
        5 11-19 hand | keep: made by hand, stays for 30 d
        4 11-18 | keep: last 1 of 2
        3 11-17 | keep: last 2 of 2
        2 11-16 | delete: older than all that `keep` counts
        1 10-01 hand | delete: made by hand, more than 30 d before the newest",
    );
}

#[test]
fn partial_ones_push_no_whole_one_out() {
    let terms = Terms { daily: 2, ..Terms::default() };
    check(
        terms,
        "11-21",
        "
        6 11-20 partial | keep: the newest; daily 1 of 2 (2026-11-20), partial, nothing whole is there
        5 11-19T12 partial | delete: @4 stands for 2026-11-19 (daily)
        4 11-19 | keep: the newest whole one; daily 1 of 2 (2026-11-19)
        3 11-18 partial | delete: older than all that `keep` counts
        2 11-17 | keep: daily 2 of 2 (2026-11-17)
        1 11-16 | delete: older than all that `keep` counts",
    );
    // Always partial: as many as asked for.
    check(
        Terms { last: 2, ..Terms::default() },
        "11-21",
        "
        3 11-20 partial | keep: the newest; last 1 of 2, partial
        2 11-19 partial | keep: last 2 of 2, partial
        1 11-18 partial | delete: older than all that `keep` counts",
    );
}

#[test]
fn what_is_proven_pinned_or_needed_stays() {
    check(
        Terms { last: 1, ..Terms::default() },
        "11-21",
        "
        9 11-20 | keep: the newest; last 1 of 1
        8 11-19 | delete: older than all that `keep` counts
        7 11-18 proven needs=3 | keep: the newest proven one
        6 11-17 proven | delete: older than all that `keep` counts
        5 11-16 pinned | keep: pinned
        4 11-15 needs=1 | delete: older than all that `keep` counts
        3 11-14 needs=2 | keep: @7 needs it
        2 11-13 needs=3 | keep: @3 needs it
        1 11-12 | delete: older than all that `keep` counts",
    );
}

#[test]
fn what_is_newer_than_a_failed_run_stays_for_a_while() {
    let doubts = Lineage { failed_at: Some(time("11-18T12")), ..Lineage::default() };
    let terms = Terms { last: 1, after_failure: DAY * 3, ..Terms::default() };
    check_with(
        &doubts,
        terms,
        "11-21",
        "
        4 11-20 | keep: the newest; newer than the run that failed at 2026-11-18 12:00 UTC; last 1 of 1
        3 11-19 | keep: newer than the run that failed at 2026-11-18 12:00 UTC
        2 11-18 | delete: older than all that `keep` counts",
    );
    check_with(
        &doubts,
        terms,
        "11-26",
        "
        5 11-25 | keep: the newest; last 1 of 1
        3 11-19 | delete: older than all that `keep` counts",
    );
    // G1: nothing but failures since: what is there stays there.
    let failing = Lineage { failed_at: Some(time("11-20")), ..Lineage::default() };
    check_with(
        &failing,
        Terms { within: DAY, ..Terms::default() },
        "11-20",
        "
        2 10-20 partial | keep: the newest; within 1 d of the newest
        1 10-10 proven | keep: the newest whole one; the newest proven one",
    );
}

#[test]
fn a_snapshot_from_the_future_stays_and_counts_for_nothing() {
    check(
        Terms { last: 1, within: DAY, ..Terms::default() },
        "11-21",
        "
        3 2036-11-20 | keep: dated in the future
        2 11-20 | keep: the newest; last 1 of 1; within 1 d of the newest
        1 11-18 | delete: older than all that `keep` counts",
    );
}

#[test]
fn a_flag_or_a_wrong_clock_holds_everything() {
    let flag = Flag::FilesLost { from: 100, to: 3, limit: 50 };
    let doubts = Lineage { flags: vec![(3, flag)], ..Lineage::default() };
    let held =
        "held: @3 has 3 files after 100, 97 % fewer, and 50 % are allowed; until somebody acknowledges it";
    let table = format!(
        "
        3 11-20 | keep: the newest; last 1 of 1
        2 11-19 | {held}
        1 11-01 deleted=11-02 | {held}"
    );
    check_with(&doubts, Terms { last: 1, ..Terms::default() }, "11-21", &table);

    let lineage = Lineage { snapshots: ["2 11-20", "1 11-19"].map(snapshot).into(), ..Lineage::default() };
    let keep = Keep::new(Terms { last: 1, ..Terms::default() }).unwrap();
    let decisions = |store: Timestamp| -> Vec<String> {
        let clock = Clock { now: time("11-21"), store: Some(store) };
        plan(&lineage, &keep, &TimeZone::UTC, &clock).all.iter().map(|d| d.decision.to_string()).collect()
    };
    let off = |minutes| time("11-21") + SignedDuration::from_mins(minutes);
    assert_eq!(decisions(off(10))[1], "delete: older than all that `keep` counts");
    assert_eq!(decisions(off(11))[1], "held: the clock of this host is 11 min behind the store's");
    assert_eq!(decisions(off(-60))[1], "held: the clock of this host is 1 h ahead of the store's");
}

#[test]
fn deleted_ones_are_purged_after_the_grace() {
    check(
        Terms { last: 1, grace: DAY * 7, ..Terms::default() },
        "11-21",
        "
        6 11-20 | keep: the newest; last 1 of 1
        5 11-19 deleted=11-20 needs=2 | held: deleted, can be undeleted until 2026-11-27 00:00 UTC
        4 11-18 deleted=11-14 | purge: deleted at 2026-11-14 00:00 UTC
        3 11-17 deleted=11-14T01 | held: deleted, can be undeleted until 2026-11-21 01:00 UTC
        2 11-16 deleted=11-01 needs=1 | held: deleted, but @5 needs it
        1 11-15 deleted=11-01 | held: deleted, but @2 needs it",
    );
}

#[test]
fn a_plan_that_deletes_more_than_it_keeps_is_sweeping() {
    let rows = ["4 11-20", "3 11-19", "2 11-18", "1 11-17"].map(snapshot);
    let lineage = Lineage { snapshots: rows.into(), ..Lineage::default() };
    let sweeping = |last| decide(&lineage, Terms { last, ..Terms::default() }, "11-21").is_sweeping();
    assert_eq!([1, 2, 3, 4].map(sweeping), [true, false, false, false]);
    let plan = decide(&lineage, Terms { last: 3, ..Terms::default() }, "11-21");
    assert_eq!((plan.deletes().collect::<Vec<_>>(), plan.purges().count()), (vec![1], 0));
}

#[test]
fn terms_that_make_no_sense_are_refused() {
    let refused = |terms: Terms| Keep::new(terms).unwrap_err();
    assert_eq!(refused(Terms::default()), KeepError::Nothing);
    assert_eq!(
        KeepError::Nothing.to_string(),
        "`keep` keeps nothing; say how much, as in `keep = { daily = 7, weekly = 4, monthly = 12 }`"
    );
    assert_eq!(
        refused(Terms { hourly: 10_001, ..Terms::default() }),
        KeepError::TooMany { rule: Rule::Hourly, count: 10_001, most: 10_000 }
    );
    assert_eq!(
        refused(Terms { last: 1, grace: -DAY, ..Terms::default() }),
        KeepError::Span { name: "grace" }
    );
    assert_eq!(
        refused(Terms { within: DAY * 40_000, ..Terms::default() }),
        KeepError::Span { name: "within" }
    );
    assert!(Keep::new(Terms { within: DAY, ..Terms::default() }).is_ok());
}
