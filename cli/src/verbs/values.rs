//! Values of arguments that are more than one word of the engine.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::builder::{OsStringValueParser, TypedValueParser};
use engine::archive::path::{PathError, TreePath};
use engine::usecase::snapshots::{Wanted, WantedHost};
use engine::words::{BadName, HostName, Number, SnapshotName, SourceName, parse_lineage};

/// `SOURCE` or `HOST/SOURCE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) host: Option<HostName>,
    pub(crate) source: SourceName,
}

impl std::str::FromStr for Lineage {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, source) = parse_lineage(text)?;
        Ok(Self { host, source })
    }
}

/// What is brought back: a source, or one of its snapshots as lists print it, `SOURCE@42` or `HOST/SOURCE@42`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) host: Option<HostName>,
    pub(crate) source: SourceName,
    /// The newest if `None`.
    pub(crate) number: Option<Number>,
}

impl Named {
    pub(crate) fn of(source: SourceName) -> Self {
        Self { host: None, source, number: None }
    }
}

impl std::str::FromStr for Named {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // First what is no snapshot: a mount point may end with `@42`.
        let refused = match text.parse::<Lineage>() {
            Ok(Lineage { host, source }) => return Ok(Self { host, source, number: None }),
            Err(refused) => refused,
        };
        let named: SnapshotName = text.parse().map_err(|_bad: BadName| refused)?;
        Ok(Self { host: named.host, source: named.source, number: named.number })
    }
}

/// Which snapshots: those of this host, unless another is named.
pub(crate) fn wanted(
    lineage: Option<&Lineage>,
    from_host: Option<&HostName>,
    all_hosts: bool,
    deleted: bool,
) -> Wanted {
    let named = from_host.or(lineage.and_then(|lineage| lineage.host.as_ref()));
    let host = match named {
        Some(host) => WantedHost::Named(host.clone()),
        None if all_hosts => WantedHost::All,
        None => WantedHost::This,
    };
    Wanted { host, source: lineage.map(|lineage| lineage.source.clone()), deleted }
}

/// Paths inside a source, bytes as they are: `base/1`, `/base/1/`, `./base/1` and `.` are all understood.
pub(crate) fn tree_path() -> impl TypedValueParser<Value = TreePath> {
    OsStringValueParser::new().try_map(parse_path)
}

fn parse_path(text: OsString) -> Result<TreePath, PathError> {
    let bytes = text.into_vec();
    let parts: Vec<&[u8]> =
        bytes.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    TreePath::parse(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_typed_in_several_ways_and_never_leaves_the_source() {
        for (typed, want) in [
            ("base/1", Some("base/1")),
            ("/base/1/", Some("base/1")),
            ("./base//1", Some("base/1")),
            (".", Some(".")),
            ("/", Some(".")),
            ("a/../b", None),
            ("..", None),
        ] {
            let got = parse_path(typed.into()).map(|path| path.to_string());
            assert_eq!(got.ok().as_deref(), want, "{typed}");
        }
        assert_eq!(parse_path(OsString::from_vec(b"\xff\n".to_vec())).unwrap().as_bytes(), b"\xff\n");
    }

    #[test]
    fn a_source_may_be_named_by_one_of_its_snapshots() {
        let named = |text: &str| {
            let Named { host, source, number } = text.parse().ok()?;
            Some((host.map(|host| host.as_str().to_owned()), source.to_string(), number.map(Number::get)))
        };
        for (text, want) in [
            ("db", Some((None, "db", None))),
            ("db@3", Some((None, "db", Some(3)))),
            ("db@latest", Some((None, "db", None))),
            ("vm-1/db@5", Some((Some("vm-1"), "db", Some(5)))),
            ("vm-1/db", Some((Some("vm-1"), "db", None))),
            ("web:/srv/a@3", Some((None, "web:/srv/a@3", None))),
            ("db@0", None),
            ("db@yesterday", None),
        ] {
            let want =
                want.map(|(host, source, number)| (host.map(str::to_owned), source.to_owned(), number));
            assert_eq!(named(text), want, "{text}");
        }
    }

    #[test]
    fn a_named_host_wins_over_all_hosts() {
        let far: Lineage = "far/db".parse().unwrap();
        assert!(
            matches!(wanted(Some(&far), None, true, false).host, WantedHost::Named(h) if h.as_str() == "far")
        );
        assert!(matches!(wanted(None, None, true, false).host, WantedHost::All));
        assert!(matches!(wanted(None, None, false, false).host, WantedHost::This));
    }
}
