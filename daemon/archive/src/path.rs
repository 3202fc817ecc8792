//! Paths inside a source: relative byte strings that cannot leave their root.
//!
//! Always true of a [`TreePath`]: it is empty (the root entry itself) or a list of components joined by
//! single slashes, none of which is empty, `.`, `..`, longer than 255 bytes, or holds a NUL. So whoever
//! holds one never checks again. Bytes are kept as they are: names need not be UTF-8.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name that a Linux file system stores.
pub const NAME_MAX: usize = 255;

/// The longest path we accept. Trees deeper than `PATH_MAX` are real; this bounds memory, not reality.
pub const PATH_BYTES_MAX: usize = 1 << 20;

/// A checked path relative to the root of a source; the empty path is the root itself.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct TreePath(Vec<u8>);

/// Why a byte string is not a path inside a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Starts with a slash.
    #[error("is absolute")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("has an empty component")]
    EmptyComponent,
    /// `.` or `..` as a component.
    #[error("has a `.` or `..` component")]
    Dots,
    /// A NUL byte.
    #[error("holds a NUL byte")]
    Nul,
    /// A component over [`NAME_MAX`] bytes.
    #[error("has a component longer than 255 bytes")]
    NameTooLong,
    /// Over [`PATH_BYTES_MAX`] bytes.
    #[error("is longer than 1 MiB")]
    TooLong,
}

/// Checks one component of a path.
pub fn check_name(name: &[u8]) -> Result<(), PathError> {
    if name.is_empty() {
        return Err(PathError::EmptyComponent);
    }
    if name == b"." || name == b".." {
        return Err(PathError::Dots);
    }
    if name.len() > NAME_MAX {
        return Err(PathError::NameTooLong);
    }
    if name.contains(&0) {
        return Err(PathError::Nul);
    }
    Ok(())
}

impl TreePath {
    /// The root entry.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The only way in for bytes from outside.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, PathError> {
        if bytes.is_empty() {
            return Ok(Self(bytes));
        }
        if bytes.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if bytes[0] == b'/' {
            return Err(PathError::Absolute);
        }
        bytes.split(|b| *b == b'/').try_for_each(check_name)?;
        Ok(Self(bytes))
    }

    /// This path with one more component.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        check_name(name)?;
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !self.0.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        if bytes.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(bytes))
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root entry.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// The folder and the last component; `None` for the root.
    pub fn split_last(&self) -> Option<(&[u8], &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (&[], &self.0),
        })
    }

    /// Whether `self` is `folder` or lies beneath it.
    pub fn is_within(&self, folder: &Self) -> bool {
        folder.is_root()
            || self.0 == folder.0
            || (self.0.starts_with(&folder.0) && self.0.get(folder.0.len()) == Some(&b'/'))
    }
}

/// Path order: a folder comes before what it holds, and all it holds comes before its next sibling.
/// That is byte order with the slash below every other byte.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((x, y)) => rank(*x).cmp(&rank(*y)),
        None => a.len().cmp(&b.len()),
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl TryFrom<Vec<u8>> for TreePath {
    type Error = PathError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, PathError> {
        Self::parse(bytes)
    }
}

impl From<TreePath> for Vec<u8> {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

/// For people: UTF-8 as it is, everything that a terminal could act on escaped.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        f.write_str(&printable(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Bytes as text that cannot steer a terminal: control characters and non-UTF-8 come out as `\x1b`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' || is_direction_mark(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Characters that reorder what a person reads.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], want: Result<(), PathError>) {
        assert_eq!(TreePath::parse(bytes.to_vec()).map(|_| ()), want, "{}", printable(bytes));
    }

    #[test]
    fn only_paths_that_stay_inside_are_paths() {
        check(b"", Ok(()));
        check(b"a/b c/\xff\n", Ok(()));
        check(b"..x/...", Ok(()));
        check(b"/etc/passwd", Err(PathError::Absolute));
        check(b"a/../b", Err(PathError::Dots));
        check(b"./a", Err(PathError::Dots));
        check(b"a//b", Err(PathError::EmptyComponent));
        check(b"a/", Err(PathError::EmptyComponent));
        check(b"a\0b", Err(PathError::Nul));
        check(&[b'x'; 255], Ok(()));
        check(&[b'x'; 256], Err(PathError::NameTooLong));
        check(&[b"d/".repeat(PATH_BYTES_MAX / 2), b"ee".to_vec()].concat(), Err(PathError::TooLong));
    }

    #[test]
    fn a_folder_sorts_just_before_what_it_holds() {
        let mut names: Vec<&[u8]> = vec![b"a.txt", b"a/z", b"a", b"", b"b", b"a/b/c", b"a\x01"];
        names.sort_by(|a, b| compare(a, b));
        let want: Vec<&[u8]> = vec![b"", b"a", b"a/b/c", b"a/z", b"a\x01", b"a.txt", b"b"];
        assert_eq!(names, want);
    }

    #[test]
    fn a_terminal_cannot_be_steered_by_a_name() {
        assert_eq!(printable(b"ok \xc3\xa9"), "ok \u{e9}");
        assert_eq!(printable(b"\x1b[31m\n\xff"), "\\u{1b}[31m\\n\\xff");
    }

    #[test]
    fn within_means_at_or_beneath() {
        let path = |s: &[u8]| TreePath::parse(s.to_vec()).unwrap();
        assert!(path(b"a/b").is_within(&path(b"a")));
        assert!(path(b"a").is_within(&TreePath::root()));
        assert!(!path(b"ab").is_within(&path(b"a")));
    }
}
