//! What of an archive is taken, and where it goes.
//!
//! Always true: a path that is given lies beneath the root. A name that leads up is refused, whatever it would lead to.

use super::error::ForeignError;
use crate::channel::UntarJob;
use crate::path::TreePath;

/// Says for each name where its member goes.
pub(super) struct Place {
    strip: usize,
    beneath: TreePath,
}

/// Where a name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goes {
    /// There.
    To(TreePath),
    /// It is not among what is wanted.
    Elsewhere,
    /// No file system takes that name, for this reason.
    Nowhere(String),
}

impl Place {
    pub(super) fn of(job: &UntarJob) -> Self {
        Self { strip: job.strip as usize, beneath: job.beneath.clone() }
    }

    /// Slashes in front, in a row or at the end mean nothing, nor do `.` components: as for every tar.
    pub(super) fn of_name(&self, name: &[u8]) -> Result<Goes, ForeignError> {
        if name.is_empty() {
            return Err(ForeignError::hostile(name, "it has no name"));
        }
        let parts: Vec<&[u8]> =
            name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if parts.contains(&b"..".as_slice()) {
            return Err(ForeignError::hostile(name, "it leads out of the folder that it is unpacked in"));
        }
        let mut parts = parts.into_iter();
        let wanted = self.beneath.components().all(|part| parts.next() == Some(part));
        if !wanted {
            return Ok(Goes::Elsewhere);
        }
        let rest: Vec<&[u8]> = parts.collect();
        if rest.len() < self.strip {
            return Ok(Goes::Elsewhere);
        }
        Ok(match TreePath::parse(rest[self.strip..].join(&b'/')) {
            Ok(path) => Goes::To(path),
            Err(why) => Goes::Nowhere(why.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(beneath: &str, strip: u32, name: &str, want: Option<&str>) {
        let beneath = TreePath::parse(beneath.as_bytes().to_vec()).unwrap();
        let place = Place::of(&UntarJob { strip, beneath });
        let want =
            want.map_or(Goes::Elsewhere, |path| Goes::To(TreePath::parse(path.as_bytes().to_vec()).unwrap()));
        assert_eq!(place.of_name(name.as_bytes()).unwrap(), want, "{name}");
    }

    #[test]
    fn names_lose_what_is_before_them() {
        check("", 0, "./a//b/./c/", Some("a/b/c"));
        check("", 0, "./", Some(""));
        check("", 0, "/", Some(""));
        check("backup/db", 0, "/backup/db", Some(""));
        check("backup/db", 0, "/backup/db/base/1", Some("base/1"));
        check("backup/db", 0, "/backup/dbx/base/1", None);
        check("backup/db", 0, "/backup", None);
        check("", 2, "backup/db/base/1", Some("base/1"));
        check("", 2, "backup/db", Some(""));
        check("", 2, "backup", None);
        check("backup", 1, "backup/db/base", Some("base"));
    }

    #[test]
    fn no_name_leads_out() {
        let place = Place::of(&UntarJob { strip: 0, beneath: TreePath::root() });
        for name in ["..", "../a", "a/../../b", "a/..", "/../etc", ""] {
            assert!(place.of_name(name.as_bytes()).is_err(), "{name}");
        }
        assert!(matches!(place.of_name(&[b'x'; 256]), Ok(Goes::Nowhere(_))));
    }
}
