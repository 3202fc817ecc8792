//! How the drills of one source stand: when it was last proven, and whether its policy wants another one now.
//!
//! Always true: time is an argument, and what is dated after it counts for nothing; one that was interrupted is tried again
//! within the hour and no sooner, one that failed a day later; and nobody is late with what was first wanted a moment ago.

use jiff::{SignedDuration, Timestamp};
use policies::policy::Drill;
use serde::Serialize;

use super::found::{DrillLine, seconds};
use crate::catalog::{DrillResult, DrillRow, Outcome, RunRow};
use crate::failure::Class;

/// After a drill that somebody stopped, or that was cut off.
const TRY_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// After one that failed or found something wrong: there is another snapshot by then.
const NEXT_DAY: SignedDuration = SignedDuration::from_hours(24);

/// So long a drill may wait for its turn before it is overdue, beside what it may take.
const PATIENCE: SignedDuration = SignedDuration::from_hours(6);

/// How drills of a source stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillStanding {
    /// How often its policy wants one, if it does.
    pub every_seconds: Option<i64>,
    /// When it was last proven by a drill.
    pub proven_at: Option<Timestamp>,
    /// The snapshot that was.
    pub proven: Option<String>,
    /// How long the newest restore of a drill took.
    pub restore_seconds: Option<f64>,
    /// The newest drill that had a snapshot to judge.
    pub last: Option<DrillLine>,
    /// Why a newer one did not come so far, if it did not.
    pub message: Option<String>,
    /// When the next one is wanted.
    pub next: Option<Timestamp>,
    /// Its policy wants a newer proof than there is.
    pub overdue: bool,
    /// One is on.
    pub running: bool,
}

/// What is known of the drills of a source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drilled<'a> {
    /// What its policy wants.
    pub wanted: Option<&'a Drill>,
    /// Since when it is known here to want that.
    pub since: Option<Timestamp>,
    /// It has a snapshot that could be drilled.
    pub has_snapshot: bool,
    /// What was found; the newest last.
    pub rows: &'a [DrillRow],
    /// The newest runs, the newest first.
    pub runs: &'a [RunRow],
    /// The newest of these is on.
    pub running: bool,
}

impl DrillStanding {
    /// How it stands at `now`; `None` where nobody wants drills and none was made.
    pub fn of(drilled: &Drilled<'_>, now: Timestamp) -> Option<Self> {
        let rows = drilled.rows.iter().rev().filter(|row| row.at <= now);
        let last = rows.clone().next();
        if drilled.wanted.is_none() && last.is_none() {
            return None;
        }
        let newer = |run: &&RunRow| run.began_at <= now && last.is_none_or(|last| run.began_at > last.at);
        let failed = |run: &&RunRow| !was_cut_off(run) && !matches!(run.outcome, None | Some(Outcome::Done));
        let proven = rows.clone().find(|row| row.result == DrillResult::Proven);
        let next = next(drilled, now);
        Some(Self {
            every_seconds: drilled.wanted.map(|wanted| span(wanted.every).as_secs()),
            proven_at: proven.map(|row| row.at),
            proven: proven.map(|row| format!("{}@{}", row.key.source, row.key.number)),
            restore_seconds: rows.clone().find_map(|row| row.restore_ms).map(seconds),
            last: last.map(DrillLine::from),
            message: drilled.runs.iter().filter(newer).find(failed).and_then(|run| run.message.clone()),
            next,
            overdue: !drilled.running && is_overdue(drilled, proven.map(|row| row.at), now),
            running: drilled.running,
        })
    }

    /// One should begin now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.running && self.next.is_some_and(|next| next <= now)
    }

    /// What is not as it should be with the newest one, in words. One by hand that could not be carried out alarms nobody.
    pub fn trouble(&self) -> Option<String> {
        let wanted = self.every_seconds.is_some();
        if let Some(message) = self.message.as_ref().filter(|_| wanted) {
            return Some(format!("the drill failed: {message}"));
        }
        let last = self.last.as_ref()?;
        match last.result {
            DrillResult::Proven => None,
            DrillResult::Unproven => Some(format!("the drill says that it is not whole: {}", last.what)),
            DrillResult::Unchecked if wanted => Some(format!("the drill could not check it: {}", last.what)),
            DrillResult::Failed if wanted => Some(format!("the drill failed: {}", last.what)),
            DrillResult::Unchecked | DrillResult::Failed => None,
        }
    }

    /// What somebody must know, in words; `source` is whose it is.
    pub fn alarms(&self, source: &str) -> Vec<String> {
        let overdue = self.overdue.then(|| match self.proven_at {
            Some(at) => {
                format!("`{source}` was last proven by a drill on {at:.0}; `backupctl drill {source}`")
            }
            None => format!("`{source}` was never proven by a drill; `backupctl drill {source}`"),
        });
        let trouble = self.trouble().map(|trouble| format!("`{source}`: {trouble}"));
        trouble.into_iter().chain(overdue).collect()
    }

    /// Somebody must look.
    pub fn is_alarming(&self) -> bool {
        self.overdue || self.trouble().is_some()
    }
}

