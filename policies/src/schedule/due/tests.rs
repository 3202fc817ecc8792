//! What is due: a table for each rule, and a host that lives through random nights.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::schedule::{Due, Jitter, Schedule, Standing, decide};

fn at(text: &str) -> Timestamp {
    format!("2026-11-{}:00Z", text.replacen(' ', "T", 1)).parse().unwrap()
}

fn standing(dealt_with: &str, running: bool) -> Standing {
    Standing { dealt_with: at(dealt_with), watching_since: at("01 00:00"), running }
}

#[track_caller]
fn check(line: &str, now: &str, standing: &Standing, want: Due) {
    let schedule = Schedule::parse(line).unwrap();
    assert_eq!(decide(&schedule, &TimeZone::UTC, Jitter::NONE, at(now), standing), want, "{line} at {now}");
}

fn wait(slot: &str) -> Due {
    Due::Wait { until: at(slot), slot: at(slot) }
}

fn run(slot: &str, missed: usize) -> Due {
    Due::Run { slot: at(slot), missed }
}

#[test]
fn a_slot_runs_once_and_then_the_next_is_waited_for() {
    check("0 2 * * *", "20 01:59", &standing("19 02:00", false), wait("20 02:00"));
    check("0 2 * * *", "20 02:00", &standing("19 02:00", false), run("20 02:00", 0));
    check("0 2 * * *", "20 02:00", &standing("20 02:00", false), wait("21 02:00"));
}

#[test]
fn missed_slots_are_caught_up_by_one_run() {
    check("0 2 * * *", "20 17:00", &standing("10 02:00", false), run("20 02:00", 9));
    check("0 2 * * *", "20 17:00", &standing("20 02:00", false), wait("21 02:00"));
    // A new policy: what came before it was noticed is nobody's business.
    check("0 2 * * *", "20 17:00", &standing("20 16:59", false), wait("21 02:00"));
    check("* * * * * *", "20 17:00", &standing("10 02:00", false), run("20 17:00", 1000));
}

#[test]
fn overlaps_are_skipped_and_not_queued() {
    let skip = Due::SkipOverlap { slot: at("20 02:00"), missed: 0 };
    check("0 * * * *", "20 02:10", &standing("20 01:00", true), skip);
    check("0 * * * *", "20 02:10", &standing("20 02:00", true), wait("20 03:00"));
    check("0 * * * *", "20 02:20", &standing("20 02:00", false), wait("20 03:00"));
}

#[test]
fn a_clock_that_is_set_back_starts_nothing_twice() {
    // The slot of 02:00 ran, then the clock was set back by an hour, and by a quarter.
    check("0 2 * * *", "20 01:05", &standing("20 02:00", false), wait("21 02:00"));
    check("*/5 * * * *", "20 01:46", &standing("20 02:00", false), wait("20 02:05"));
}

#[test]
fn a_clock_that_was_far_ahead_silences_nothing() {
    let ahead = Due::ClockWasAhead { dealt_with: at("30 02:00"), restart: at("20 01:00") };
    check("0 2 * * *", "20 01:00", &standing("30 02:00", false), ahead);
    check("0 2 * * *", "20 01:00", &standing("20 01:00", false), wait("20 02:00"));
    // And in the years for which it was ahead, it ran.
    let now: Timestamp = "2031-11-20T05:00:00Z".parse().unwrap();
    let schedule = Schedule::parse("0 2 * * *").unwrap();
    let due = decide(&schedule, &TimeZone::UTC, Jitter::NONE, now, &standing("20 02:00", false));
    assert_eq!(due, Due::Run { slot: "2031-11-20T02:00:00Z".parse().unwrap(), missed: 1000 });
}

#[test]
fn past_the_last_slot_it_is_over() {
    let now: Timestamp = "2101-01-01T00:00:00Z".parse().unwrap();
    let standing = Standing { dealt_with: now, watching_since: now, running: false };
    let schedule = Schedule::parse("@daily").unwrap();
    assert_eq!(decide(&schedule, &TimeZone::UTC, Jitter::NONE, now, &standing), Due::Over);
}

#[test]
fn jitter_is_the_same_every_night_and_differs_between_hosts() {
    let hour = SignedDuration::from_hours(1);
    let day = Some(SignedDuration::from_hours(24));
    let delay = |host: &str, policy: &str| Jitter::new(host, policy, hour).delay(day);
    assert_eq!(delay("vm-1", "databases"), delay("vm-1", "databases"));
    let delays: std::collections::BTreeSet<_> =
        (0..100).map(|i| delay(&format!("vm-{i}"), "databases")).collect();
    assert!(delays.len() > 90, "{delays:?}");
    // Spread over the hour, not bunched: each quarter has its share of a hundred hosts.
    for quarter in 0..4 {
        let inside = delays.iter().filter(|d| d.as_mins() / 15 == quarter).count();
        assert!((10..=40).contains(&inside), "{inside} of 100 hosts in quarter {quarter}");
    }
    assert_ne!(delay("a", "bc"), delay("ab", "c"));
    assert_eq!(Jitter::new("vm-1", "p", -hour).delay(day), SignedDuration::ZERO);
}

