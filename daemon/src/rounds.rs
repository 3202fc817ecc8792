//! What the scheduler does at one moment: a pure function of jobs, what is known of them, and the time.
//!
//! Always true: no more runs are on than there are places, in all and for each policy; a job whose slot has
//! come waits for a place without losing the slot; whoever is due for longest goes first, so that nobody is
//! passed over for ever. Whatever a step says is dealt with must be written down before it is done.

use std::collections::{BTreeMap, BTreeSet};

use engine::usecase::together::Bond;
use engine::words::SourceName;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::schedule::{Due, Jitter, Schedule, Standing, decide};

/// A source under a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) source: SourceName,
    pub(crate) policy: String,
    /// Schedule and zone, as the ledger remembers them.
    pub(crate) line: String,
    pub(crate) schedule: Schedule,
    pub(crate) zone: TimeZone,
    pub(crate) jitter: Jitter,
    /// A label asks for its policy.
    pub(crate) labelled: bool,
    /// How many sources of its policy at once.
    pub(crate) places: usize,
    /// The set that it belongs to.
    pub(crate) bond: Option<Bond>,
}

/// What is known of a job; nothing of one that is new or has a new schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Every slot up to here is dealt with.
    pub(crate) dealt_with: Timestamp,
    /// A run of it is on: ours, or somebody's by hand.
    pub(crate) running: bool,
    /// The run of its newest slot was cut off, and nothing has made up for it.
    pub(crate) cut: bool,
}

/// What to do with one job; `dealt_with` is to be written down first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) source: SourceName,
    pub(crate) policy: String,
    pub(crate) dealt_with: Timestamp,
    pub(crate) deed: Deed,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It is new here: slots count from now on.
    Notice,
    /// Back it up.
    Run {
        /// Slots before this one that it makes up for.
        missed: usize,
    },
    /// Back it up for a slot whose run was cut off.
    Again,
    /// A run is still on: this slot passes, and somebody should know.
    Skip,
    /// The clock was far ahead once: slots count from now on.
    ClockWasAhead,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    /// What to do, in this order.
    pub(crate) steps: Vec<Step>,
    /// When the next slot starts; `None` if none is awaited.
    pub(crate) until: Option<Timestamp>,
}

/// How many runs may be on, and since when this process asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) places: usize,
    pub(crate) watching_since: Timestamp,
}

/// The runs of this process that are on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtWork<'a> {
    /// Their sources, with the policy of each.
    pub(crate) busy: &'a BTreeMap<SourceName, String>,
    /// The policy of each run: a set is one, however many sources it has.
    pub(crate) policies: &'a [&'a str],
}

/// What to do at `now`.
pub(crate) fn round(
    jobs: &[Job],
    known: &BTreeMap<SourceName, Known>,
    at_work: AtWork<'_>,
    bounds: Bounds,
    now: Timestamp,
) -> Round {
    let mut round = Round { steps: Vec::new(), until: None };
    let mut due = Vec::new();
    let ours = |job: &Job| at_work.busy.contains_key(&job.source);
    // A set waits while somebody works on one of it, and what was cut off of it is all of it.
    let bonds = |is: &dyn Fn(&Job, &Known) -> bool| -> BTreeSet<&Bond> {
        let of = |job: &&Job| known.get(&job.source).is_some_and(|known| is(job, known));
        jobs.iter().filter(of).filter_map(|job| job.bond.as_ref()).collect()
    };
    let waiting = bonds(&|job, known| known.running && !ours(job));
    let cut = bonds(&|_, known| known.cut);
    for job in jobs {
        let Some(known) = known.get(&job.source) else {
            round.steps.push(job.step(now, Deed::Notice));
            continue;
        };
        let is = |bonds: &BTreeSet<&Bond>| job.bond.as_ref().is_some_and(|bond| bonds.contains(bond));
        let standing = Standing {
            dealt_with: known.dealt_with,
            watching_since: bounds.watching_since,
            running: ours(job) || (known.running && job.bond.is_none()),
        };
        let again = (known.cut || is(&cut)) && !standing.running;
        match decide(&job.schedule, &job.zone, job.jitter, now, &standing) {
            Due::Run { slot, missed } if !is(&waiting) => {
                let since = job.schedule.next_after(known.dealt_with, &job.zone).unwrap_or(slot);
                due.push((since, job, slot, Deed::Run { missed }));
            }
            Due::Run { .. } => {}
            Due::SkipOverlap { slot, .. } => round.steps.push(job.step(slot, Deed::Skip)),
            Due::ClockWasAhead { restart, .. } => round.steps.push(job.step(restart, Deed::ClockWasAhead)),
            waits @ (Due::Wait { .. } | Due::Over) => {
                if let Due::Wait { until, .. } = waits {
                    round.until = Some(round.until.map_or(until, |at| at.min(until)));
                }
                if again && !is(&waiting) {
                    due.push((known.dealt_with, job, known.dealt_with, Deed::Again));
                }
            }
        }
    }
    due.sort_by_key(|(since, job, ..)| (*since, &job.source));
    place(&mut round, due, at_work.policies, bounds.places);
    round
}