fn span(time: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

fn next(drilled: &Drilled<'_>, now: Timestamp) -> Option<Timestamp> {
    let every = span(drilled.wanted?.every);
    let since = drilled.since.filter(|_| drilled.has_snapshot)?;
    let runs = drilled.runs.iter().filter(|run| run.began_at <= now);
    let settled = runs.clone().find(|run| run.ended_at.is_some() && !was_cut_off(run));
    let newest = runs.clone().next();
    let by_turn = settled.map_or(since, |run| after(run.began_at, every.min(pause(run))));
    let not_before = newest.map_or(since, |run| after(run.began_at, every.min(TRY_AGAIN)));
    Some(by_turn.max(not_before))
}

/// How long after it another one is worth its cost.
fn pause(run: &RunRow) -> SignedDuration {
    match run.outcome {
        Some(Outcome::Done | Outcome::Not(Class::Partial)) => SignedDuration::MAX,
        Some(Outcome::Not(_)) | None => NEXT_DAY,
    }
}

fn was_cut_off(run: &RunRow) -> bool {
    run.outcome == Some(Outcome::Not(Class::Interrupted))
}

fn is_overdue(drilled: &Drilled<'_>, proven_at: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(wanted) = drilled.wanted else { return false };
    let Some(base) = proven_at.max(drilled.since).filter(|_| drilled.has_snapshot) else { return false };
    let patience = PATIENCE.saturating_add(span(wanted.timeout));
    after(after(base, span(wanted.every)), patience) < now
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::run_state::RunState;
    use crate::catalog::{Progress, SnapshotKey, Verb};
    use crate::words::Number;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn row(text: &str, result: DrillResult, restore_ms: Option<u64>) -> DrillRow {
        let key = SnapshotKey {
            store: "s".into(),
            host: "h".parse().unwrap(),
            source: "db".parse().unwrap(),
            number: Number::new(7).unwrap(),
        };
        let (checker, what) = ("postgres".into(), "words".into());
        DrillRow {
            run: "00112233445566aa".parse().unwrap(),
            key,
            at: at(text),
            checker,
            result,
            what,
            restore_ms,
            ms: 9000,
        }
    }

    /// `!` behind it: it was cut off; `?`: it failed.
    fn run(text: &str) -> RunRow {
        let began_at = at(text.trim_end_matches(['!', '?']));
        let outcome = match text.chars().next_back() {
            Some('!') => Outcome::Not(Class::Interrupted),
            Some('?') => Outcome::Not(Class::NotFound),
            _ => Outcome::Done,
        };
        RunRow {
            id: "00112233445566aa".parse().unwrap(),
            verb: Verb::Drill,
            host: "h".parse().unwrap(),
            source: None,
            store: None,
            state: RunState::Ended,
            pid: 1,
            began_at,
            ended_at: Some(began_at),
            outcome: Some(outcome),
            message: Some("no image".into()),
            snapshot: None,
            uploads: Vec::new(),
            journal: None,
            cancel_requested: false,
            progress: Progress::default(),
        }
    }

    fn weekly() -> Drill {
        Drill {
            every: Duration::from_secs(7 * 86_400),
            timeout: Duration::from_secs(3600),
            ..Drill::default()
        }
    }

    /// Since, runs, the newest first, now: and when the next is wanted.
    #[track_caller]
    fn check(since: Option<&str>, runs: &[&str], now: &str, want: Option<&str>) {
        let (wanted, runs): (_, Vec<_>) = (weekly(), runs.iter().map(|text| run(text)).collect());
        let since = since.map(at);
        let drilled =
            Drilled { wanted: Some(&wanted), since, has_snapshot: true, runs: &runs, ..Drilled::default() };
        let standing = DrillStanding::of(&drilled, at(now)).unwrap();
        assert_eq!(standing.next, want.map(at), "{since:?} {now}");
        assert_eq!(standing.is_due(at(now)), want.is_some_and(|want| at(want) <= at(now)));
        let running = DrillStanding::of(&Drilled { running: true, ..drilled }, at(now)).unwrap();
        assert!(!running.is_due(at(now)));
    }

    #[test]
    fn a_drill_is_wanted_so_long_after_the_last_that_came_to_its_end() {
        check(None, &[], "10T00:00", None);
        check(Some("10T00:00"), &[], "10T00:00", Some("10T00:00"));
        check(Some("01T00:00"), &["05T00:00"], "10T00:00", Some("12T00:00"));
        check(Some("01T00:00"), &["05T00:00"], "12T00:00", Some("12T00:00"));
        check(Some("01T00:00"), &["09T23:30!", "01T00:00"], "10T00:00", Some("10T00:30"));
        check(Some("01T00:00"), &["09T10:00!", "08T00:00"], "10T00:00", Some("15T00:00"));
        check(Some("01T00:00"), &["28T00:00", "02T00:00"], "10T00:00", Some("09T00:00"));
        check(Some("01T00:00"), &["09T10:00?", "08T00:00"], "10T00:00", Some("10T10:00"));
    }

    #[test]
    fn one_that_did_not_come_so_far_as_a_snapshot_is_told_too() {
        let (wanted, rows) = (weekly(), [row("02T00:00", DrillResult::Proven, Some(1500))]);
        let standing = |runs: &[RunRow], wanted| {
            let drilled = Drilled { wanted, rows: &rows, runs, ..Drilled::default() };
            DrillStanding::of(&drilled, at("10T00:00")).unwrap().trouble()
        };
        let (failed, earlier, cut) = ([run("09T00:00?")], [run("01T23:00?")], [run("09T00:00!")]);
        assert_eq!(standing(&failed, Some(&wanted)).as_deref(), Some("the drill failed: no image"));
        assert_eq!(standing(&failed, None), None);
        assert_eq!(standing(&earlier, Some(&wanted)), None);
        assert_eq!(standing(&cut, Some(&wanted)), None);
    }

    #[test]
    fn overdue_is_a_proof_that_is_too_old_and_no_first_wish() {
        let wanted = weekly();
        let standing = |since: &str, rows: &[DrillRow], has_snapshot: bool| {
            let since = Some(at(since));
            let drilled = Drilled { wanted: Some(&wanted), since, has_snapshot, rows, ..Drilled::default() };
            DrillStanding::of(&drilled, at("20T12:00")).unwrap()
        };
        assert!(!standing("20T00:00", &[], true).overdue);
        assert!(!standing("13T05:00", &[], true).overdue, "it has until seven hours after its turn");
        assert!(standing("13T04:59", &[], true).overdue);
        assert!(!standing("01T00:00", &[], false).overdue, "there is nothing to prove");
        let old = [row("02T00:00", DrillResult::Proven, Some(1500))];
        assert!(standing("01T00:00", &old, true).overdue);
        assert!(!standing("20T00:00", &old, true).overdue, "it was let go meanwhile, and is wanted again");
        let good = [row("19T00:00", DrillResult::Proven, Some(2500))];
        let good = standing("01T00:00", &good, true);
        assert!(!good.is_alarming() && good.restore_seconds == Some(2.5), "{good:?}");
        assert_eq!(good.proven.as_deref(), Some("db@7"));
    }

    #[test]
    fn a_bad_verdict_alarms_until_a_better_one() {
        let rows = [
            row("02T00:00", DrillResult::Proven, Some(1500)),
            row("03T00:00", DrillResult::Unproven, Some(2500)),
            row("04T00:00", DrillResult::Failed, None),
        ];
        let by_hand = |rows| DrillStanding::of(&Drilled { rows, ..Drilled::default() }, at("05T00:00"));
        assert_eq!(by_hand(&rows[..0]), None);
        assert_eq!(by_hand(&rows[..1]).unwrap().trouble(), None);
        assert!(by_hand(&rows[..2]).unwrap().is_alarming());
        let last = by_hand(&rows).unwrap();
        assert_eq!(
            (last.trouble(), last.proven_at, last.restore_seconds),
            (None, Some(at("02T00:00")), Some(2.5))
        );
        let wanted = weekly();
        let drilled =
            Drilled { wanted: Some(&wanted), since: Some(at("04T00:00")), rows: &rows, ..Drilled::default() };
        let standing = DrillStanding::of(&drilled, at("05T00:00")).unwrap();
        assert_eq!(standing.trouble().as_deref(), Some("the drill failed: words"));
    }
}
