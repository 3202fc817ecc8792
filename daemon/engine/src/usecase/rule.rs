//! How long a policy keeps what it backs up, as retention counts.
//!
//! Always true: a policy without `[keep]` keeps everything, and so does a source that no policy covers.

use jiff::tz::TimeZone;
use policies::policy;
use policies::retention::{Keep, Terms};

use crate::failure::Failure;
use crate::usecase::cover::Cover;
use crate::usecase::terms::terms_for;
use crate::words::SourceName;

/// What a policy's terms keep, in its zone; `None` keeps everything.
pub fn rule_of(terms: &policy::Terms) -> Result<Option<(Keep, TimeZone)>, Failure> {
    let Some(keep) = &terms.keep else { return Ok(None) };
    let keep = keep.counted().map_err(|e| Failure::failed("count what a policy keeps").because(e))?;
    Ok(Some((keep, terms.time_zone.clone())))
}

/// The same for a source of this host, by the policy that covers it.
pub fn rule_for(cover: &Cover, source: &SourceName) -> Result<Option<(Keep, TimeZone)>, Failure> {
    terms_for(cover, source).map_or(Ok(None), rule_of)
}

/// A rule in one line, as the ledger remembers it.
pub fn rule_line(keep: &Keep, zone: &TimeZone) -> String {
    let Terms { last, hourly, daily, weekly, monthly, yearly, within, by_hand, after_failure, grace } =
        keep.terms();
    let counts = format!(
        "last={last} hourly={hourly} daily={daily} weekly={weekly} monthly={monthly} yearly={yearly}"
    );
    let spans = [within, by_hand, after_failure, grace].map(|span| span.as_secs());
    format!("{counts} spans={spans:?} {}", zone.iana_name().unwrap_or("UTC"))
}
