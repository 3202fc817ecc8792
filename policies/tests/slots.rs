//! Slots against an oracle that knows neither `cron` nor our parser: it walks through real time step by step, looks
//! at the clock on the wall, and notes when that clock shows, or has skipped, a time that the line names.
//!
//! By default a few seconds of it. `BACKUPD_SLOTS_EFFORT=100` does a hundred times as much.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use policies::schedule::{Schedule, ScheduleError};

/// SplitMix64: enough chance for a test, the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// A field whose values are `first` to `last`; `open` in a hundred are `*`.
    fn field(&mut self, first: u64, last: u64, names: &[&str], open: u64) -> String {
        if self.below(100) < open {
            return "*".to_owned();
        }
        let items = [1, 1, 1, 2, 3][usize::try_from(self.below(5)).unwrap()];
        let items: Vec<_> = (0..items).map(|_| self.item(first, last, names)).collect();
        items.join(",")
    }

    fn item(&mut self, first: u64, last: u64, names: &[&str]) -> String {
        let (a, b) = (self.between(first, last), self.between(first, last));
        let circle = last == 7 && self.below(2) == 0;
        let (from, to) = if circle { (a, b) } else { (a.min(b), a.max(b)) };
        let step = self.between(1, (last - first).min(20));
        let mut shown = |n: u64| match names.get(usize::try_from(n - first).unwrap()) {
            Some(name) if self.below(2) == 0 => (*name).to_owned(),
            _ => n.to_string(),
        };
        let (from, to) = (shown(from), shown(to));
        match self.below(6) {
            0 | 1 => from,
            2 => format!("{from}-{to}"),
            3 => format!("{from}-{to}/{}", step.min(7)),
            4 => format!("*/{}", step.min(7)),
            _ => format!("*/{step}"),
        }
    }

    fn line(&mut self, seconds: bool) -> String {
        let second = if seconds { format!("{} ", self.field(0, 59, &[], 20)) } else { String::new() };
        let minute = self.field(0, 59, &[], 20);
        let hour = if self.below(2) == 0 { self.field(0, 23, &[], 50) } else { self.field(0, 4, &[], 30) };
        let day = self.field(1, 31, &[], 50);
        let month = self.field(1, 12, &MONTHS, 60);
        let weekday = self.field(0, 7, &WEEKDAYS, 50);
        format!("{second}{minute} {hour} {day} {month} {weekday}")
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "FEB", "mar", "april", "May", "june", "JUL", "aug", "sep", "Oct", "november", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "monday", "Tue", "wed", "Thu", "FRIDAY", "sat"];

/// The oracle's own reading of a line: for every field the values, tried one by one.
struct Wanted {
    fields: [BTreeSet<i64>; 6],
    either_day: bool,
}

impl Wanted {
    fn read(line: &str) -> Self {
        let mut words: Vec<&str> = line.split(' ').collect();
        if words.len() == 5 {
            words.insert(0, "0");
        }
        let bounds = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        let fields = std::array::from_fn(|i| {
            let (first, last) = bounds[i];
            let names: &[&str] = [&[][..], &[], &[], &[], &MONTHS, &WEEKDAYS][i];
            (first..=last)
                .filter(|v| words[i].split(',').any(|item| fits(item, *v, first, last, names)))
                .collect()
        });
        Self { fields, either_day: !words[3].starts_with('*') && !words[5].starts_with('*') }
    }

    fn has(&self, time: DateTime) -> bool {
        let clock = [time.second(), time.minute(), time.hour()];
        clock.iter().zip(&self.fields).all(|(value, values)| values.contains(&i64::from(*value)))
            && self.has_day(time.date())
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.fields[3].contains(&i64::from(date.day()));
        // Sunday is 0 and 7.
        let weekday = self.fields[5].contains(&i64::from(date.weekday().to_sunday_zero_offset()))
            || (date.weekday() == Weekday::Sunday && self.fields[5].contains(&7));
        self.fields[4].contains(&i64::from(date.month()))
            && if self.either_day { day || weekday } else { day && weekday }
    }
}

