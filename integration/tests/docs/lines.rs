//! Command lines in documents, checked against the program's own help.

use std::path::Path;
use std::process::Command;

/// Verbs whose first argument is a verb again.
const NESTED: &[&str] = &["catalog", "policy"];

/// The `backupctl` commands of a block, each as its words without the program's name.
pub(crate) fn commands(block: &str) -> Vec<Vec<String>> {
    commands_of("backupctl", block)
}

/// The same of any program.
pub(crate) fn commands_of(program: &str, block: &str) -> Vec<Vec<String>> {
    let joined = block.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines().map(|line| line.trim().trim_start_matches("$ ").trim_start_matches("sudo ")) {
        // Several commands may share a line; what is behind a pipe is somebody else's.
        for command in split(line) {
            let words = command.into_iter().skip_while(|word| is_setting(word)).collect::<Vec<_>>();
            if words.first().is_some_and(|word| word == program) {
                found.push(words[1..].to_vec());
            }
        }
    }
    found
}

/// Whether the verb exists, takes something where something stands behind it, and has each flag in its help.
pub(crate) fn check(program: &Path, words: &[String]) -> Result<(), String> {
    let mut verb: Vec<&str> = Vec::new();
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let wanted = if verb.first().is_some_and(|first| NESTED.contains(first)) { 2 } else { 1 };
        if verb.len() < wanted && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            verb.push(word);
        }
    }
    let help = Command::new(program).args(&verb).arg("--help").output().map_err(|e| e.to_string())?;
    if !help.status.success() {
        return Err(String::from_utf8_lossy(&help.stderr)
            .lines()
            .next()
            .unwrap_or("no such verb")
            .to_owned());
    }
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let comes_first = words.iter().zip(&verb).filter(|(word, part)| word == part).count() == verb.len();
    if !verb.is_empty() && comes_first {
        let given = words.get(verb.len()).filter(|word| !word.starts_with('-'));
        if let Some(word) = given.filter(|_| !takes_something(&help)) {
            return Err(format!("`{}` takes no `{word}`", verb.join(" ")));
        }
    }
    for flag in words.iter().filter(|word| word.starts_with('-') && word.len() > 1) {
        let name = flag.split('=').next().unwrap_or(flag);
        if !has_flag(&help, name) {
            return Err(format!("`{}` has no `{name}`", verb.join(" ")));
        }
    }
    Ok(())
}

/// Whether the usage of a verb has more than options.
fn takes_something(help: &str) -> bool {
    let usage = help.lines().find(|line| line.starts_with("Usage: ")).unwrap_or_default();
    usage.replace("[OPTIONS]", "").contains(['<', '['])
}

fn has_flag(help: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    help.match_indices(name).any(|(at, _)| {
        let before = help[..at].chars().next_back();
        let after = help[at + name.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

/// `NAME=value` in front of a command.
fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Words of the commands on a line, cut at `|`, `;`, `&` and `>`, with quotes taken off and comments left out.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | ';' | '&' | '>' | '<') => {
                commands.last_mut().expect("there is always one").extend(word.take());
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().expect("there is always one").extend(word);
    commands
}

#[test]
fn commands_are_found_as_a_shell_would_see_them() {
    let block = "$ sudo backupctl ls 'a b' # all\nA=1 backupctl cat \\\n  x@1 y | backupctl-not | less\necho backupctl\n";
    let want: Vec<Vec<String>> = [vec!["ls", "a b"], vec!["cat", "x@1", "y"]]
        .map(|c| c.into_iter().map(str::to_owned).collect())
        .into();
    assert_eq!(commands(block), want);
}

#[test]
fn options_are_not_something_that_a_verb_takes() {
    assert!(takes_something("x\nUsage: backupctl runs [OPTIONS] [RUN]\n"));
    assert!(!takes_something("x\nUsage: backupctl doctor [OPTIONS]\n  --store <URL>\n"));
}

#[test]
fn a_flag_is_found_only_as_a_whole() {
    let help = "  -q, --quick   no frames\n      --into-new <NAME>\n";
    assert!(has_flag(help, "--quick") && has_flag(help, "-q"));
    assert!(!has_flag(help, "--into") && !has_flag(help, "-k"));
}
