//! What a year must come to, worked out from what happened to the host, by counting.
//!
//! A **piece** is a stretch in which the daemon was up and nobody set the clock. Along pieces each slot that comes
//! is one run; what is kept after each good run is counted anew over all that there is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::fleet::{Job, Rule};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A stretch without events, in real time.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) from: Timestamp,
    /// Without this moment itself.
    pub(super) to: Timestamp,
    /// How far the clock on the wall is ahead.
    pub(super) ahead: SignedDuration,
    /// What the clock showed when the process began.
    pub(super) began: Timestamp,
    /// Whose runs were on when the host died at `to`, and what there is of them since.
    pub(super) cut: BTreeMap<String, Lineage>,
}

/// When the store was so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Down,
    NoDeletes,
}

/// The snapshots of one source, each with when it was taken, and for the deleted also when that was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lineage {
    pub(super) live: BTreeMap<u64, Timestamp>,
    pub(super) deleted: BTreeMap<u64, (Timestamp, Timestamp)>,
}

/// All that happened.
pub(super) struct History {
    pub(super) pieces: Vec<Piece>,
    pub(super) weather: Vec<(Timestamp, Timestamp, Weather)>,
}

impl History {
    fn is(&self, weather: Weather, at: Timestamp) -> bool {
        self.weather.iter().any(|(from, to, kind)| *kind == weather && *from <= at && at < *to)
    }

    /// When runs of a source had to begin, in real time and as the clock showed it; a cut one ends its piece.
    pub(super) fn runs(&self, job: &Job, source: &str, delay: SignedDuration) -> Vec<Begun> {
        let mut slots = BTreeSet::new();
        for piece in &self.pieces {
            // Looking back nine days finds a slot of every one of these schedules.
            let (from, to) = (piece.from + piece.ahead - DAY * 9, piece.to + piece.ahead + DAY);
            if piece.ahead.abs() > DAY {
                job.slots(from, to, &mut slots);
            }
        }
        let year = (self.pieces[0].from - DAY * 9, self.pieces[self.pieces.len() - 1].to + DAY * 9);
        job.slots(year.0, year.1, &mut slots);
        let (mut begun, mut dealt, mut lost) = (Vec::<Begun>::new(), None, false);
        for (at, piece) in self.pieces.iter().enumerate() {
            let cut = piece.cut.contains_key(source);
            let end = piece.to + if cut { SignedDuration::from_secs(1) } else { SignedDuration::ZERO };
            let mut now = piece.from + piece.ahead;
            while now - piece.ahead < end {
                // It is new here, or the clock was far ahead: slots count from now on.
                let known = *dealt.get_or_insert(now);
                let known =
                    if known.duration_since(now) > SignedDuration::from_hours(2) { now } else { known };
                dealt = Some(known);
                let newest = slots.range(..=now).next_back().filter(|slot| **slot > known);
                let start = |slot: Timestamp| {
                    let late = slot + delay < piece.began && piece.began <= now;
                    (if late { piece.began } else { slot }) + delay
                };
                // What was cut off before it was committed is made up for at once, if no newer slot does.
                if std::mem::take(&mut lost) && newest.is_none_or(|slot| now < start(*slot)) {
                    begun.push(Begun { at: now - piece.ahead, shown: now, piece: at });
                }
                now = match newest {
                    Some(slot) => {
                        let start = start(*slot);
                        if now >= start {
                            begun.push(Begun { at: now - piece.ahead, shown: now, piece: at });
                            dealt = Some(*slot);
                            continue;
                        }
                        start
                    }
                    None => match slots.range(now.max(known)..).find(|slot| **slot > now.max(known)) {
                        Some(slot) => *slot + delay,
                        None => break,
                    },
                };
            }
            if let (Some(found), Some(run)) = (piece.cut.get(source), begun.last()) {
                lost = !found.live.values().any(|taken_at| *taken_at == run.shown);
            }
        }
        begun
    }

