//! How hard snapshots are compressed, as settings and policies say it: a zstd level, or a word for a choice of levels.

use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::DeValue;

use crate::complaint::Judge;
use crate::values::{whole, wrong_type};

/// A zstd level, or a rule that finds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What pays for the data, and higher ones while the store is slower than the cores.
    Adaptive,
    /// Always this one, 1 to 19.
    Fixed(u32),
}

impl Level {
    /// What zstd has.
    pub(crate) const NUMBERS: RangeInclusive<u32> = 1..=19;

    /// Words that stand for levels.
    pub(crate) const WORDS: &'static [&'static str] = &["adaptive", "fast", "best"];

    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "adaptive" => Self::Adaptive,
            "fast" => Self::Fixed(1),
            "best" => Self::Fixed(9),
            _ => return None,
        })
    }
}

const WANT: &str = "a whole number, \"adaptive\", \"fast\" or \"best\"";

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adaptive => f.write_str("adaptive"),
            Self::Fixed(level) => level.fmt(f),
        }
    }
}

/// The level that stands behind `key`.
pub(crate) fn level(judge: &mut Judge<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Level> {
    if value.get_ref().is_integer() {
        return whole(judge, key, value, 1..20).map(Level::Fixed);
    }
    let Some(word) = value.get_ref().as_str() else {
        wrong_type(judge, key, &value.span(), WANT, value);
        return None;
    };
    let level = Level::of_word(word);
    if level.is_none() {
        judge.blame(&value.span(), format!("`{key}` must be {WANT}"));
    }
    level
}