#[test]
fn jitter_delays_a_slot_and_what_a_host_catches_up_at_its_start() {
    let (schedule, zone) = (Schedule::parse("0 2 * * *").unwrap(), TimeZone::UTC);
    let jitter = Jitter::new("vm-1", "databases", SignedDuration::from_hours(1));
    let delay = jitter.delay(Some(SignedDuration::from_hours(24)));
    assert!(delay > SignedDuration::ZERO);
    let night = standing("19 02:00", false);
    let decide = |now, standing: &Standing| decide(&schedule, &zone, jitter, now, standing);
    let slot = at("20 02:00");
    assert_eq!(decide(slot, &night), Due::Wait { until: slot + delay, slot });
    assert_eq!(decide(slot + delay, &night), Due::Run { slot, missed: 0 });
    // The power came back at five.
    let five = at("20 05:00");
    let morning = Standing { watching_since: five, ..standing("17 02:00", false) };
    assert_eq!(decide(five, &morning), Due::Wait { until: five + delay, slot });
    assert_eq!(decide(five + delay, &morning), Due::Run { slot, missed: 2 });
    // A clock that is set back behind the start of the process does not hold it up.
    let behind = Standing { watching_since: at("25 05:00"), ..morning };
    assert_eq!(decide(five, &behind), Due::Run { slot, missed: 2 });
}

/// What happens to a host.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Time goes by, and the policy is asked each minute and when it said.
    Watch { minutes: i64, run_minutes: i64 },
    /// Time goes by, and nobody asks.
    Off { minutes: i64 },
    /// Somebody sets the clock.
    Set { seconds: i64 },
}

fn event() -> impl Strategy<Value = Event> {
    let set = prop_oneof![-7000i64..7000, Just(5 * 31_557_600), Just(-5 * 31_557_600)];
    prop_oneof![
        4 => (1i64..600, 0i64..90).prop_map(|(minutes, run_minutes)| Event::Watch { minutes, run_minutes }),
        2 => (1i64..3000).prop_map(|minutes| Event::Off { minutes }),
        2 => set.prop_map(|seconds| Event::Set { seconds }),
    ]
}

/// A host and what it remembers.
struct Host {
    schedule: Schedule,
    zone: TimeZone,
    jitter: Jitter,
    /// What its clock says.
    now: Timestamp,
    standing: Standing,
    run_ends: Option<Timestamp>,
    started: Vec<Timestamp>,
}

impl Host {
    /// Asks until it is told to wait; gives the time to ask again.
    fn ask(&mut self, run_minutes: i64) -> Timestamp {
        loop {
            self.run_ends = self.run_ends.filter(|ends| *ends > self.now);
            self.standing.running = self.run_ends.is_some();
            match decide(&self.schedule, &self.zone, self.jitter, self.now, &self.standing) {
                Due::Wait { until, slot } => {
                    assert!(until > self.now, "waiting for the past: {until} at {}", self.now);
                    assert!(slot > self.standing.dealt_with);
                    return until;
                }
                Due::Run { slot, .. } => {
                    assert!(slot <= self.now && slot > self.standing.dealt_with && !self.standing.running);
                    self.standing.dealt_with = slot;
                    self.started.push(slot);
                    self.run_ends = Some(self.now + SignedDuration::from_mins(run_minutes));
                }
                Due::SkipOverlap { slot, .. } => {
                    assert!(self.standing.running && slot > self.standing.dealt_with);
                    self.standing.dealt_with = slot;
                }
                Due::ClockWasAhead { restart, .. } => {
                    assert_eq!(restart, self.now);
                    self.standing.dealt_with = restart;
                    // From here on, slots that ran while the clock was wrong may run again.
                    self.started.clear();
                }
                Due::Over => panic!("over at {}", self.now),
            }
        }
    }

    fn live(&mut self, event: Event) {
        match event {
            Event::Off { minutes } => {
                self.now += SignedDuration::from_mins(minutes);
                self.standing.watching_since = self.now;
                self.run_ends = None;
            }
            Event::Set { seconds } => self.now += SignedDuration::from_secs(seconds),
            Event::Watch { minutes, run_minutes } => {
                let end = self.now + SignedDuration::from_mins(minutes);
                while self.now < end {
                    let until = self.ask(run_minutes);
                    self.now = until.min(self.now + SignedDuration::from_mins(1));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn whatever_happens_no_slot_runs_twice_and_the_next_one_comes(
        events in proptest::collection::vec(event(), 1..12),
        line in prop::sample::select(vec!["*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 */2 * *", "15 3 * * MON,THU"]),
        jitter_minutes in 0i64..200,
        start_hours in 0i64..8760,
    ) {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let start = start + SignedDuration::from_hours(start_hours);
        let mut host = Host {
            schedule: Schedule::parse(line).unwrap(),
            jitter: Jitter::new("vm-1", "databases", SignedDuration::from_mins(jitter_minutes)),
            now: start,
            standing: Standing { dealt_with: start, watching_since: start, running: false },
            run_ends: None,
            started: Vec::new(),
            zone,
        };
        for event in events {
            host.live(event);
            let mut unique = host.started.clone();
            unique.dedup();
            prop_assert_eq!(&unique, &host.started, "in order, none twice");
            prop_assert!(unique.is_sorted());
        }
        // With the clock left alone, something starts within two slots and the two hours of a clock that was set back.
        let patience = host.now + SignedDuration::from_hours(2);
        let second = host.schedule.next_after(patience, &host.zone).unwrap();
        let third = host.schedule.next_after(second, &host.zone).unwrap();
        host.run_ends = None;
        host.started.clear();
        while host.now < third {
            let until = host.ask(0);
            if !host.started.is_empty() {
                break;
            }
            host.now = until;
        }
        prop_assert!(!host.started.is_empty(), "silent until {}", third);
    }
}
