//! What differs in the words of a program from one machine to the next, and from one hour to the next, made alike: numbers,
//! sizes, spans of time, moments, ages, ids of runs, keys, and the widths of a table's columns.
//!
//! Always true: words stay as they are, and so do lines, their order, the commands that were typed, the numbers in names
//! (`shop-data@3`, `vm-1`), and how many files or snapshots there were.

/// How many of these there are is the same wherever a document is played through.
const COUNTED: &[&str] = &[
    "file",
    "files",
    "entry",
    "entries",
    "snapshot",
    "snapshots",
    "source",
    "sources",
    "added",
    "removed",
    "changed",
];
const SIZES: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB"];
const SPANS: &[&str] = &["s", "min", "h", "d"];

/// The lines of a text, and each of them made alike.
pub(crate) fn normal(text: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        let is_progress = found.iter().any(|(step, _)| is_progress(line, step));
        if !is_progress {
            found.push((line, alike(line)));
        }
    }
    found
}

/// Whether a line is what a slow machine tells of a step now and then: `reading db: 42%, 1.2 GiB of 2.9 GiB`.
fn is_progress(line: &str, step: &str) -> bool {
    let how_far = line.strip_prefix(step).and_then(|rest| rest.strip_prefix(": "));
    how_far.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn alike(line: &str) -> String {
    let line = line.trim_end();
    // What was typed stands in the document.
    if line.starts_with("$ ") || line.starts_with("> ") {
        return line.to_owned();
    }
    let mut out = String::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let (before, rest) = line.split_at(at);
        let begins = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
        let (length, alike) = match varying(before, rest).filter(|_| begins) {
            Some(found) => found,
            None if c == ' ' && out.ends_with(' ') => (1, ""),
            None => (c.len_utf8(), &rest[..c.len_utf8()]),
        };
        out.push_str(alike);
        at += length;
    }
    // Not every file system has a number of them.
    out.replace(" and # inodes free", " free")
}

/// How long that is which varies and begins here, and what stands for it.
fn varying(before: &str, rest: &str) -> Option<(usize, &'static str)> {
    let hex = length_of(rest, |c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    match hex {
        16 if ends(&rest[hex..]) => return Some((hex, "<run>")),
        64 if ends(&rest[hex..]) => return Some((hex, "<key>")),
        _ => {}
    }
    if let Some(behind) = moment(rest) {
        return Some((rest.len() - behind.len(), "<moment>"));
    }
    let age = rest.strip_prefix("just now").or_else(|| span(rest)?.strip_prefix(" ago"));
    if let Some(behind) = age.filter(|behind| ends(behind)) {
        return Some((rest.len() - behind.len(), "<age>"));
    }
    if let Some(behind) = span(rest) {
        return Some((rest.len() - behind.len(), "<span>"));
    }
    let behind = number(rest)?;
    if let Some(behind) = one_of(behind, SIZES) {
        return Some((rest.len() - behind.len(), "<size>"));
    }
    let name = before.strip_suffix(['@', '-', '_']);
    let is_of_name = name.is_some_and(|name| name.ends_with(|c: char| c.is_alphabetic()));
    if is_of_name || one_of(behind, COUNTED).is_some() {
        return None;
    }
    let is_version = rest[..rest.len() - behind.len()].contains('.') && behind.starts_with(['+', '-', '~']);
    let part = |c: char| c.is_ascii_alphanumeric() || "+-~.".contains(c);
    let more = if is_version { length_of(behind, part) } else { 0 };
    Some((rest.len() - behind.len() + more, "#"))
}

/// What is behind `2026-11-20 14:00:05 +01:00`, or as much of it as is there, or behind `20261120T130005Z`.
fn moment(rest: &str) -> Option<&str> {
    let times = [" 00:00:00", "T00:00:00", " 00:00", "T00:00", ""];
    let zones = [" +00:00", " -00:00", "+00:00", "-00:00", "Z", ""];
    let with_zone = |time| zones.map(|zone| format!("0000-00-00{time}{zone}"));
    let mut shapes = times.iter().flat_map(with_zone);
    shapes.find_map(|shape| shaped(rest, &shape)).or_else(|| shaped(rest, "00000000T000000Z"))
}

/// What is behind `shape`, in which each 0 stands for any digit.
fn shaped<'a>(rest: &'a str, shape: &str) -> Option<&'a str> {
    let (head, behind) = rest.split_at_checked(shape.len())?;
    let fits = |(c, like): (char, char)| if like == '0' { c.is_ascii_digit() } else { c == like };
    (head.chars().zip(shape.chars()).all(fits) && ends(behind)).then_some(behind)
}

