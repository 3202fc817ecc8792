//! Every dependency may be given away under MIT OR Apache-2.0.

use crate::arrows::{metadata, packages, text};
use crate::keep;

/// SPDX ids that ask for nothing but their own text to be kept.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

#[test]
fn licences_of_dependencies_are_compatible_with_ours() {
    let metadata = metadata();
    let bad = packages(&metadata).iter().filter(|package| !allows(text(package, "license")));
    let broken: Vec<_> = bad
        .map(|p| format!("{} {}: `{}`", text(p, "name"), text(p, "version"), text(p, "license")))
        .collect();
    keep("licences", "do without it; add an id only after reading that licence", &broken);
}

/// Whether an expression leaves a choice that is allowed: OR one, AND all, AND binds tighter.
fn allows(expression: &str) -> bool {
    // Old manifests write a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    either(&mut words).unwrap_or(false) && words.is_empty()
}

/// `None` when the expression breaks off; `words` is a stack with the next word on top.
fn either(words: &mut Vec<&str>) -> Option<bool> {
    let mut fine = both(words)?;
    while words.last() == Some(&"OR") {
        words.pop();
        fine |= both(words)?;
    }
    Some(fine)
}

fn both(words: &mut Vec<&str>) -> Option<bool> {
    let mut fine = one(words)?;
    while words.last() == Some(&"AND") {
        words.pop();
        fine &= one(words)?;
    }
    Some(fine)
}

fn one(words: &mut Vec<&str>) -> Option<bool> {
    let word = words.pop()?;
    if word == "(" {
        let inside = either(words)?;
        return (words.pop()? == ")").then_some(inside);
    }
    if words.last() == Some(&"WITH") {
        words.pop();
        let whole = format!("{word} WITH {}", words.pop()?);
        return Some(ALLOWED.contains(&whole.as_str()));
    }
    Some(ALLOWED.contains(&word))
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for (expression, want) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("GPL-3.0-only OR MIT AND ISC", true),
        ("MIT AND (GPL-3.0-only OR Zlib)", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
        ("Apache-2.0 WITH Strange-exception", false),
        ("(MIT", false),
        ("MIT ISC", false),
        ("", false),
    ] {
        assert_eq!(allows(expression), want, "{expression}");
    }
}
