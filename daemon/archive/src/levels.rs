//! Which zstd level the next frame gets.
//!
//! What a level buys depends on the data: on database pages level 1 is as small as level 3 and a quarter faster, on
//! libraries it is 8 % larger. So now and then a frame is compressed with each of the cheap levels, and the cheapest
//! that comes near the smallest is the usual one for the next frames. Where the sink takes frames more slowly than they are
//! compressed, all buffers pile up before it and cores would idle: then the level climbs, and comes back when they do not.
//!
//! Always true: the climb is one step at a time, and only after a few frames in a row that ask for it; what does not compress
//! never climbs; the choice depends on sizes and on what waits where, and on no clock. Any level decodes to the same bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How a backup compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Levels {
    /// Always with this zstd level, 1 to 19.
    Fixed(i32),
    /// With what the data and the sink ask for.
    Adaptive,
}

impl Levels {
    /// What it begins with, and what is right where nothing is known.
    pub fn first(self) -> i32 {
        match self {
            Self::Fixed(level) => level,
            Self::Adaptive => 3,
        }
    }
}

/// The levels that are tried, cheapest first. Higher ones up to 5 buy next to nothing on frames of 1 MiB.
pub(crate) const TRIED: [i32; 3] = [1, 2, 3];

/// Where the sink is slow: 3 to 10 % less for three times the time of the usual ones, then up to 25 % for five times.
const CLIMB: [i32; 2] = [6, 8];

/// So many frames in a row must ask for a step up; it is given back sooner, as others may want the cores.
const UP_AFTER: u32 = 8;
const DOWN_AFTER: u32 = 2;

/// One frame in so many is tried: each time that it says the same again, the next one is twice as far away. Not the first,
/// so that a small pack costs nothing more.
const TRY_FIRST: u32 = 4;
const TRY_EVERY: u32 = 32;
const TRY_EVERY_MAX: u32 = 128;

/// A cheaper level may be larger than the smallest by one part in so many.
const NEAR_ONE_IN: usize = 50;

/// What is to be done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Compress(i32),
    /// With each of [`TRIED`]; the sizes are wanted.
    Try,
}

/// How many pieces of work are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    /// Filled, and no worker has taken them.
    for_workers: usize,
    /// Compressed, and not written.
    for_sink: usize,
    /// Buffers that go round.
    buffers: usize,
}

impl Waiting {
    /// Whether all is before the sink, but for the frame that is asked about and the one that is being filled.
    fn is_for_sink_alone(self) -> bool {
        self.for_workers == 0 && self.for_sink + 2 >= self.buffers
    }
}

/// The level as it moves.
#[derive(Debug)]
struct Gear {
    usual: i32,
    compresses: bool,
    /// How far it has climbed, 0 for not at all.
    step: usize,
    /// Frames in a row that asked for the next step, and for the one before.
    up: u32,
    down: u32,
    /// Frames before the next one that is tried, and from that one to the one after it.
    before_try: u32,
    try_every: u32,
}

impl Gear {
    fn new() -> Self {
        Self {
            usual: Levels::Adaptive.first(),
            compresses: true,
            step: 0,
            up: 0,
            down: 0,
            before_try: TRY_FIRST,
            try_every: TRY_EVERY,
        }
    }

    fn next(&mut self, waiting: Waiting) -> Turn {
        if self.before_try == 0 {
            self.before_try = self.try_every - 1;
            return Turn::Try;
        }
        self.before_try -= 1;
        let asks = self.compresses && waiting.is_for_sink_alone();
        (self.up, self.down) = if asks { (self.up + 1, 0) } else { (0, self.down + 1) };
        if self.up == UP_AFTER {
            (self.step, self.up) = ((self.step + 1).min(CLIMB.len()), 0);
        } else if self.down == DOWN_AFTER {
            (self.step, self.down) = (self.step.saturating_sub(1), 0);
        }
        let climbed = self.step.checked_sub(1).and_then(|step| CLIMB.get(step));
        Turn::Compress(climbed.copied().unwrap_or(self.usual))
    }

    /// What a frame of `raw` bytes came to with each of [`TRIED`].
    fn tried(&mut self, raw: usize, sizes: [usize; TRIED.len()]) {
        let before = (self.usual, self.compresses);
        let smallest = sizes.into_iter().min().unwrap_or(raw);
        let near = TRIED.into_iter().zip(sizes).find(|(_, size)| *size <= smallest + smallest / NEAR_ONE_IN);
        self.usual = near.map_or(self.usual, |(level, _)| level);
        self.compresses = smallest < raw - raw / NEAR_ONE_IN;
        let same = (self.usual, self.compresses) == before;
        self.try_every = if same { (self.try_every * 2).min(TRY_EVERY_MAX) } else { TRY_EVERY };
    }
}

/// What waits in one pipeline, and the level that follows from it.
#[derive(Debug)]
pub(crate) struct Load {
    /// None for a fixed level.
    gear: Option<Mutex<Gear>>,
    first: i32,
    for_workers: AtomicUsize,
    for_sink: AtomicUsize,
    buffers: usize,
}

