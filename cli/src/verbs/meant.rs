//! `--at` of a source: in the zone of the policy that takes its snapshots, so that "02:00" is the run of two o'clock wherever
//! somebody types it. A source without a policy, a policy without a zone, and policies that cannot be read leave it to the zone
//! of the terminal; so does another host's source, whose policies are not here.

use engine::failure::{Class, Failure};
use engine::usecase::cover::Cover;
use engine::usecase::terms::terms_for;
use engine::words::SourceName;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::session::Session;
use crate::when::{self, WhenError};

/// No two zones are further apart.
const ZONES_APART: SignedDuration = SignedDuration::from_hours(26);

/// Refuses what is no moment in any zone, before anything is opened.
pub(super) fn check(text: Option<&str>, session: &Session) -> Result<(), Failure> {
    let Some(text) = text else { return Ok(()) };
    let (now, zone) = (session.screen.now(), session.screen.zone());
    match when::parse(text, now, zone) {
        Err(WhenError::Future(_)) => {
            let later = now.checked_add(ZONES_APART).unwrap_or(now);
            when::parse(text, later, zone).map(drop).map_err(|e| refused(&e))
        }
        read => read.map(drop).map_err(|e| refused(&e)),
    }
}

/// The moment that was named for a source of this host, if one was; says which zone that is, if it is another than the terminal's.
pub(super) fn meant(
    text: Option<&str>,
    source: &SourceName,
    cover: Option<&Cover>,
    session: &Session,
) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let of_policy = cover.and_then(|cover| terms_for(cover, source)).map(|terms| &terms.time_zone);
    let local = session.screen.zone();
    let zone = of_policy.filter(|zone| **zone != TimeZone::UTC).unwrap_or(local);
    let now = session.screen.now();
    let moment = when::parse(text, now, zone).map_err(|e| refused(&e))?;
    if when::parse(text, now, local) != Ok(moment) {
        let name = zone.iana_name().unwrap_or("another zone");
        session.screen.say(&format!("`{text}` is read in {name}, the zone of the policy of `{source}`\n"));
    }
    Ok(Some(moment))
}

/// In the zone of the terminal.
pub(super) fn here(text: Option<&str>, session: &Session) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    when::parse(text, session.screen.now(), session.screen.zone()).map(Some).map_err(|e| refused(&e))
}

fn refused(why: &WhenError) -> Failure {
    Failure::new(Class::Usage, format!("--at: {why}"))
}
