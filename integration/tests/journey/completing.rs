//! What shells offer when a key is pressed in the middle of a command: names that only this host knows.

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

/// In a real zsh, but for the two builtins that only work while somebody types.
const ASK_ZSH: &str = r#"
compdef() { :; }
compadd() { [[ $1 == -S ]] && shift 2; shift; print -rl -- "$@"; }
source completions.zsh
words=("$@") CURRENT=$#
_backupctl
"#;

/// fish completes a line for whoever asks.
const ASK_FISH: &str = "source completions.fish; complete -C $argv[1]";

/// What zsh or fish offers for a line, without what it tells about each offer.
fn offered_by(world: &World, shell: &str, line: &str) -> Vec<String> {
    let program = built("backupctl").unwrap();
    let usual = world.program("backupctl");
    let mut command = Command::new(shell);
    command.env_clear().envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.at("")).stdin(Stdio::null());
    match shell {
        "zsh" => command.args(["-f", "-c", ASK_ZSH, "zsh"]).arg(&program).args(line.split(' ')),
        _ => command.args(["--no-config", "-c", ASK_FISH]).arg(format!("{} {line}", program.display())),
    };
    let told = ran(&mut command).ok();
    let told = told.text();
    let offers = told.lines().map(|line| line.split('\t').next().unwrap_or_default());
    offers.filter(|offer| !offer.is_empty()).map(str::to_owned).collect()
}

/// Writes the script of a shell where it is asked for.
fn script(world: &World, shell: &str) {
    let script = world.run(&["completions", shell]).ok();
    put(&world.at(&format!("completions.{shell}")), &script.stdout);
}

#[test]
fn zsh_and_fish_offer_sources_snapshots_and_what_lies_in_them() {
    let world = World::new();
    let (volume, place) = world.small_volume("v");
    std::fs::create_dir_all(place.join("etc/more here")).unwrap();
    put(&place.join("etc/app.conf"), b"a");
    put(&place.join("etc/\u{1b}[2J"), b"b");
    world.back_up(&volume);
    let start = world.name.as_str();
    for shell in ["zsh", "fish"] {
        script(&world, shell);
        let ask = |line: &str| offered_by(&world, shell, line);
        assert_eq!(ask(&format!("restore {start}")), [volume.as_str()], "{shell}");
        let mut snapshots = ask(&format!("show {volume}@"));
        if shell == "fish" {
            snapshots.sort_by_key(|offer| !offer.ends_with("latest"));
        }
        assert_eq!(snapshots, [format!("{volume}@latest"), format!("{volume}@1")], "{shell}");
        // Folders first, and nothing that a terminal acts on.
        assert_eq!(ask(&format!("ls {volume}@1 e")), ["etc/"], "{shell}");
        let mut inside = ask(&format!("cat {volume}@latest etc/"));
        if shell == "fish" {
            // It keeps an order on the screen, and sorts what a script asks for.
            inside.sort_by_key(|offer| !offer.ends_with('/'));
        }
        assert_eq!(inside, ["etc/more here/", "etc/app.conf"], "{shell}");
        assert_eq!(ask(&format!("cat {volume}@1 nothing")), Vec::<String>::new(), "{shell}");
        assert_eq!(ask("cat nothing@1 x"), Vec::<String>::new(), "{shell}");
    }
    // Names come as the snapshot has them where a shell sorts nothing.
    script(&world, "bash");
    let line = format!("cat {volume}@1 etc/a");
    assert_eq!(offered(&world, " \t\n", &line, &["cat", &format!("{volume}@1"), "etc/a"]), ["etc/app.conf"]);
    world.assert_only(&[&volume]);
}

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
    script(&world, "bash");
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