/// What is behind `0.4 s`, or `3 min 20 s`.
fn span(rest: &str) -> Option<&str> {
    let one = |rest| one_of(number(rest)?, SPANS);
    let behind = one(rest)?;
    Some(behind.strip_prefix(' ').and_then(one).unwrap_or(behind))
}

/// What is behind a number as people read it.
fn number(rest: &str) -> Option<&str> {
    let digits = length_of(rest, |c| c.is_ascii_digit() || ".,".contains(c));
    let number = rest[..digits].trim_end_matches(['.', ',']);
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| &rest[number.len()..])
}

/// What is behind one of these words, which follows a blank.
fn one_of<'a>(rest: &'a str, words: &[&str]) -> Option<&'a str> {
    let rest = rest.strip_prefix(' ')?;
    words.iter().find_map(|word| rest.strip_prefix(word).filter(|behind| ends(behind)))
}

fn length_of(rest: &str, is_part: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !is_part(c)).unwrap_or(rest.len())
}

/// Whether a word cannot go on here.
fn ends(behind: &str) -> bool {
    !behind.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[test]
fn what_varies_is_made_alike() {
    let key = "b1f4439f4b06ffb1ff5c2d171c1b9cb8f607d59472278eed5eeb5ce0b4d5e2cd";
    for (said, want) in [
        ("sent 18 MiB in 1.1 s", "sent <size> in <span>"),
        ("sent 0 B in 1 min 20 s;", "sent <size> in <span>;"),
        ("2 h 5 min between", "<span> between"),
        ("taken 2026-11-30 03:10:11 +00:00 (just now), idle", "taken <moment> (<age>), idle"),
        ("taken 2026-11-30 03:10:11 -11:30 (59 min ago)", "taken <moment> (<age>)"),
        ("by 2026-11-20T13:30:00Z, 2026-11-20 14:30 or 2026-11-20", "by <moment>, <moment> or <moment>"),
        (
            "run d4e8a824bdc20bba in .backupd-previous-0123456789012345;",
            "run <run> in .backupd-previous-<run>;",
        ),
        (&format!("by {key}, sha256:{key}"), "by <key>, sha256:<key>"),
        ("00000001-20261130T031014Z-d4e8a824bdc20bba.tar.zst", "#-<moment>-<run>.tar.zst"),
        ("docker 20.10.24+dfsg1, 28.0.1-rc.1 or 27.5.1", "docker #, # or #"),
        ("62 GiB and 16,315,830 inodes free", "<size> free"),
        ("62 GiB free", "<size> free"),
        ("-rw-r--r--  0:0     15 B   ", "-rw-r--r-- #:# <size>"),
        ("SNAPSHOT     TAKEN   AGE", "SNAPSHOT TAKEN AGE"),
        ("33 frames: all whole", "# frames: all whole"),
    ] {
        assert_eq!(alike(said), want);
    }
}

#[test]
fn words_names_counts_and_commands_stay_as_they_are() {
    for said in [
        "every byte checked, in the future or just nowhere",
        "shop-data@3 is in shop-data: 2 files, and not vm-1/shop-data@12",
        "1 entry of another size, time or kind; 1,234 entries",
        "1 added, 0 removed, 1 changed",
        "2 sources, all or none",
        "sha256 of d4e8a824bdc20bbag and d4e8a824bdc20bb",
        "$ backupctl restore shop-data  --at \"2026-11-20 14:00\" --snapshot 3",
        "> 5 MiB in 3 s",
    ] {
        assert_eq!(alike(said), said);
    }
}

#[test]
fn what_says_something_else_is_never_alike() {
    for (one, other) in [
        ("fetched 18 MiB in 1.1 s", "fetched 18 MiB"),
        ("sent 18 MiB", "sent 18 files"),
        ("all whole in 3 s", "all whole in 3 steps"),
        ("(just now), idle", "(just now), live"),
        ("proven 2026-11-30 03:10:11 +00:00", "proven not yet"),
        ("80 GiB and 5 inodes free", "80 GiB and 5 inodes used"),
        ("2 files", "3 files"),
        ("vm-1/db@1", "vm-2/db@1"),
        ("run 00112233445566aa", "run -"),
        ("all whole", "allwhole"),
    ] {
        assert_ne!(alike(one), alike(other));
    }
}

#[test]
fn progress_of_a_slow_machine_is_left_out_and_nothing_else() {
    let said = "reading db\nreading db: 42%, 1.2 GiB of 2.9 GiB\nreading db: nothing\nwriting db: 42%, 1 B\n";
    let lines: Vec<_> = normal(said).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, ["reading db", "reading db: nothing", "writing db: 42%, 1 B"]);
}
