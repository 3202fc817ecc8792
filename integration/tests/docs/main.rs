//! What the documents tell people to type works.
//!
//! Needs what `journey` and `databases` need, and the other software that the documents name: gpg, restic, borg, jq.
//!
//! A fenced block marked `sh run` is run, as it stands, on a host that was prepared for it: a volume
//! `shop-data` with files and a store of its own. The blocks of one document run one after the other. Comments in the
//! document, `happens: …` and `then: …`, say what befalls the host before a block, and what must be true behind it. A
//! block marked `text said` behind one that is run shows what it printed, and must be what it prints now. A block for a
//! shell that is not run says why, in a comment `not run: …`. In
//! every block that may be for a shell (marked `sh` or `console`, or not at all) each `backupctl` line
//! must name a verb and flags that the real program has. So must every command in prose, in hints and messages of the
//! programs, in their help, and in the rules for alerts.

mod blocks;
mod host;
mod installed;
mod lines;
mod meanwhile;
mod normal;
mod said;
mod scenes;
mod servers;
mod software;
mod told;
mod transcript;
#[path = "../kill/tree.rs"]
#[expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions; these are what they call")]
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

#[test]
fn every_block_for_a_shell_is_run_or_says_why_not() {
    let mut broken = Vec::new();
    for (name, blocks) in documents() {
        for block in blocks {
            let is_marked = matches!(block.mark.split_whitespace().next(), Some("sh" | "console"));
            let for_shell = is_marked || (block.is_shell() && !lines::commands(&block.text).is_empty());
            let says_why = block.not_run.is_some();
            if for_shell != (block.is_run() || says_why) || (block.is_run() && says_why) {
                broken.push(format!("{name}:{}: {}", block.line, block.mark));
            }
        }
    }
    let broken = broken.join("\n");
    assert!(broken.is_empty(), "mark them `sh run`, or say `not run: …` in front, and not both:\n{broken}");
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
fn blocks_that_are_marked_to_run_do_and_say_what_is_shown() {
    let (mut ran, mut broken) = (0, Vec::new());
    for (name, blocks) in documents() {
        let shown = |at: usize| blocks.get(at).filter(|block| block.is_said());
        let stray =
            (0..blocks.len()).find(|at| shown(*at).is_some() && (*at == 0 || !blocks[at - 1].is_run()));
        assert!(stray.is_none(), "{name}: `text said` stands behind no block that is run: {stray:?}");
        if !blocks.iter().any(Block::is_run) {
            continue;
        }
        let mut host =
            host::Prepared::new().expect("prepare a host: a Docker engine on this machine, and root");
        let mut seen = Vec::new();
        for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.is_run()) {
            let policy = blocks[..at].iter().rfind(|block| block.mark == "toml");
            let text = play(&mut host, &name, block, policy.map_or("", |block| &block.text));
            seen.extend(shown(at + 1).map(|said| (said, text)));
            if let Some(why) = host.impossible {
                eprintln!("{name}:{}: skipped: {why}", block.line);
            }
            ran += 1;
        }
        broken.extend(said::differences(&name, &root().join(&name), &seen).expect("write a document"));
    }
    assert!(ran > 0, "no document has a block marked `sh run`");
    assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), said::ANEW);
}

/// Lets happen what is in front of a block, runs it, and sees that it is true what stands behind it; gives what it printed.
/// The policy is what the document shows in front of it.
fn play(host: &mut host::Prepared, name: &str, block: &Block, policy: &str) -> String {
    for what in &block.happens {
        host.happens(what, policy).unwrap_or_else(|e| panic!("{name}:{}: {what}: {e}", block.line));
    }
    if host.impossible.is_some() {
        return String::new();
    }
    let printed = host.run(&block.text).expect("run bash");
    let text = printed.text;
    assert!(host.is_good_end(printed.status), "{name}:{}: {}\n{text}", block.line, printed.status);
    for what in &block.then {
        host.is_true(what).unwrap_or_else(|e| panic!("{name}:{}: {what}: {e}\n{text}", block.line));
    }
    text
}
