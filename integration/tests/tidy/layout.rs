//! Where things lie and how they are called.

use std::collections::BTreeSet;

use crate::keep;
use crate::tree::{paths, rust};

/// The top level is fixed; these folders are all of it.
const FOLDERS: &[&str] = &[".ci", "cli", "daemon", "docs", "integration", "policies"];

/// Single files that a visitor expects at the top.
const FILES: &[&str] = &[
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "FORMAT.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "clippy.toml",
    "rustfmt.toml",
];

/// Ends of names that say nothing about what is inside.
const EMPTY_WORDS: &[&str] = &["util", "utils", "manager", "handler", "common", "misc"];

#[test]
fn the_top_level_is_what_the_architecture_says() {
    let top: BTreeSet<(String, bool)> = paths()
        .iter()
        .map(|path| match path.split_once('/') {
            Some((folder, _)) => (folder.to_owned(), true),
            None => (path.clone(), false),
        })
        .collect();
    let strange = |(name, folder): &&(String, bool)| {
        let known = if *folder { FOLDERS } else { FILES };
        !known.contains(&name.as_str())
    };
    let broken: Vec<_> =
        top.iter().filter(strange).map(|(name, _)| format!("{name} is not expected")).collect();
    let missing = FOLDERS.iter().filter(|name| !top.contains(&((**name).to_owned(), true)));
    let broken = [broken, missing.map(|name| format!("{name}/ is missing")).collect()].concat();
    keep("the top level is fixed", "move it into the crate that it belongs to", &broken);
}

#[test]
fn files_and_types_are_named_for_what_they_are() {
    let mut broken = Vec::new();
    for file in rust() {
        let stem = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        // Containers called helpers exist, where Docker is spoken of; files of assorted functions do not.
        let about_containers = file.path.contains("/docker/") || file.path.starts_with("daemon/");
        if says_nothing(stem) || (matches!(stem, "helper" | "helpers") && !about_containers) {
            broken.push(file.path.clone());
        }
        let named = file.product_lines().filter_map(defined_name).filter(|name| says_nothing(name));
        broken.extend(named.map(|name| format!("{}: {name}", file.path)));
    }
    keep("a name says what a thing is", "name it after the one concept that it holds, or split it", &broken);
}

/// `Frobnicator` from `pub struct Frobnicator {`.
fn defined_name(line: &str) -> Option<String> {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.find(|word| matches!(*word, "struct" | "enum" | "trait" | "mod"))?;
    let name = words.next()?.to_owned();
    let code = line.trim_start();
    let definition = ["pub", "struct", "enum", "trait", "mod"].iter().any(|start| code.starts_with(start));
    definition.then_some(name)
}

fn says_nothing(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    EMPTY_WORDS.iter().any(|word| name == *word || (word.len() > 4 && name.ends_with(word)))
}

#[test]
fn the_rule_of_names_finds_what_it_looks_for() {
    assert_eq!(defined_name("pub(crate) struct SessionManager<'a> {").as_deref(), Some("SessionManager"));
    assert_eq!(defined_name("    // no struct here"), None);
    assert!(says_nothing("SessionManager") && says_nothing("utils") && says_nothing("error_handler"));
    assert!(!says_nothing("handle") && !says_nothing("manage"));
}
