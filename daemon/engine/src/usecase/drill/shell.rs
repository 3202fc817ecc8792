//! Lines for the shell of an image. They are fixed; whatever is not is an argument and never a part of them.

/// Programs of servers lie outside of the usual path in the packages of some distributions.
const PLACES: &str = "PATH=\"$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/libexec:/opt/bin\"\n";

/// `sh -c LINE sh ARGUMENTS…`
pub(super) fn line(script: &str, arguments: &[&str]) -> Vec<String> {
    let mut argv = vec!["sh".to_owned(), "-c".to_owned(), format!("{PLACES}{script}"), "sh".to_owned()];
    argv.extend(arguments.iter().map(|&word| word.to_owned()));
    argv
}

/// The first of these programs that the image has, with these arguments; status 127 if it has none.
pub(super) fn first_of(programs: &[&str], arguments: &[&str]) -> Vec<String> {
    const SCRIPT: &str = "names=\"$1\"; shift\n\
        for name in $names; do command -v \"$name\" >/dev/null 2>&1 && exec \"$name\" \"$@\"; done\n\
        echo \"none of these programs is in the image: $names\" >&2; exit 127\n";
    let names = programs.join(" ");
    let all: Vec<&str> = std::iter::once(names.as_str()).chain(arguments.iter().copied()).collect();
    line(SCRIPT, &all)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn run(argv: &[String]) -> (Option<i32>, String) {
        let done = Command::new(&argv[0]).args(&argv[1..]).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    }

    #[test]
    fn arguments_stay_arguments() {
        let (status, said) = run(&line("printf '%s|' \"$@\"", &["a b", "$(id)", "'; exit 9; '"]));
        assert_eq!((status, said.as_str()), (Some(0), "a b|$(id)|'; exit 9; '|"));
    }

    #[test]
    fn the_first_program_that_is_there_is_run() {
        let (status, said) = run(&first_of(&["backupd-no-such", "echo"], &["it's", "$HOME"]));
        assert_eq!((status, said.as_str()), (Some(0), "it's $HOME\n"));
        assert_eq!(run(&first_of(&["backupd-no-such"], &["x"])).0, Some(127));
    }
}