    /// What is left of a source in the end.
    pub(super) fn lineage(&self, job: &Job, source: &str, delay: SignedDuration) -> Lineage {
        let (mut lineage, mut failed, mut followed) = (Lineage::default(), None, false);
        for run in self.runs(job, source, delay) {
            let piece = &self.pieces[run.piece];
            if let Some(found) = piece.cut.get(source).filter(|_| run.at >= piece.to) {
                assert_cut(&lineage, found, job, run.shown, failed);
                lineage = found.clone();
                continue;
            }
            if self.is(Weather::Down, run.at) {
                failed = failed.max(Some(run.shown));
                continue;
            }
            let highest = lineage.live.keys().chain(lineage.deleted.keys()).max().copied().unwrap_or(0);
            lineage.live.insert(highest + 1, run.shown);
            let Some(rule) = job.rule else { continue };
            let kept = kept(&lineage, rule, &job.tz(), run.shown, failed);
            let sweeping = lineage.live.len() - kept.len() > kept.len();
            if sweeping && !(followed && rule.within_days == 0) {
                continue;
            }
            followed = true;
            if !self.is(Weather::NoDeletes, run.at) {
                carry_out(&mut lineage, rule, &kept, run.shown);
            }
        }
        lineage
    }
}

/// A run that began.
pub(super) struct Begun {
    pub(super) at: Timestamp,
    pub(super) shown: Timestamp,
    piece: usize,
}

/// A host that died in the middle may have committed or not, and pruned as far as it came; more it may not.
fn assert_cut(before: &Lineage, found: &Lineage, job: &Job, shown: Timestamp, failed: Option<Timestamp>) {
    let all = |lineage: &Lineage| -> BTreeSet<u64> {
        lineage.live.keys().chain(lineage.deleted.keys()).copied().collect()
    };
    let mut whole = before.clone();
    let new: Vec<u64> = all(found).difference(&all(before)).copied().collect();
    assert!(new.len() <= 1, "one run, {} snapshots", new.len());
    whole.live.extend(new.iter().map(|number| (*number, shown)));
    let stay = match job.rule {
        Some(rule) if !new.is_empty() => kept(&whole, rule, &job.tz(), shown, failed),
        Some(_) | None => whole.live.keys().copied().collect(),
    };
    assert!(stay.iter().all(|number| found.live.contains_key(number)), "{stay:?} of {found:?}");
}

fn carry_out(lineage: &mut Lineage, rule: Rule, kept: &BTreeSet<u64>, now: Timestamp) {
    // What was deleted before this run and for long enough goes for good.
    lineage
        .deleted
        .retain(|_, (_, at)| now.duration_since(*at) < DAY * i32::try_from(rule.grace_days).unwrap());
    let go: Vec<u64> = lineage.live.keys().filter(|number| !kept.contains(number)).copied().collect();
    for number in go {
        let taken = lineage.live.remove(&number).unwrap();
        lineage.deleted.insert(number, (taken, now));
    }
}

/// Which live ones stay.
fn kept(
    lineage: &Lineage,
    rule: Rule,
    zone: &TimeZone,
    now: Timestamp,
    failed: Option<Timestamp>,
) -> BTreeSet<u64> {
    let future = now + SignedDuration::from_mins(10);
    let mut sane: Vec<(Timestamp, u64)> = lineage.live.iter().map(|(n, at)| (*at, *n)).collect();
    let mut stay: BTreeSet<u64> = sane.iter().filter(|(at, _)| *at > future).map(|(_, n)| *n).collect();
    sane.retain(|(at, _)| *at <= future);
    sane.sort_unstable();
    sane.reverse();
    let Some((newest, number)) = sane.first().copied() else { return stay };
    stay.insert(number);
    for (place, most) in rule.counts.into_iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (at, number) in &sane {
            let bucket = bucket(place, *at, *number, zone);
            if seen.len() < most && seen.insert(bucket) {
                stay.insert(*number);
            }
        }
    }
    // A failure holds what is newer than it, until the newest is two weeks past it.
    let failed = failed.filter(|failed| newest.duration_since(*failed) <= DAY * 14);
    for (at, number) in &sane {
        let young = newest.duration_since(*at) <= DAY * i32::try_from(rule.within_days).unwrap();
        if (rule.within_days > 0 && young) || failed.is_some_and(|failed| *at > failed) {
            stay.insert(*number);
        }
    }
    stay
}

/// A number for the hour, day, week, month or year on the wall; others for others.
fn bucket(place: usize, at: Timestamp, number: u64, zone: &TimeZone) -> i64 {
    let shown = zone.to_datetime(at);
    let (year, month) = (i64::from(shown.year()), i64::from(shown.month()));
    let day = i64::from(shown.date().day_of_year()) + year * 1000;
    match place {
        0 => i64::try_from(number).unwrap(),
        // An hour that comes twice is two; half hours of an offset do not cut hours of the wall.
        1 => (day * 100 + i64::from(shown.hour())) * 100_000 + i64::from(zone.to_offset(at).seconds()),
        2 => day,
        3 => {
            let week = shown.date().iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }
        4 => year * 100 + month,
        _ => year,
    }
}
