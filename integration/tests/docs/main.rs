//! What the documents tell people to type works.
//!
//! A fenced block marked `sh run` is run, as it stands, on a host that was prepared for it: a volume
//! `shop-data` with files and a store of its own. The blocks of one document run one after the other. Comments in the
//! document, `happens: …` and `then: …`, say what befalls the host before a block, and what must be true behind it. In
//! every other block that may be for a shell (marked `sh` or `console`, or not at all) each `backupctl` line
//! must name a verb and flags that the real program has. So must every command in prose, in hints and messages of the
//! programs, in their help, and in the rules for alerts.

mod blocks;
mod host;
mod lines;
mod told;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use blocks::{Block, blocks};
use integration::programs::built;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("integration lies in the workspace").to_path_buf()
}

/// The front door and everything in docs/.
fn documents() -> BTreeMap<String, Vec<Block>> {
    let mut paths = vec![root().join("README.md")];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs is a folder") {
        paths.push(entry.expect("docs can be listed").path());
    }
    let documents = paths.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    documents
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a document is text");
            let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            (name, blocks(&text))
        })
        .collect()
}

#[test]
fn every_line_names_a_verb_and_flags_that_exist() {
    let program = built("backupctl").unwrap();
    let mut broken = Vec::new();
    let mut seen = 0;
    for (name, blocks) in documents() {
        for block in blocks.iter().filter(|block| block.is_shell()) {
            for line in lines::commands(&block.text) {
                seen += 1;
                if let Err(why) = lines::check(&program, &line) {
                    broken.push(format!("{name}:{}: `{}`: {why}", block.line, line.join(" ")));
                }
            }
        }
    }
    assert!(seen > 10, "the documents hold {seen} commands: are their blocks still marked `sh`?");
    assert!(broken.is_empty(), "mend the document or the program:\n{}", broken.join("\n"));
}

/// Everything that tells people what to type, in words: paths, and what of the file they meet.
fn telling() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["cli/src", "daemon/src", "daemon/engine/src", "policies/src", "docs"].map(|f| root().join(f)).into();
    let mut files =
        ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "daemon/alerts.yml", "daemon/backupd.service"]
            .map(|name| root().join(name))
            .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the project can be listed") {
            let path = entry.expect("the project can be listed").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for path in files {
        // Pictures tell nothing to type.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(root()).unwrap_or(&path);
        found.push((name.display().to_string(), told::product(name, &text)));
    }
    found
}

#[test]
fn every_command_that_somebody_is_told_to_type_exists() {
    let mut broken = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, text) in telling() {
        for told in told::told(&text) {
            // A value of an alert rule may hold several.
            for program in ["backupctl", "backupd"] {
                for words in lines::commands_of(program, &told.command) {
                    let path = built(program).unwrap();
                    let checked = seen.entry((program, words.clone()));
                    if let Err(why) = checked.or_insert_with(|| lines::check(&path, &words)) {
                        broken.push(format!("{name}:{}: `{}`: {why}", told.line, told.command));
                    }
                }
            }
        }
    }
    assert!(seen.len() > 60, "only {} commands are told: are they still in backticks?", seen.len());
    assert!(broken.is_empty(), "mend the words or the program:\n{}", broken.join("\n"));
}

/// Somebody pastes a hint; what lacks the snapshot that it is about ends with another error.
#[test]
fn a_hint_that_says_to_verify_says_what() {
    for (name, text) in telling().iter().filter(|(name, _)| name.ends_with(".rs")) {
        let comments = |line: &&str| !line.trim_start().starts_with("//");
        for line in text.lines().filter(comments) {
            assert!(!line.contains("`backupctl verify`"), "{name}: `verify` wants SNAP or `--all`: {line}");
        }
    }
}

#[test]
fn blocks_that_are_marked_to_run_do() {
    let mut ran = 0;
    for (name, blocks) in documents() {
        let run: Vec<_> = blocks.iter().filter(|block| block.is_run()).collect();
        if run.is_empty() {
            continue;
        }
        let mut host =
            host::Prepared::new().expect("prepare a host: a Docker engine on this machine, and root");
        for block in run {
            for what in &block.happens {
                host.happens(what).unwrap_or_else(|e| panic!("{name}:{}: {what}: {e}", block.line));
            }
            let mut shell = Command::new("bash");
            shell.args(["-euo", "pipefail", "-c", &block.text]);
            let done = host.run(shell).expect("run bash");
            let [out, said] =
                [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            assert!(
                done.status.success(),
                "{name}:{}: {}\n{}{out}{said}",
                block.line,
                done.status,
                block.text
            );
            for what in &block.then {
                host.is_true(what)
                    .unwrap_or_else(|e| panic!("{name}:{}: {what}: {e}\n{out}{said}", block.line));
            }
            ran += 1;
        }
    }
    assert!(ran > 0, "no document has a block marked `sh run`");
}
