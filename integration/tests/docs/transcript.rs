//! What a block printed, as somebody at a terminal sees it: each command as it was typed, and below it what it said.
//!
//! Always true: stdout and stderr stand in the order in which they came, since both go into the same pipe.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// What came of a block.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) status: ExitStatus,
    /// All of it, each line without blanks at its end.
    pub(crate) text: String,
}

/// Runs something that reads nothing, to its end; somebody may press Ctrl-C after a while.
pub(crate) fn printed(mut command: Command, interrupted_after: Option<Duration>) -> io::Result<Printed> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn()?;
    // It holds the pipe open too.
    drop(command);
    if let Some(after) = interrupted_after {
        std::thread::sleep(after);
        kill_process_group(Pid::from_child(&child), Signal::INT)?;
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let said = String::from_utf8_lossy(&bytes).into_owned();
    let text = said.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    Ok(Printed { status: child.wait()?, text })
}

/// A block as a script that shows each command before it runs it.
pub(crate) fn script(block: &str) -> String {
    let mut out = String::new();
    for command in commands(block) {
        let typed = command.lines().map(without_comment).collect::<Vec<_>>().join("\n> ");
        if !typed.is_empty() {
            out += &format!("printf '%s\\n' {}\n", quoted(&format!("$ {typed}")));
        }
        out += &command;
    }
    out
}

/// The lines of a block, with those together that a shell reads as one: what a `\` goes on with, and text until `END`.
fn commands(block: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), String::new());
    let mut end: Option<String> = None;
    for line in block.lines() {
        open += &format!("{line}\n");
        match &end {
            Some(word) if line != word => continue,
            Some(_) => end = None,
            None => {
                let word = line.split_once("<<").and_then(|(_, behind)| behind.split_whitespace().next());
                end = word.map(|word| word.trim_matches('\'').to_owned());
            }
        }
        if end.is_none() && !line.ends_with('\\') {
            found.push(std::mem::take(&mut open));
        }
    }
    assert!(open.is_empty(), "a command has no end: {open}");
    found
}

/// A line of a command without what it says for readers alone.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before == ' ' => return line[..at].trim_end(),
            (Some(_) | None, _) => {}
        }
        before = c;
    }
    line.trim_end()
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn commands_are_shown_without_their_comments_and_what_they_say_below() {
    let block = "echo 'a #1'   # says it's a\ncat <<'END' >&2\nb # no comment\nEND\n\nprintf c \\\n  d\n";
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script(block)]);
    let printed = printed(bash, None).unwrap();
    let want = "$ echo 'a #1'\na #1\n$ cat <<'END' >&2\n> b\n> END\nb # no comment\n$ printf c \\\n>   d\nc";
    assert!(printed.status.success());
    assert_eq!(printed.text.trim_end(), want);
}
