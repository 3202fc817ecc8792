//! `--at` of a source: in the zone of the policy that takes its snapshots, so that "02:00" is the run of two o'clock wherever
//! somebody types it. A source without a policy, a policy without a zone, and policies that cannot be read leave it to the zone
//! of the terminal; so does another host's source, whose policies are not here.

use engine::failure::{Class, Failure};
use engine::usecase::cover::Cover;
use engine::usecase::terms::terms_for;
use engine::words::SourceName;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use policies::policy::Terms;

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
    let local = session.screen.zone();
    let zone = zone_of(cover.and_then(|cover| terms_for(cover, source)), local);
    let now = session.screen.now();
    let moment = when::parse(text, now, zone).map_err(|e| refused(&e))?;
    if when::parse(text, now, local) != Ok(moment) {
        let name = zone.iana_name().unwrap_or("another zone");
        session.screen.say(&format!("`{text}` is read in {name}, the zone of the policy of `{source}`\n"));
    }
    Ok(Some(moment))
}

/// The zone that the policy names, or else the terminal's.
fn zone_of<'a>(terms: Option<&'a Terms>, local: &'a TimeZone) -> &'a TimeZone {
    terms.filter(|terms| terms.time_zone_named).map_or(local, |terms| &terms.time_zone)
}

/// In the zone of the terminal.
pub(super) fn here(text: Option<&str>, session: &Session) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    when::parse(text, session.screen.now(), session.screen.zone()).map(Some).map_err(|e| refused(&e))
}

fn refused(why: &WhenError) -> Failure {
    Failure::new(Class::Usage, format!("--at: {why}"))
}

#[cfg(test)]
mod tests {
    use policies::policy::Folder;

    use super::*;

    #[test]
    fn a_zone_that_a_policy_names_is_meant_also_if_it_is_utc() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        for (named, want) in [
            ("time_zone = \"UTC\"\n", "2026-11-20T02:00:00Z"),
            ("time_zone = \"Asia/Tokyo\"\n", "2026-11-19T17:00:00Z"),
            ("", "2026-11-20T01:00:00Z"),
        ] {
            let text = format!(
                "schedule = \"0 2 * * *\"\n{named}consistency.mode = \"live\"\nselect.volumes = [\"db\"]\n"
            );
            let folder = Folder::judge([("p.toml", text.as_str())]).unwrap();
            let terms = folder.policies()[0].terms();
            let read = when::parse("02:00", now, zone_of(terms, &berlin)).unwrap();
            assert_eq!(read.to_string(), want, "{named}");
        }
        assert_eq!(zone_of(None, &berlin), &berlin);
    }
}
