//! Texts that policies carry: each is taken as it will be used, or refused with what it must be.
//!
//! Always true: no refusal repeats a URL, for a secret may be in it.

use jiff::tz::{self, TimeZone, TimeZoneDatabase};

use crate::complaint::{nearest, shown};
use crate::policy::dump::Secret;
use crate::schedule::Schedule;
use crate::select::LabelTest;
use crate::values::{carries_secret, store_fine};

type Taken<T> = Result<T, String>;

/// One line of words for people.
pub(crate) fn line(text: &str) -> Taken<String> {
    if text.trim().is_empty() || text.chars().count() > 300 || text.chars().any(char::is_control) {
        return Err("must say why in one line: `nothing = \"because it is a cache\"`".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// An argument of a command, or the name of an image.
pub(crate) fn word(text: &str) -> Taken<String> {
    if text.is_empty() || text.len() > 4_096 || text.contains('\0') {
        return Err("must not be empty, longer than 4096 bytes, or hold a zero byte".to_owned());
    }
    Ok(text.to_owned())
}

/// How a line of a program's output begins.
pub(crate) fn line_begin(text: &str) -> Taken<String> {
    if text.trim().is_empty() || text.len() > 300 || text.chars().any(char::is_control) {
        return Err("must be how one line begins, at most 300 bytes of it".to_owned());
    }
    Ok(text.to_owned())
}

/// The line of a schedule, as the calendar reads it.
pub(crate) fn schedule(text: &str) -> Taken<Schedule> {
    Schedule::parse(text).map_err(|bad| format!("must be a line of crontab(5): {bad}"))
}

/// A zone that the database of zones knows.
pub(crate) fn zone(name: &str) -> Taken<TimeZone> {
    zone_in(tz::db(), name)
}

/// That of UTC needs no database.
fn zone_in(database: &TimeZoneDatabase, name: &str) -> Taken<TimeZone> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if let Some(zone) = database.get(name).ok().filter(|zone| !zone.is_unknown()) {
        return Ok(zone);
    }
    let known: Vec<String> = database.available().map(|name| name.as_str().to_owned()).collect();
    if known.is_empty() {
        return Err(
            "cannot be looked up: this host has no database of time zones; install `tzdata`".to_owned()
        );
    }
    let mend = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write it as `Europe/Berlin` or `UTC`".to_owned(),
    };
    Err(format!("must be the IANA name of a time zone, and `{}` is none; {mend}", shown(name)))
}

/// The address of a store, by the rule of the settings file.
pub(crate) fn store(url: &str) -> Taken<String> {
    store_fine(url).map_err(str::to_owned)?;
    if url.len() > 2_048 || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must be one word, with `%20` for a space".to_owned());
    }
    Ok(url.to_owned())
}

/// Where somebody is told: a web address, or a file or a credential of systemd that holds one.
pub(crate) fn web(url: &str) -> Taken<String> {
    const FILE: &str =
        "write the whole URL into a file that only root can read, and here `file:///etc/backupd/NAME`";
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(name) = url.strip_prefix("credential:") {
        let fine =
            !name.is_empty() && !name.starts_with('.') && name.len() <= 255 && name.chars().all(is_name);
        let taken = fine.then(|| url.to_owned());
        return taken.ok_or_else(|| "must name a credential of the unit: `credential:NAME`".to_owned());
    }
    if carries_secret(url) {
        return Err(format!("must not carry a password or token: everybody may read this file; {FILE}"));
    }
    let rest = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let fine = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        || url.strip_prefix("file:///").is_some_and(|path| !path.is_empty());
    if !fine || url.len() > 2_048 || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("must be `https://…`; if it is secret, {FILE}"));
    }
    Ok(url.to_owned())
}

/// `key` or `key=value`.
pub(crate) fn label(text: &str) -> Taken<LabelTest> {
    let key = text.split('=').next().unwrap_or_default();
    if key.is_empty() || text.len() > 1_024 || text.chars().any(char::is_control) {
        return Err("must be `key` or `key=value`".to_owned());
    }
    if key.starts_with("backupd.") {
        return Err("must not name our own labels: `backupd.policy` selects by itself".to_owned());
    }
    Ok(LabelTest::new(text))
}

/// A pattern for the names that Docker gives to volumes, containers and projects.
pub(crate) fn docker_name(text: &str) -> Taken<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*' | '?');
    if text.is_empty() || text.len() > 255 || !text.chars().all(fine) {
        return Err("must be letters, digits, `.`, `-`, `_`, and `*` or `?` as patterns".to_owned());
    }
    Ok(())
}

/// The name of a container or a service, which stands for no other.
pub(crate) fn exact_name(text: &str) -> Taken<String> {
    match docker_name(text) {
        Ok(()) if !text.contains(['*', '?']) => Ok(text.to_owned()),
        Ok(()) | Err(_) => Err("must be one name: letters, digits, `.`, `-` and `_`".to_owned()),
    }
}

/// A variable and the file of the host that holds its value. What may be a secret is not repeated.
pub(crate) fn secret(text: &str) -> Taken<Secret> {
    let is_name = |name: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(fine)
    };
    let taken = text.split_once("=file://").filter(|(name, file)| is_name(name) && absolute(file));
    let taken = taken.map(|(name, file)| Secret { name: name.to_owned(), file: file.to_owned() });
    taken.ok_or_else(|| {
        "must be `NAME=file:///etc/backupd/NAME`: everybody may read this file, so its value stands in one that only root \
         can read"
            .to_owned()
    })
}

/// A pattern for names of volumes.
pub(crate) fn volume(text: &str) -> Taken<()> {
    let name = text.strip_prefix('!').unwrap_or(text);
    if name.contains(":/") {
        return Err("must be names of volumes; `container:/mount/point` belongs into `mounts`".to_owned());
    }
    if name.starts_with('/') {
        return Err("must be names of volumes; a folder of the host belongs into `paths`".to_owned());
    }
    docker_name(name)
}

/// A pattern for `container:/mount/point`.
pub(crate) fn container_mount(text: &str) -> Taken<()> {
    let place = text.strip_prefix('!').unwrap_or(text).split_once(':');
    let fine = place.is_some_and(|(container, at)| docker_name(container).is_ok() && absolute(at));
    if fine { Ok(()) } else { Err("must be `container:/mount/point`".to_owned()) }
}

/// A pattern for folders of the host.
pub(crate) fn folder(text: &str) -> Taken<()> {
    if absolute(text.strip_prefix('!').unwrap_or(text)) {
        return Ok(());
    }
    Err("must be absolute paths below `/`, without `.`, `..` or a slash at the end: `/srv/app/data`"
        .to_owned())
}

fn absolute(path: &str) -> bool {
    let parts = path.strip_prefix('/').map(|inside| inside.split('/'));
    let fine = parts.is_some_and(|mut parts| parts.all(|part| !matches!(part, "" | "." | "..")));
    fine && path.len() <= 4_096 && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H8: as in small images.
    #[test]
    fn a_host_without_a_database_of_zones_is_told_so_and_knows_utc() {
        let none = TimeZoneDatabase::none();
        for name in ["Europe/Berlin", "Europe/Brelin"] {
            let why = zone_in(&none, name).unwrap_err();
            assert!(why.contains("install `tzdata`"), "{why}");
        }
        assert_eq!(zone_in(&none, "UTC").unwrap().iana_name(), Some("UTC"));
    }
}
