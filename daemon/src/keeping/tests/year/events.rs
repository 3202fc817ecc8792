//! What happens to a host in a year, by a seed.
//!
//! Always true: one thing at a time; no change of the zones' clocks is missed; the last five weeks are quiet, so that
//! every policy has had its way.

use jiff::{SignedDuration, Timestamp};

use super::oracle::Weather;

/// A change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Stop,
    Start,
    /// The clock is so far ahead now.
    Clock(SignedDuration),
    Weather(Weather),
    /// The weather is over.
    Clear,
    /// The next run does not live to its end.
    Death,
}

/// Numbers that follow from a seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    /// A place in a list of so many.
    pub(super) fn of(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.below((most - least).unsigned_abs())).unwrap()
    }
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Days of the year 2028 on which clocks are set: New York, Berlin, Lord Howe, and each back.
const SET: [i64; 6] = [72, 86, 93, 275, 303, 310];

/// All of a year, in order.
pub(super) fn changes(dice: &mut Dice, first: Timestamp) -> Vec<(Timestamp, Change)> {
    let day = |days: i64| SignedDuration::from_hours(24 * days);
    let mut plan: Vec<(i64, Change, Change)> = Vec::new();
    let mut add = |times: usize, seconds: (i64, i64), dice: &mut Dice, from: Change, to: Change| {
        for _ in 0..times {
            plan.push((dice.between(seconds.0, seconds.1), from, to));
        }
    };
    let right = Change::Clock(SignedDuration::ZERO);
    add(1, (14 * DAY, 36 * DAY), dice, Change::Stop, Change::Start);
    add(4, (2 * HOUR, 40 * HOUR), dice, Change::Stop, Change::Start);
    add(8, (1, 400), dice, Change::Stop, Change::Start);
    add(8, (HOUR, 12 * HOUR), dice, Change::Weather(Weather::Down), Change::Clear);
    add(1, (2 * DAY, 5 * DAY), dice, Change::Weather(Weather::Down), Change::Clear);
    add(2, (3 * DAY, 13 * DAY), dice, Change::Weather(Weather::NoDeletes), Change::Clear);
    let seconds = SignedDuration::from_secs;
    for ahead in [seconds(2700), seconds(-4200), seconds(-7100), day(3), day(-2), day(3652), day(-1826)] {
        add(1, (2 * HOUR, 30 * HOUR), dice, Change::Clock(ahead), right);
    }
    add(8, (60, 61), dice, Change::Death, Change::Death);

    // In turn and apart, in an order by chance; the quiet days lie between.
    for at in (1..plan.len()).rev() {
        let other = dice.of(at + 1);
        plan.swap(at, other);
    }
    let busy = plan.iter().map(|(seconds, ..)| seconds).sum::<i64>();
    let quiet = (330 * DAY - busy) / i64::try_from(plan.len()).unwrap();
    let (mut at, mut all) = (DAY, Vec::new());
    for (seconds, from, to) in plan {
        at += dice.between(quiet / 2, quiet);
        let (begin, end) = (near_a_slot(dice, at), at + seconds + HOUR);
        if SET.iter().any(|set| begin < (set + 2) * DAY && end > (set - 1) * DAY) {
            // Another year has it; this one sees the clocks being set.
            continue;
        }
        if end > 330 * DAY {
            break;
        }
        all.push((begin, from));
        if !matches!(to, Change::Death) {
            all.push((begin + seconds, to));
        }
        at = begin + seconds;
    }
    all.into_iter().map(|(at, change)| (first + seconds_of(at), change)).collect()
}

fn seconds_of(at: i64) -> SignedDuration {
    SignedDuration::from_secs(at)
}

/// Half of all things happen within seconds of a slot in New York or Berlin.
fn near_a_slot(dice: &mut Dice, at: i64) -> i64 {
    let midnight = at - at % DAY;
    match dice.below(4) {
        0 => midnight + DAY + 6 * HOUR + 30 * 60 + dice.between(-9, 3),
        1 => midnight + DAY + HOUR + 30 * 60 + dice.between(-9, 1300),
        _ => at + dice.between(0, HOUR),
    }
}
