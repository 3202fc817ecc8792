//! Patterns for names: `*` is any run of characters but `/`, `?` is one of them, all else is itself.
//!
//! Always true: matching takes time proportional to pattern times text at most, whatever both are.

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    /// Takes any text; what may stand in it is judged where it is read.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names one thing.
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether it matches the whole of `name`.
    pub fn matches(&self, name: &str) -> bool {
        let (glob, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut g, mut n) = (0, 0);
        // Where the last star was, and up to where it has eaten: the only place to come back to.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match glob.get(g) {
                Some('*') => {
                    star = Some((g, n));
                    g += 1;
                }
                Some('?') if name[n] != '/' => (g, n) = (g + 1, n + 1),
                Some(c) if *c == name[n] && *c != '?' => (g, n) = (g + 1, n + 1),
                Some(_) | None => match star {
                    Some((at, eaten)) if name[eaten] != '/' => {
                        star = Some((at, eaten + 1));
                        (g, n) = (at + 1, eaten + 1);
                    }
                    Some(_) | None => return false,
                },
            }
        }
        glob[g..].iter().all(|c| *c == '*')
    }
}

/// A list of patterns: matches what one of them does, unless one with `!` in front does as well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Globs {
    wanted: Vec<Glob>,
    unwanted: Vec<Glob>,
}

impl Globs {
    pub(crate) fn add(&mut self, text: &str) {
        let (list, text) = match text.strip_prefix('!') {
            Some(text) => (&mut self.unwanted, text),
            None => (&mut self.wanted, text),
        };
        // Sorted, so that two lists of the same patterns are equal.
        let glob = Glob::new(text);
        if let Err(at) = list.binary_search(&glob) {
            list.insert(at, glob);
        }
    }

    /// No pattern at all.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// Patterns, but all of them take away.
    pub(crate) fn only_takes_away(&self) -> bool {
        self.wanted.is_empty() && !self.unwanted.is_empty()
    }

    /// Patterns that name one thing.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().filter(|glob| glob.is_literal()).map(Glob::as_str)
    }

    /// The pattern that matches, if the list does.
    pub fn find(&self, name: &str) -> Option<&Glob> {
        if self.unwanted.iter().any(|glob| glob.matches(name)) {
            return None;
        }
        self.wanted.iter().find(|glob| glob.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_match_names() {
        for (glob, name, want) in [
            ("db-data", "db-data", true),
            ("db-data", "db-data2", false),
            ("*", "", true),
            ("*_db-data", "concertim_db-data", true),
            ("*_db-data", "_db-data_db-data", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("da?a", "data", true),
            ("da?a", "daa", false),
            ("?", "", false),
            ("web*:/srv/*", "web-1:/srv/app", true),
            ("web*:/srv/*", "web-1:/srv/app/data", false),
            ("web*:/srv/?", "web-1:/srv//", false),
            ("**", "a/b", false),
            ("[a]", "a", false),
        ] {
            assert_eq!(Glob::new(glob).matches(name), want, "{glob} {name}");
        }
    }

    #[test]
    fn what_is_taken_away_is_gone_whatever_the_order() {
        let mut globs = Globs::default();
        ["!*-cache", "app*"].iter().for_each(|glob| globs.add(glob));
        assert_eq!(globs.find("app-data").map(Glob::as_str), Some("app*"));
        assert_eq!(globs.find("app-cache"), None);
    }

    /// The plainest matcher there is.
    fn naive(glob: &[char], name: &[char]) -> bool {
        match (glob, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                naive(rest, name) || name.first().is_some_and(|c| *c != '/') && naive(glob, &name[1..])
            }
            (['?', rest @ ..], [c, name @ ..]) => *c != '/' && naive(rest, name),
            ([g, rest @ ..], [c, name @ ..]) => g == c && naive(rest, name),
            ([], _) | (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plainest_matcher(glob in "[ab/?*]{0,7}", name in "[ab/?]{0,8}") {
            let (g, n): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
            prop_assert_eq!(Glob::new(&glob).matches(&name), naive(&g, &n));
        }
    }
}