/// Whether an item of a field has `value`.
fn fits(item: &str, value: i64, first: i64, last: i64, names: &[&str]) -> bool {
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let step: i64 = step.parse().unwrap();
    let number = |text: &str| match names.iter().position(|name| *name == text) {
        Some(place) => i64::try_from(place).unwrap() + first,
        None => text.parse().unwrap(),
    };
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (first, last),
        Some((from, to)) => (number(from), number(to)),
        None => (number(range), number(range)),
    };
    if from <= to {
        let way = value - from;
        return way >= 0 && value <= to && way % step == 0;
    }
    // Round the end of the week, day by day; 7 and 0 are one day.
    (0..7)
        .map(|way| (way, (from + way) % 7))
        .take_while(|(way, _)| from + way <= to + 7)
        .any(|(way, day)| way % step == 0 && day == value % 7)
}

/// All slots in `from < slot <= until`, by looking at the clock every `step` seconds, from long enough before.
fn walked(line: &str, zone: &TimeZone, from: Timestamp, until: Timestamp, step: i64) -> Vec<Timestamp> {
    let wanted = Wanted::read(line);
    let step = SignedDuration::from_secs(step);
    let mut now = from - SignedDuration::from_hours(4);
    let mut seen = zone.to_datetime(now);
    let mut slots = Vec::new();
    while now < until {
        now += step;
        let clock = zone.to_datetime(now);
        let mut comes = false;
        while seen < clock {
            seen = seen.checked_add(step).unwrap();
            comes |= wanted.has(seen);
        }
        if comes && now > from {
            slots.push(now);
        }
    }
    slots
}

/// Compares everything that a schedule can be asked between two instants.
#[track_caller]
fn compare(
    line: &str,
    zone: &TimeZone,
    from: Timestamp,
    until: Timestamp,
    step: i64,
    chance: &mut Chance,
) -> usize {
    let schedule = match Schedule::parse(line) {
        Ok(schedule) => schedule,
        Err(ScheduleError::Never { .. }) => {
            let wanted = Wanted::read(line);
            let days = date(2020, 1, 1).series(1.day()).take(28 * 366);
            assert!(days.filter(|day| wanted.has_day(*day)).count() == 0, "`{line}` was refused and runs");
            return 0;
        }
        Err(error) => panic!("`{line}`: {error}"),
    };
    let want = walked(line, zone, from, until, step);
    let name = zone.iana_name().unwrap_or("?");
    let got: Vec<_> = schedule.slots_between(from, until, zone).collect();
    assert_eq!(got, want, "`{line}` in {name} from {from} until {until}");
    for _ in 0..8 {
        let within = u64::try_from(until.duration_since(from).as_millis()).unwrap();
        let at = from + SignedDuration::from_millis(i64::try_from(chance.below(within)).unwrap());
        let next = want.iter().find(|slot| **slot > at);
        if let Some(next) = next {
            assert_eq!(schedule.next_after(at, zone), Some(*next), "`{line}` in {name} after {at}");
        }
        let previous = want.iter().rfind(|slot| **slot <= at);
        if let Some(previous) = previous {
            assert_eq!(
                schedule.previous_at_or_before(at, zone),
                Some(*previous),
                "`{line}` in {name} until {at}"
            );
        }
    }
    want.len()
}

fn effort() -> usize {
    std::env::var_os("BACKUPD_SLOTS_EFFORT").map_or(1, |text| text.into_string().unwrap().parse().unwrap())
}

fn zones() -> Vec<TimeZone> {
    let zones: Vec<_> =
        jiff::tz::db().available().filter_map(|name| TimeZone::get(name.as_str()).ok()).collect();
    assert!(zones.len() > 400, "the whole database, not {} zones", zones.len());
    zones
}

fn instant(date: &str) -> Timestamp {
    format!("{date}T00:00:00Z").parse().unwrap()
}

