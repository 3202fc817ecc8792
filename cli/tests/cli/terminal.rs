//! On a terminal there is colour, elsewhere there is none. `script` makes the terminal.

use crate::place::{Gave, Place};

/// Runs `backupctl ARGS` on a terminal of its own; all it writes comes back as stdout.
fn on_a_terminal(place: &Place, args: &str, env: &[(&str, &str)]) -> Gave {
    let mut command = place.program("script");
    command.args(["-qec", &format!("{} {args}", env!("CARGO_BIN_EXE_backupctl")), "/dev/null"]);
    command.env("TERM", "xterm").envs(env.iter().copied());
    place.gave(command.output().unwrap())
}

const FAILS: &str = "--config /nowhere/b.toml snapshots";

#[test]
fn errors_are_coloured_on_a_terminal_that_wants_it() {
    let place = Place::new();
    let gave = on_a_terminal(&place, FAILS, &[]);
    assert_eq!(gave.code, 10);
    assert_eq!(gave.stdout, "\x1b[1;31merror:\x1b[0m settings file `/nowhere/b.toml` does not exist\r\n");
    for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let gave = on_a_terminal(&place, FAILS, &[env]);
        assert_eq!(gave.stdout, "error: settings file `/nowhere/b.toml` does not exist\r\n", "{env:?}");
    }
}

#[test]
fn elsewhere_nothing_is_coloured() {
    let place = Place::new();
    let args: Vec<&str> = FAILS.split(' ').collect();
    let output = place.backupctl().args(&args).env("TERM", "xterm").output().unwrap();
    assert_eq!(place.gave(output).stderr, "error: settings file `/nowhere/b.toml` does not exist\n");
}

#[test]
fn a_tarball_is_not_printed_on_a_terminal() {
    let gave = on_a_terminal(&Place::new(), "export db-data@42", &[("NO_COLOR", "1")]);
    let want = "error: a tarball would be printed on the terminal\r\n  hint: backupctl export db-data@42 -o FILE\r\n";
    assert_eq!((gave.code, gave.stdout.as_str()), (2, want));
}
