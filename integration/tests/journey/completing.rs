//! What bash offers when a key is pressed in the middle of a command: names that only this host knows.

use std::process::{Command, Stdio};

use integration::programs::built;

use crate::world::{World, put, ran};

/// Sets what bash sets before it asks, asks, and prints the answer.
const ASK: &str = r#"
source completions.bash
COMP_WORDBREAKS=$breaks COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_backupctl_known "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// What bash divides words at by itself.
const BREAKS: &str = " \t\n\"'@><=;|&(:";

/// `words` are those of the line as bash divides it.
fn offered(world: &World, breaks: &str, line: &str, words: &[&str]) -> Vec<String> {
    let program = built("backupctl").unwrap();
    let mut bash = Command::new("bash");
    let usual = world.program("backupctl");
    bash.env_clear().envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bash.env("breaks", breaks).current_dir(world.at("")).stdin(Stdio::null());
    bash.args(["--norc", "-c", ASK, "bash"])
        .arg(format!("{} {line}", program.display()))
        .arg(&program)
        .args(words);
    let told = ran(&mut bash).ok();
    told.text().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_sources_and_snapshots_of_this_host() {
    let world = World::new();
    let script = world.run(&["completions", "bash"]).ok();
    put(&world.at("completions.bash"), &script.stdout);
    let ask = |line: &str, words: &[&str]| offered(&world, BREAKS, line, words);
    // Before the first backup it offers verbs, and leaves nothing behind.
    assert_eq!(ask("rest", &["rest"]), ["restore"]);
    let start = world.name.as_str();
    let show = format!("show {start}");
    assert_eq!(ask(&show, &["show", start]), Vec::<String>::new());
    assert!(!world.state().exists(), "a key was pressed, and a state folder made");

    let (volume, place) = world.small_volume("v");
    world.back_up(&volume);
    put(&place.join("file"), b"changed");
    world.back_up(&volume);
    let (other, _place) = world.small_volume("w");
    // Sources that were never backed up are sources too.
    assert_eq!(ask(&format!("backup {start}"), &["backup", start]), [volume.clone(), other.clone()]);
    assert_eq!(ask(&format!("restore --yes {volume}"), &["restore", "--yes", &volume]), [volume.as_str()]);
    assert_eq!(ask(&show, &["show", start]), [format!("{volume}@latest")]);
    // To bash the word begins with the `@`, and the offer takes its place.
    let at = format!("show {volume}@");
    assert_eq!(ask(&at, &["show", &volume, "@"]), ["@latest", "@2", "@1"]);
    assert_eq!(ask(&format!("{at}2"), &["show", &volume, "@2"]), ["@2"]);
    let whole = offered(&world, " \t\n", &at, &["show", &format!("{volume}@")]);
    assert_eq!(whole, [format!("{volume}@latest"), format!("{volume}@2"), format!("{volume}@1")]);

    world.run(&["delete", &format!("{volume}@1"), "--yes"]).ok();
    assert_eq!(ask(&at, &["show", &volume, "@"]), ["@latest", "@2"]);
    let undelete = format!("undelete {volume}@");
    assert_eq!(ask(&undelete, &["undelete", &volume, "@"]), ["@1"]);
    assert_eq!(ask("restore --dr", &["restore", "--dr"]), ["--dry-run"]);
    world.assert_only(&[&volume, &other]);
}
