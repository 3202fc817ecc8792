//! What a policy says of how a run is packed and how much of the host it takes; the settings say the rest.

use archive::levels::Levels;
use jiff::SignedDuration;
use policies::level::Level;
use policies::policy::Terms;

use crate::usecase::base::FULL_EVERY_DAYS;
use crate::usecase::cover::Cover;
use crate::usecase::health::backed_up;
use crate::words::SourceName;

/// The terms of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTerms {
    /// How to compress; as the settings say if `None`.
    pub levels: Option<Levels>,
    /// At most so many bytes a second go to the store.
    pub bytes_per_second: Option<u64>,
    /// Priority of the helper, as nice(1): 0 to 19.
    pub nice: u8,
    /// The last full snapshot may be so old.
    pub full_every: SignedDuration,
    /// More packs behind one snapshot make the next one full.
    pub max_packs: Option<u32>,
}

/// For what no policy covers.
impl Default for RunTerms {
    fn default() -> Self {
        let full_every = SignedDuration::from_hours(i64::from(FULL_EVERY_DAYS) * 24);
        Self { levels: None, bytes_per_second: None, nice: 0, full_every, max_packs: None }
    }
}

impl RunTerms {
    /// As a policy says.
    pub fn of(terms: &Terms) -> Self {
        let full_every = SignedDuration::try_from(terms.pack.full_every);
        Self {
            levels: terms.pack.level.map(levels),
            bytes_per_second: terms.limits.bandwidth,
            nice: u8::try_from(terms.limits.nice).unwrap_or(NICE_MAX).min(NICE_MAX),
            full_every: full_every.unwrap_or(SignedDuration::MAX),
            max_packs: terms.pack.max_packs,
        }
    }
}

/// What the policy says that covers a source, if one does.
pub fn terms_for<'a>(cover: &'a Cover, source: &SourceName) -> Option<&'a Terms> {
    backed_up(cover).into_iter().find(|(covered, ..)| covered == source).map(|(_, _, terms)| terms)
}

/// The kindest priority.
const NICE_MAX: u8 = 19;

/// What a level of settings or policy is to the helper.
pub fn levels(level: Level) -> Levels {
    match level {
        Level::Adaptive => Levels::Adaptive,
        // It is at most 19.
        Level::Fixed(level) => Levels::Fixed(i32::try_from(level).unwrap_or(Levels::Adaptive.first())),
    }
}
