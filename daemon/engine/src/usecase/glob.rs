//! Patterns for paths, as people know them: `*` and `?` stay within a name, `**` does not, `[a-z]` is a set.
//!
//! A pattern without a slash is matched against the last name; one with a slash against the whole path.

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    pattern: Vec<u8>,
    whole_path: bool,
}

impl Glob {
    /// Every text is a pattern.
    pub(crate) fn parse(text: &str) -> Self {
        let pattern = text.strip_prefix('/').unwrap_or(text).as_bytes().to_vec();
        Self { pattern, whole_path: text.contains('/') || text.contains("**") }
    }

    /// Whether a path, relative and without a slash in front, matches.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let subject = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) if !self.whole_path => &path[slash + 1..],
            _ => path,
        };
        matches(&self.pattern, subject)
    }
}

/// Remembers the last star of each sort, so that time is at most the product of the two lengths.
fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut globstar: Option<(usize, usize)> = None;
    loop {
        if pattern[p..].starts_with(b"**") {
            // `**/` also stands for no folder at all.
            let skip =
                if pattern[p..].starts_with(b"**/") && (s == 0 || subject[s - 1] == b'/') { 3 } else { 2 };
            globstar = Some((p, s));
            star = None;
            p += skip;
            continue;
        }
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, s));
            p += 1;
            continue;
        }
        if let Some(next) = one(&pattern[p..], subject.get(s).copied()) {
            if s == subject.len() {
                return true;
            }
            p += next;
            s += 1;
            continue;
        }
        match (star, globstar) {
            (Some((at, from)), _) if from < subject.len() && subject[from] != b'/' => {
                star = Some((at, from + 1));
                (p, s) = (at + 1, from + 1);
            }
            (_, Some((at, from))) if from < subject.len() => {
                star = None;
                globstar = Some((at, from + 1));
                let skip = if pattern[at..].starts_with(b"**/") && subject[from] == b'/' { 3 } else { 2 };
                (p, s) = (at + skip, from + 1);
            }
            _ => return false,
        }
    }
}

/// How much of the pattern stands for this one byte; the end of the pattern stands for the end.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    match (pattern.first(), byte) {
        (None, None) => Some(0),
        (None, Some(_)) | (Some(_), None) => None,
        (Some(b'?'), Some(byte)) => (byte != b'/').then_some(1),
        (Some(b'['), Some(byte)) => set(pattern, byte),
        (Some(b'\\'), Some(byte)) if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        (Some(literal), Some(byte)) => (*literal == byte).then_some(1),
    }
}

/// `[abc]`, `[a-z]`, `[!a]`. One without an end is an ordinary bracket.
fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    let Some(end) = pattern.iter().skip(2).position(|b| *b == b']').map(|at| at + 2) else {
        return (byte == b'[').then_some(1);
    };
    let not = matches!(pattern[1], b'!' | b'^') && end > 2;
    let inside = &pattern[1 + usize::from(not)..end];
    let mut i = 0;
    let mut hit = false;
    while i < inside.len() {
        if i + 2 < inside.len() && inside[i + 1] == b'-' {
            hit |= (inside[i]..=inside[i + 2]).contains(&byte);
            i += 3;
        } else {
            hit |= inside[i] == byte;
            i += 1;
        }
    }
    (hit != not && byte != b'/').then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, hits: &[&str], misses: &[&str]) {
        let glob = Glob::parse(pattern);
        for hit in hits {
            assert!(glob.matches(hit.as_bytes()), "`{pattern}` should match `{hit}`");
        }
        for miss in misses {
            assert!(!glob.matches(miss.as_bytes()), "`{pattern}` should not match `{miss}`");
        }
    }

    #[test]
    fn patterns_mean_what_people_expect() {
        check("*.wsp", &["a.wsp", "deep/in/b.wsp"], &["a.wsp.bak", "wsp"]);
        check("PG_VERSION", &["PG_VERSION", "base/PG_VERSION"], &["PG_VERSION2"]);
        check("base/*", &["base/1"], &["base", "base/1/2", "x/base/1"]);
        check("/base/*", &["base/1"], &["x/base/1"]);
        check("**/x", &["x", "a/x", "a/b/x"], &["ax", "x/a"]);
        check("a/**", &["a/b", "a/b/c"], &["a", "b/a/c"]);
        check("a/**/z", &["a/z", "a/b/c/z"], &["a/bz", "az"]);
        check("a**z", &["az", "a/z", "abc/xyz"], &["a/zy"]);
        check("?", &["a", "x/b"], &["ab"]);
        check("[a-c]?[!0-9]", &["a1x", "b-y"], &["d1x", "a11"]);
        check("a\\*b", &["a*b"], &["axb"]);
        check("[", &["["], &["]"]);
        check("*a*b*c*", &["xxaxxbxxcxx"], &["acb"]);
        check("", &[""], &["a"]);
    }

    #[test]
    fn many_stars_end_soon() {
        let glob = Glob::parse(&"a*".repeat(200));
        assert!(!glob.matches("a".repeat(199).as_bytes()));
        let glob = Glob::parse(&"**a*/".repeat(100));
        assert!(!glob.matches("a/".repeat(300).trim_end_matches('/').as_bytes()));
    }
}