/// Every change of every zone's clocks from 2020 to 2040, the same change of the same offsets once.
fn changes() -> Vec<(TimeZone, Timestamp)> {
    let mut known = BTreeSet::new();
    let mut changes = Vec::new();
    for zone in zones() {
        let following =
            zone.following(instant("2020-01-01")).take_while(|c| c.timestamp() < instant("2041-01-01"));
        for change in following {
            let before = zone.to_offset(change.timestamp() - SignedDuration::from_secs(1));
            // A database may end its lists with a change of nothing.
            let set = before != change.offset();
            if set && known.insert((change.timestamp(), before, change.offset())) {
                changes.push((zone.clone(), change.timestamp()));
            }
        }
    }
    assert!(changes.len() > 500, "{} changes", changes.len());
    changes
}

#[test]
fn around_every_change_of_every_clock() {
    let mut chance = Chance(1);
    let (mut slots, mut lines) = (0, 0);
    for (zone, change) in changes() {
        let around = SignedDuration::from_hours(6);
        for _ in 0..effort() {
            // Dense ones, since here it is the clock that matters.
            let line = format!("{} {} * * *", chance.field(0, 59, &[], 30), chance.field(0, 5, &[], 60));
            slots += compare(&line, &zone, change - around, change + around, 60, &mut chance);
            lines += 1;
        }
    }
    assert!(slots > lines, "{slots} slots of {lines} lines");
}

#[test]
fn random_lines_in_every_zone() {
    let mut chance = Chance(2);
    let mut slots = 0;
    for zone in zones() {
        for _ in 0..2 * effort() {
            let line = chance.line(false);
            let hour = i64::try_from(chance.below(21 * 365 * 24)).unwrap();
            let mut from = instant("2020-01-01") + SignedDuration::from_hours(hour);
            // Every other time to the next change, if there is one.
            if chance.below(2) == 0 {
                let change = zone.following(from).next().filter(|c| c.timestamp() < instant("2041-01-01"));
                from = change.map_or(from, |c| c.timestamp() - SignedDuration::from_hours(20));
                from -= SignedDuration::from_secs(from.as_second() % 60);
            }
            let until = from + SignedDuration::from_hours(i64::try_from(chance.between(24, 72)).unwrap());
            slots += compare(&line, &zone, from, until, 60, &mut chance);
        }
    }
    assert!(slots > 10_000, "{slots} slots");
}

#[test]
fn seconds_around_changes() {
    let mut chance = Chance(3);
    let changes = changes();
    let mut slots = 0;
    for _ in 0..40 * effort() {
        let (zone, change) = chance.of(&changes).clone();
        let line = format!("{} {} * * * *", chance.field(0, 59, &[], 20), chance.field(0, 59, &[], 60));
        let around = SignedDuration::from_mins(90);
        slots += compare(&line, &zone, change - around, change + around, 1, &mut chance);
    }
    assert!(slots > 100, "{slots} slots");
}

/// Twenty-one years of one nominal time a day: as many slots as days, whatever the clocks do.
#[test]
fn a_daily_line_runs_once_for_every_day() {
    let mut chance = Chance(4);
    let zones = zones();
    for _ in 0..20 * effort() {
        let zone = chance.of(&zones).clone();
        let line = format!("{} {} * * *", chance.below(60), chance.below(4));
        let schedule = Schedule::parse(&line).unwrap();
        let start = |year: i16| zone.to_timestamp(date(year, 1, 1).at(12, 0, 0, 0)).unwrap();
        let slots: Vec<_> = schedule.slots_between(start(2020), start(2041), &zone).collect();
        let name = zone.iana_name().unwrap_or("?");
        assert_eq!(slots.len(), 21 * 365 + 6, "`{line}` in {name}");
        let days: BTreeSet<_> = slots.iter().map(|slot| zone.to_datetime(*slot).date()).collect();
        assert_eq!(days.len(), slots.len(), "`{line}` in {name}: one slot a day");
    }
}
