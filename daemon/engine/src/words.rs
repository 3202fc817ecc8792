//! The names of things: hosts, sources, runs, snapshots. Each is checked once, where it comes in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text is not a name of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct BadName {
    what: &'static str,
    text: String,
}

fn bad(what: &'static str, text: &str) -> BadName {
    BadName { what, text: text.escape_default().take(80).collect() }
}

/// The host whose sources these are; the first folder in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > 128 || text.starts_with(['.', '-']) || !text.chars().all(fine) {
            return Err(bad("a host name (letters, digits, `.`, `-`, `_`)", text));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is backed up. Its text is what people type and see.
///
/// * `db-data`: a named volume.
/// * `web:/var/lib/app`: what a container has mounted there, an anonymous volume or a bind mount. The
///   name outlives the container, so its lineage survives `compose up --force-recreate`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceName {
    /// A named volume.
    Volume(String),
    /// A mount of a container.
    Mount {
        /// The container's name, without a slash.
        container: String,
        /// Where it is mounted, absolute.
        at: String,
    },
}

impl FromStr for SourceName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match text.split_once(':') {
            None => Ok(Self::Volume(docker_name(text)?)),
            Some((container, at)) => {
                let inside =
                    at.strip_prefix('/').ok_or_else(|| bad("a container and a mount point", text))?;
                let fine = inside.split('/').all(|part| !matches!(part, "" | "." | ".."));
                if !fine || at.len() > 512 || at.chars().any(char::is_control) {
                    return Err(bad("a container and a mount point", text));
                }
                Ok(Self::Mount { container: docker_name(container)?, at: at.to_owned() })
            }
        }
    }
}

/// A name as Docker takes it for volumes and containers.
fn docker_name(text: &str) -> Result<String, BadName> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !first || text.len() > 255 || !text.chars().all(fine) {
        return Err(bad("a volume, or `container:/mount/point`", text));
    }
    Ok(text.to_owned())
}

/// One run of a backup, restore or other deed; sixteen hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A new one, from the system's random source.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let fine = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if text.len() == 16 && text.chars().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(bad("a run id", text))
        }
    }
}

/// A snapshot's number within its lineage; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Number(u64);

impl Number {
    /// The first of a lineage.
    pub const FIRST: Self = Self(1);

    /// Eight digits in names, so that they sort.
    pub const MAX: u64 = 99_999_999;

    /// Checks the bounds.
    pub fn new(n: u64) -> Option<Self> {
        (1..=Self::MAX).contains(&n).then_some(Self(n))
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The one after; `None` when a lineage is full.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The id, within the lineage, of the pack that pass `pass` (0 or 1) of this snapshot adds.
    pub fn pack_id(self, pass: u8) -> u64 {
        self.0 * 4 + u64::from(pass)
    }
}

/// What people type for a snapshot: `db-data@42`, `db-data@latest`, `other-host/db-data@42`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotName {
    /// Another host, if one was named.
    pub host: Option<HostName>,
    /// The source.
    pub source: SourceName,
    /// Which one; `None` is the newest.
    pub number: Option<Number>,
}

impl FromStr for SnapshotName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const WHAT: &str = "a snapshot (`SOURCE@42` or `SOURCE@latest`)";
        let (lineage, which) = text.rsplit_once('@').ok_or_else(|| bad(WHAT, text))?;
        let number = match which {
            "latest" => None,
            digits => Some(digits.parse().ok().and_then(Number::new).ok_or_else(|| bad(WHAT, text))?),
        };
        let (host, source) = parse_lineage(lineage)?;
        Ok(Self { host, source, number })
    }
}

/// `SOURCE` or `HOST/SOURCE`.
pub fn parse_lineage(text: &str) -> Result<(Option<HostName>, SourceName), BadName> {
    // A slash before any colon divides host and source; one after it belongs to a mount point.
    match text.split_once('/') {
        Some((host, source)) if !host.contains(':') => Ok((Some(host.parse()?), source.parse()?)),
        _ => Ok((None, text.parse()?)),
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        match self.number {
            Some(number) => write!(f, "{}@{number}", self.source),
            None => write!(f, "{}@latest", self.source),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(name) => f.write_str(name),
            Self::Mount { container, at } => write!(f, "{container}:{at}"),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Serde goes through the text, so that nothing unchecked comes in by that door.
macro_rules! through_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    )*};
}
through_text!(HostName, SourceName, RunId);

impl TryFrom<u64> for Number {
    type Error = BadName;

    fn try_from(n: u64) -> Result<Self, BadName> {
        Self::new(n).ok_or_else(|| bad("a snapshot number", &n.to_string()))
    }
}

impl From<Number> for u64 {
    fn from(number: Number) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr<Err = BadName> + fmt::Display>(rows: &[(&str, bool)]) {
        for (text, fine) in rows {
            match text.parse::<T>() {
                Ok(name) => assert!(*fine && name.to_string() == *text, "{text} gave {name}"),
                Err(e) => assert!(!fine, "{e}"),
            }
        }
    }

    #[test]
    fn names_are_checked_where_they_come_in() {
        check::<SourceName>(&[
            ("db-data", true),
            ("web:/var/lib/app", true),
            ("web:/", false),
            ("web:/a/../b", false),
            ("web:rel", false),
            ("", false),
            ("-x", false),
            ("a b", false),
            ("../../etc", false),
        ]);
        check::<SnapshotName>(&[
            ("db-data@42", true),
            ("db-data@latest", true),
            ("far/db-data@42", true),
            ("far/web:/var/lib@1", true),
            ("web:/var/lib@1", true),
            ("db-data", false),
            ("db-data@0", false),
            ("db-data@100000000", false),
            ("db-data@4 2", false),
        ]);
        check::<HostName>(&[("vm-1.example", true), (".x", false), ("a/b", false), ("", false)]);
        check::<RunId>(&[("0123456789abcdef", true), ("0123456789ABCDEF", false), ("1", false)]);
    }
}