impl Load {
    pub(crate) fn new(levels: Levels, buffers: usize) -> Self {
        let gear = (levels == Levels::Adaptive).then(|| Mutex::new(Gear::new()));
        let (for_workers, for_sink) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { gear, first: levels.first(), for_workers, for_sink, buffers }
    }

    /// One more piece of work for the workers.
    pub(crate) fn filled(&self) {
        self.for_workers.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker has taken one.
    pub(crate) fn taken(&self) {
        self.for_workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// A worker is done with one.
    pub(crate) fn compressed(&self) {
        self.for_sink.fetch_add(1, Ordering::Relaxed);
    }

    /// One is in the sink.
    pub(crate) fn written(&self) {
        self.for_sink.fetch_sub(1, Ordering::Relaxed);
    }

    /// What to do with the next frame.
    pub(crate) fn next(&self) -> Turn {
        let Some(mut gear) = self.gear() else { return Turn::Compress(self.first) };
        gear.next(Waiting {
            for_workers: self.for_workers.load(Ordering::Relaxed),
            for_sink: self.for_sink.load(Ordering::Relaxed),
            buffers: self.buffers,
        })
    }

    /// What a frame that was tried came to.
    pub(crate) fn tried(&self, raw: usize, sizes: [usize; TRIED.len()]) {
        if let Some(mut gear) = self.gear() {
            gear.tried(raw, sizes);
        }
    }

    /// Nobody panics while holding it.
    fn gear(&self) -> Option<MutexGuard<'_, Gear>> {
        self.gear.as_ref().map(|gear| gear.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW_SINK: Waiting = Waiting { for_workers: 0, for_sink: 4, buffers: 6 };
    const FEW_CORES: Waiting = Waiting { for_workers: 3, for_sink: 0, buffers: 6 };
    const SLOW_SOURCE: Waiting = Waiting { for_workers: 0, for_sink: 0, buffers: 6 };

    /// The levels of so many frames; those that are tried apart.
    fn levels(gear: &mut Gear, waiting: Waiting, frames: usize) -> Vec<i32> {
        let turns = (0..frames).map(|_| gear.next(waiting));
        let level = |turn| if let Turn::Compress(level) = turn { Some(level) } else { None };
        turns.filter_map(level).collect()
    }

    #[test]
    fn a_slow_sink_buys_bytes_until_it_is_slow_no_more() {
        for faster in [FEW_CORES, SLOW_SOURCE] {
            let gear = &mut Gear::new();
            assert_eq!(levels(gear, SLOW_SINK, 20), [[3; 7].as_slice(), &[6; 8], &[8; 4]].concat());
            assert_eq!(levels(gear, faster, 8), [8, 6, 6, 3, 3, 3, 3, 3]);
        }
    }

    #[test]
    fn what_shows_now_and_then_is_no_slow_sink() {
        let gear = &mut Gear::new();
        for _ in 0..10 {
            assert_eq!(levels(gear, SLOW_SINK, 7).iter().max(), Some(&3));
            assert_eq!(levels(gear, FEW_CORES, 2).iter().max().unwrap_or(&3), &3);
        }
        let one_waits = Waiting { for_workers: 1, ..SLOW_SINK };
        assert_eq!(levels(gear, one_waits, 30).iter().max(), Some(&3));
    }

    #[test]
    fn the_cheapest_level_that_comes_near_the_smallest_is_the_usual_one() {
        for (sizes, want) in [
            ([2735, 2803, 2733], 1),
            ([4066, 3771, 4264], 2),
            ([4232, 4006, 3919], 3),
            ([1000, 1000, 1000], 1),
            ([0, 0, 0], 1),
        ] {
            let mut gear = Gear::new();
            gear.tried(10_000, sizes);
            assert_eq!(levels(&mut gear, SLOW_SOURCE, 3), [want; 3], "{sizes:?}");
        }
    }

    #[test]
    fn what_does_not_compress_never_climbs() {
        let gear = &mut Gear::new();
        gear.tried(1 << 20, [1 << 20, 1 << 20, (1 << 20) - 100]);
        assert_eq!(levels(gear, SLOW_SINK, 30), [1; 29]);
    }

    /// Which of so many frames are tried, when each of these says the same.
    fn tried(load: &Load, frames: u32, sizes: [usize; TRIED.len()]) -> Vec<u32> {
        let is_tried = |_: &u32| {
            let tried = load.next() == Turn::Try;
            if tried {
                load.tried(1000, sizes);
            }
            tried
        };
        (0..frames).filter(is_tried).collect()
    }

    #[test]
    fn frames_are_tried_less_often_while_they_say_the_same() {
        let load = Load::new(Levels::Adaptive, 6);
        assert_eq!(tried(&load, 300, [500; 3]), [4, 36, 68, 132, 260]);
        // The data is of another kind from here on.
        assert_eq!(tried(&load, 300, [900, 900, 500]), [88, 216, 248]);
    }

    #[test]
    fn a_fixed_level_is_never_left() {
        let load = Load::new(Levels::Fixed(7), 6);
        (0..6).for_each(|_| load.compressed());
        assert!((0..300).all(|_| load.next() == Turn::Compress(7)));
    }
}
