//! The rule that says how long snapshots are kept, and where it comes from.

use engine::failure::{Class, Failure};
use engine::words::SourceName;
use jiff::tz::TimeZone;
use policies::retention::Keep;

use crate::screen::Screen;

/// For verbs that plan what is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct RuleArgs {
    /// How much to keep, as in `last=3,daily=7,weekly=4,monthly=12`; also `hourly` and `yearly`, and the times
    /// `within=30d`, `by_hand=90d`, `after_failure=14d` and `grace=7d`
    #[arg(long, value_name = "RULE")]
    keep: Option<Keep>,
}

impl RuleArgs {
    /// The rule of a source, and the zone whose days and weeks it counts.
    pub(crate) fn of(&self, source: &SourceName, screen: &Screen) -> Result<(Keep, TimeZone), Failure> {
        match self.keep {
            Some(keep) => Ok((keep, screen.zone().clone())),
            None => Err(Failure::new(
                Class::Usage,
                format!("no rule says how long snapshots of `{source}` are kept"),
            )
            .hint("give one, as in `--keep last=3,daily=7,weekly=4,monthly=12`")),
        }
    }
}
