//! What the word at the cursor is to be, read off the program's own command line.
//!
//! Always true: it is decided by names of values, as the help prints them: `SOURCE`, `SNAP`, and `PATH` behind a `SNAP`. A new verb that uses them
//! is completed without a line here.

use clap::{Arg, Command, CommandFactory as _};

use crate::args::Cli;

/// What may stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing that this host knows by name: a verb, a flag, a value of a flag, a file of this host.
    Nothing,
    /// A source.
    Source,
    /// A snapshot.
    Snapshot {
        /// One that was deleted.
        deleted: bool,
    },
    /// Something that lies in this snapshot.
    Path {
        /// As it was typed.
        snapshot: String,
    },
}

/// Of the last of the words that were typed behind the program's name.
pub(super) fn wanted(words: &[String]) -> Wanted {
    let Some((last, before)) = words.split_last() else { return Wanted::Nothing };
    if last.starts_with('-') {
        return Wanted::Nothing;
    }
    let mut whole = Cli::command();
    // Gives verbs the global flags.
    whole.build();
    let (mut verb, mut given) = (&whole, Vec::new());
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            if takes_value(verb, word) && words.next().is_none() {
                return Wanted::Nothing;
            }
        } else if let Some(found) = verb.find_subcommand(word) {
            verb = found;
        } else {
            given.push(word);
        }
    }
    let places: Vec<&Arg> = verb.get_positionals().filter(|place| !place.is_hide_set()).collect();
    let repeated = places.last().filter(|place| place.get_num_args().is_some_and(|n| n.max_values() > 1));
    let is_snapshot = |place: &&&Arg| name(place).starts_with("SNAP");
    let snapshot = given.iter().zip(&places).find(|(_, place)| is_snapshot(place)).map(|(word, _)| *word);
    match places.get(given.len()).or(repeated).map(|place| name(place)) {
        Some(name) if name == "SOURCE" => Wanted::Source,
        Some(name) if name.starts_with("SNAP") => Wanted::Snapshot { deleted: verb.get_name() == "undelete" },
        Some(name) if name == "PATH" => {
            snapshot.map_or(Wanted::Nothing, |snapshot| Wanted::Path { snapshot: snapshot.clone() })
        }
        Some(_) | None => Wanted::Nothing,
    }
}

/// As the help prints it.
fn name(place: &Arg) -> String {
    match place.get_value_names() {
        Some([name, ..]) => name.to_string(),
        Some([]) | None => place.get_id().as_str().to_uppercase(),
    }
}

/// Whether the value of a flag is the next word.
fn takes_value(verb: &Command, word: &str) -> bool {
    let flag = verb.get_arguments().find(|arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some() && arg.get_short() == word.chars().next_back(),
    });
    flag.is_some_and(|flag| flag.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_the_cursor_is_what_the_verb_wants_there() {
        const SNAPSHOT: Wanted = Wanted::Snapshot { deleted: false };
        let path = || Wanted::Path { snapshot: "db@1".to_owned() };
        for (typed, want) in [
            ("", Wanted::Nothing),
            ("sh", Wanted::Nothing),
            ("restore ", Wanted::Source),
            ("restore sh", Wanted::Source),
            ("restore --yes sh", Wanted::Source),
            ("--store s3://b -q restore --at 2h sh", Wanted::Source),
            ("--store=s3://b restore sh", Wanted::Source),
            ("restore db --at y", Wanted::Nothing),
            ("restore db sh", Wanted::Nothing),
            ("restore --d", Wanted::Nothing),
            ("backup a b c", Wanted::Source),
            ("clone a b", Wanted::Nothing),
            ("snapshots d", Wanted::Source),
            ("find *.conf d", Wanted::Source),
            ("find *.c", Wanted::Nothing),
            ("ls db@", SNAPSHOT),
            ("ls db@1 etc", path()),
            ("cat -q db@1 etc/", path()),
            ("cat db@1 etc x", Wanted::Nothing),
            ("diff db@1 d", SNAPSHOT),
            ("verify db@1 db@2 d", SNAPSHOT),
            ("export -o file d", SNAPSHOT),
            ("undelete d", Wanted::Snapshot { deleted: true }),
            ("policy show d", Wanted::Nothing),
            ("nonsense d", Wanted::Nothing),
            ("completions bash d", Wanted::Nothing),
        ] {
            let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
            assert_eq!(wanted(&words), want, "{typed:?}");
        }
    }
}