/// Gives places to what is due, in this order.
fn place(round: &mut Round, due: Vec<(Timestamp, &Job, Timestamp, Deed)>, on: &[&str], places: usize) {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    on.iter().for_each(|policy| *taken.entry(policy).or_default() += 1);
    let mut free = places.saturating_sub(on.len());
    let mut sets: BTreeSet<&Bond> = BTreeSet::new();
    for (_, job, slot, deed) in due {
        // A set is one run: where one of it has a place, all of it has.
        if job.bond.as_ref().is_some_and(|bond| sets.contains(bond)) {
            round.steps.push(job.step(slot, deed));
            continue;
        }
        let of_policy = taken.entry(&job.policy).or_default();
        if free > 0 && *of_policy < job.places {
            sets.extend(&job.bond);
            *of_policy += 1;
            free -= 1;
            round.steps.push(job.step(slot, deed));
        }
    }
}

impl Job {
    fn step(&self, dealt_with: Timestamp, deed: Deed) -> Step {
        Step { source: self.source.clone(), policy: self.policy.clone(), dealt_with, deed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn job(source: &str, policy: &str, line: &str, places: usize) -> Job {
        Job {
            source: source.parse().unwrap(),
            policy: policy.into(),
            line: line.into(),
            schedule: Schedule::parse(line).unwrap(),
            zone: TimeZone::UTC,
            jitter: Jitter::NONE,
            labelled: false,
            places,
            bond: None,
        }
    }

    /// Sources with what is dealt with (`!` behind it: somebody's run is on; `?`: it was cut off), our runs (sources of
    /// one with `+`), now, and what comes out.
    #[track_caller]
    fn check(jobs: &[Job], known: &[(&str, &str)], busy: &[(&str, &str)], now: &str, want: &[&str]) {
        let known = known
            .iter()
            .map(|(source, dealt)| {
                let (running, cut) = (dealt.ends_with('!'), dealt.ends_with('?'));
                let known = Known { dealt_with: at(dealt.trim_end_matches(['!', '?'])), running, cut };
                (source.parse().unwrap(), known)
            })
            .collect();
        let policies: Vec<&str> = busy.iter().map(|(_, policy)| *policy).collect();
        let each = busy.iter().flat_map(|(sources, p)| sources.split('+').map(move |source| (source, p)));
        let busy = each.map(|(s, p)| (s.parse().unwrap(), (*p).to_owned())).collect();
        let bounds = Bounds { places: 2, watching_since: at("01T00:00") };
        let at_work = AtWork { busy: &busy, policies: &policies };
        let round = round(jobs, &known, at_work, bounds, at(now));
        let mut got: Vec<String> = round
            .steps
            .iter()
            .map(|step| {
                let deed = match &step.deed {
                    Deed::Notice => "notice".to_owned(),
                    Deed::Run { missed } => format!("run+{missed}"),
                    Deed::Again => "again".to_owned(),
                    Deed::Skip => "skip".to_owned(),
                    Deed::ClockWasAhead => "ahead".to_owned(),
                };
                format!("{deed} {} {}", step.source, step.dealt_with.strftime("%dT%H:%M"))
            })
            .collect();
        got.extend(round.until.map(|until| format!("until {}", until.strftime("%dT%H:%M"))));
        assert_eq!(got, want, "{now}");
    }

    #[test]
    fn one_job_waits_runs_catches_up_and_skips() {
        let jobs = [job("db", "p", "0 2 * * *", 1)];
        check(&jobs, &[], &[], "05T12:00", &["notice db 05T12:00"]);
        check(&jobs, &[("db", "05T12:00")], &[], "05T12:00", &["until 06T02:00"]);
        check(&jobs, &[("db", "05T12:00")], &[], "06T02:00", &["run+0 db 06T02:00"]);
        check(&jobs, &[("db", "05T12:00")], &[], "09T01:00", &["run+2 db 08T02:00"]);
        check(&jobs, &[("db", "06T02:00")], &[("db", "p")], "07T02:00", &["skip db 07T02:00"]);
        check(&jobs, &[("db", "06T02:00!")], &[], "07T02:00", &["skip db 07T02:00"]);
        check(&jobs, &[("db", "06T02:00")], &[], "06T01:00", &["until 07T02:00"]);
        check(&jobs, &[("db", "28T02:00")], &[], "06T01:00", &["ahead db 06T01:00"]);
    }

    #[test]
    fn many_on_one_minute_take_turns_and_the_longest_due_goes_first() {
        let jobs: Vec<_> = ["a", "b", "c"].iter().map(|s| job(s, "p", "0 2 * * *", 9)).collect();
        let fresh = [("a", "05T12:00"), ("b", "05T12:00"), ("c", "05T12:00")];
        check(&jobs, &fresh, &[], "06T02:00", &["run+0 a 06T02:00", "run+0 b 06T02:00"]);
        let late = [("a", "05T12:00"), ("b", "05T12:00"), ("c", "03T12:00")];
        check(&jobs, &late, &[], "06T02:00", &["run+2 c 06T02:00", "run+0 a 06T02:00"]);
        let begun = [("a", "06T02:00"), ("b", "06T02:00"), ("c", "05T12:00")];
        let busy = [("a", "p"), ("b", "p")];
        check(&jobs, &begun, &busy, "06T02:01", &["until 07T02:00"]);
        check(&jobs, &begun, &busy[..1], "06T02:02", &["run+0 c 06T02:00", "until 07T02:00"]);
        // Who runs an hourly policy cannot keep a daily one out: its slot waits, and gets older.
        let mixed = [
            job("day", "d", "0 2 * * *", 1),
            job("hour", "h", "0 * * * *", 1),
            job("hour2", "h", "0 * * * *", 9),
        ];
        let known = [("day", "05T12:00"), ("hour", "06T04:00"), ("hour2", "06T04:00")];
        check(&mixed, &known, &[("x", "x")], "06T05:00", &["run+0 day 06T02:00"]);
    }

    #[test]
    fn a_set_has_one_place_and_runs_as_a_whole_or_waits() {
        let of_set = |source| {
            let bond = Some(Bond { policy: "p".into(), project: "shop".into() });
            Job { bond, ..job(source, "p", "0 2 * * *", 1) }
        };
        let jobs = [
            of_set("a"),
            of_set("b"),
            of_set("c"),
            job("x", "q", "0 2 * * *", 1),
            job("y", "p", "0 2 * * *", 1),
        ];
        let known = ["a", "b", "c", "x", "y"].map(|source| (source, "05T12:00"));
        let set = ["run+0 a 06T02:00", "run+0 b 06T02:00", "run+0 c 06T02:00"];
        check(&jobs, &known, &[], "06T02:00", &[set[0], set[1], set[2], "run+0 x 06T02:00"]);
        check(&jobs, &known, &[("v", "v"), ("w", "w")], "06T02:00", &[]);
    }

    #[test]
    fn a_set_that_is_on_takes_one_place_and_one_that_somebody_works_on_waits() {
        let of_set = |source| {
            let bond = Some(Bond { policy: "p".into(), project: "shop".into() });
            Job { bond, ..job(source, "p", "0 2 * * *", 1) }
        };
        let jobs = [of_set("a"), of_set("b"), of_set("c"), job("x", "q", "0 3 * * *", 1)];
        let on = [("a", "06T02:00!"), ("b", "06T02:00!"), ("c", "06T02:00!"), ("x", "05T12:00")];
        check(&jobs, &on, &[("a+b+c", "p")], "06T03:00", &["run+0 x 06T03:00", "until 07T02:00"]);
        // Somebody backs up one of it: a set without it would be none.
        let by_hand = [("a", "05T12:00"), ("b", "05T12:00!"), ("c", "05T12:00"), ("x", "06T03:00")];
        check(&jobs, &by_hand, &[], "06T02:00", &["until 07T03:00"]);
        let free = [("a", "05T12:00"), ("b", "05T12:00"), ("c", "05T12:00"), ("x", "06T03:00")];
        let all = ["run+0 a 06T02:00", "run+0 b 06T02:00", "run+0 c 06T02:00", "until 07T03:00"];
        check(&jobs, &free, &[], "06T02:10", &all);
        // What was cut off of it is all of it.
        let cut = [("a", "06T02:00"), ("b", "06T02:00?"), ("c", "06T02:00"), ("x", "06T03:00")];
        let again = ["again a 06T02:00", "again b 06T02:00", "again c 06T02:00", "until 07T02:00"];
        check(&jobs, &cut, &[], "06T04:00", &again);
    }

    #[test]
    fn what_was_cut_off_is_made_up_for_at_once_or_by_a_newer_slot() {
        let jobs = [job("db", "p", "0 2 * * *", 1)];
        check(&jobs, &[("db", "06T02:00?")], &[], "06T04:00", &["again db 06T02:00", "until 07T02:00"]);
        check(&jobs, &[("db", "06T02:00?")], &[], "07T02:00", &["run+0 db 07T02:00"]);
        check(&jobs, &[("db", "06T02:00?")], &[("v", "v"), ("w", "w")], "06T04:00", &["until 07T02:00"]);
    }

    #[test]
    fn a_policy_has_no_more_places_than_it_asks_for() {
        let jobs =
            [job("a", "p", "0 2 * * *", 1), job("b", "p", "0 2 * * *", 1), job("c", "q", "0 3 * * *", 1)];
        let known = [("a", "05T12:00"), ("b", "05T12:00"), ("c", "05T12:00")];
        check(&jobs, &known, &[], "06T03:00", &["run+0 a 06T02:00", "run+0 c 06T03:00"]);
    }
}
