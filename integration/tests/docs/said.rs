//! What documents show as printed, beside what was printed now.
//!
//! A block marked `text said` stands behind one that is run, and shows what a test saw then. What varies is made alike on both
//! sides; whatever else differs is told line by line, or written into the document if that is wanted.

use std::fs;
use std::io;
use std::path::Path;

use crate::blocks::Block;
use crate::normal::normal;

/// Set to `write`, it has documents rewritten.
const ASKED: &str = "BACKUPD_SAID";

/// What to do about it, for people.
pub(crate) const ANEW: &str = "`-` stands in the document, `+` was printed now. Mend the program; or, if that is how it should \
    be, have it written: `BACKUPD_SAID=write cargo test --workspace --locked --test docs`, and read what changed";

/// A block that shows something, and what was printed now.
pub(crate) type Seen<'a> = (&'a Block, String);

/// What of a document is not so any more, a text for each block; nothing if it was written anew instead.
pub(crate) fn differences(name: &str, path: &Path, seen: &[Seen<'_>]) -> io::Result<Vec<String>> {
    let differing = seen.iter().filter_map(|(block, now)| Some((block.line, difference(&block.text, now)?)));
    let found: Vec<_> = differing.map(|(line, text)| format!("{name}:{line}:\n{text}")).collect();
    if found.is_empty() || std::env::var_os(ASKED).is_none_or(|asked| asked != "write") {
        return Ok(found);
    }
    // All of them: what one block shows, others refer to.
    let new = rewritten(&fs::read_to_string(path)?, seen);
    engine::durable::replace(path, new.as_bytes(), 0o644)?;
    Ok(Vec::new())
}

/// The document with other text in these blocks, which are in order.
fn rewritten(document: &str, seen: &[Seen<'_>]) -> String {
    let lines: Vec<&str> = document.split_inclusive('\n').collect();
    let (mut out, mut at) = (String::new(), 0);
    for (block, now) in seen {
        assert!(!now.contains("```"), "a block cannot show the end of a block: {now}");
        out.extend(lines[at..block.line].iter().copied());
        out.push_str(now);
        at = block.line + block.text.lines().count();
    }
    out.extend(lines[at..].iter().copied());
    out
}

/// What of a text is not so any more, line by line, and all that is around it; `None` if all is alike.
fn difference(shown: &str, now: &str) -> Option<String> {
    let (shown, now) = (normal(shown), normal(now));
    let same = |a: usize, b: usize| shown[a].1 == now[b].1;
    if shown.len() == now.len() && (0..now.len()).all(|at| same(at, at)) {
        return None;
    }
    // How many lines are common from here on.
    let mut common = vec![vec![0; now.len() + 1]; shown.len() + 1];
    for a in (0..shown.len()).rev() {
        for b in (0..now.len()).rev() {
            common[a][b] =
                if same(a, b) { common[a + 1][b + 1] + 1 } else { common[a + 1][b].max(common[a][b + 1]) };
        }
    }
    let (mut a, mut b, mut out) = (0, 0, String::new());
    while a < shown.len() || b < now.len() {
        let (mark, line) = if a < shown.len() && b < now.len() && same(a, b) {
            (a, b) = (a + 1, b + 1);
            (' ', now[b - 1].0)
        } else if b == now.len() || (a < shown.len() && common[a + 1][b] >= common[a][b + 1]) {
            a += 1;
            ('-', shown[a - 1].0)
        } else {
            b += 1;
            ('+', now[b - 1].0)
        };
        out.push_str(&format!("  {mark} {line}\n"));
    }
    Some(out)
}

#[test]
fn what_varies_is_no_difference_and_words_and_lines_are() {
    let shown = "$ x\nread 3 MiB in 1.0 s\nall whole\nrun 00112233445566aa\n";
    assert_eq!(difference(shown, "$ x\nread  12 GiB in 2 min 3 s\nall whole\nrun aabbccddeeff0011\n"), None);
    let told = difference(shown, "$ x\nread 4 MiB in 1.0 s\nall is whole\nrun 00112233445566aa\n").unwrap();
    let want =
        "    $ x\n    read 4 MiB in 1.0 s\n  - all whole\n  + all is whole\n    run 00112233445566aa\n";
    assert_eq!(told, want);
    let gone = difference(shown, "$ x\nread 3 MiB in 1.0 s\nrun 00112233445566aa\n").unwrap();
    assert!(gone.contains("\n  - all whole\n") && !gone.contains('+'), "{gone}");
    let more = difference("", "$ x\n").unwrap();
    assert_eq!(more, "  + $ x\n");
}

#[test]
fn a_document_is_rewritten_within_its_blocks_alone() {
    let document = "a\n```sh run\nx\n```\n\n```text said\n$ x\nold\n```\nb\n```text said\n```\nc";
    let blocks = crate::blocks::blocks(document);
    let seen = [(&blocks[1], "$ x\nnew\nand more\n".to_owned()), (&blocks[2], "$ y\n".to_owned())];
    let want = "a\n```sh run\nx\n```\n\n```text said\n$ x\nnew\nand more\n```\nb\n```text said\n$ y\n```\nc";
    assert_eq!(rewritten(document, &seen), want);
}
