//! The rule that says how long snapshots are kept, and where it comes from.

use engine::failure::{Class, Failure};
use engine::usecase::cover::{Cover, cover};
use engine::usecase::host::Host;
use engine::usecase::rule::rule_for;
use engine::words::SourceName;
use jiff::tz::TimeZone;
use policies::retention::Keep;

use crate::session::Session;

/// For verbs that plan what is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct RuleArgs {
    /// How much to keep, as in `last=3,daily=7,weekly=4,monthly=12`; also `hourly` and `yearly`, and the times
    /// `within=30d`, `by_hand=90d`, `after_failure=14d` and `grace=7d`. Without it, the policy of each source says
    #[arg(long, value_name = "RULE")]
    keep: Option<Keep>,
}

impl RuleArgs {
    /// The rules of this host's sources: the one that was given, or those of its policies.
    pub(crate) async fn rules(&self, host: &Host, session: &Session) -> Result<Rules, Failure> {
        match self.keep {
            Some(keep) => Ok(Rules::Given(Box::new((keep, session.screen.zone().clone())))),
            None => match cover(host, &session.places()?).await {
                Ok(cover) => Ok(Rules::Policies(Box::new(cover))),
                Err(failure) => {
                    Err(failure.within("look for the policies that say how long snapshots are kept"))
                }
            },
        }
    }
}

/// How long what is kept.
pub(crate) enum Rules {
    Given(Box<(Keep, TimeZone)>),
    Policies(Box<Cover>),
}

impl Rules {
    /// The rule of a source, and the zone whose days and weeks it counts; `None` keeps everything.
    pub(crate) fn of(&self, source: &SourceName) -> Result<Option<(Keep, TimeZone)>, Failure> {
        match self {
            Self::Given(rule) => Ok(Some((**rule).clone())),
            Self::Policies(cover) => rule_for(cover, source),
        }
    }
}

/// Nothing says how long a source is kept.
pub(crate) fn no_rule(source: &SourceName) -> Failure {
    Failure::new(Class::Usage, format!("no rule says how long snapshots of `{source}` are kept"))
        .hint("give one, as in `--keep last=3,daily=7,weekly=4,monthly=12`, or `[keep]` in its policy")
}
