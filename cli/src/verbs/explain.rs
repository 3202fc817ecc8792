//! `backupctl explain`: what an exit code or a word on the screen means.
//!
//! Always true: it says what `docs/exit-codes.md` and `docs/words.md` say, because it reads them; the pages are a part of
//! the program.

use engine::failure::Failure;
use serde::Serialize;

use crate::screen::plain;
use crate::session::{Ending, Session};

const CODES: &str = include_str!("../../../docs/exit-codes.md");
const WORDS: &str = include_str!("../../../docs/words.md");

/// Explain an exit code, or a word that a command printed
///
/// Without one, all exit codes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl explain 13
  backupctl explain partial
  backupctl explain 'decided not'
  backupctl explain")]
pub(crate) struct Args {
    /// The number, its word in JSON, or a word on the screen
    code: Option<String>,
}

/// A row of the page of exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Code {
    code: u8,
    word: &'static str,
    meaning: &'static str,
    next: &'static str,
}

/// A row of the page of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Word {
    word: &'static str,
    seen_in: &'static str,
    meaning: &'static str,
    next: &'static str,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let Some(wanted) = args.code.as_deref() else {
        let all: Vec<Code> = codes().collect();
        match screen.is_json() {
            true => screen.value(&all)?,
            false => screen.result(&all.iter().map(Code::text).collect::<String>())?,
        }
        return Ok(Ending::Done);
    };
    // Some words are both; whoever reads a word on the screen wants to hear of either.
    let (code, word) = (codes().find(|code| code.is(wanted)), words().find(|word| word.word == wanted));
    match (code, word) {
        (None, None) => {
            return Err(Failure::not_found(format!(
                "`{}` is neither an exit code of ours nor a word that is explained",
                plain::line(wanted)
            ))
            .hint("`backupctl explain` lists the codes; any other code means failure"));
        }
        (Some(code), _) if screen.is_json() => screen.value(&code)?,
        (None, Some(word)) if screen.is_json() => screen.value(&word)?,
        (code, word) => {
            let code = code.map_or_else(String::new, |code| code.text());
            screen.result(&(code + &word.map_or_else(String::new, |word| word.text())))?;
        }
    }
    Ok(Ending::Done)
}

/// The rows of the table of exit codes.
fn codes() -> impl Iterator<Item = Code> {
    CODES.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let code = cells.next()?.parse().ok()?;
        let [word, meaning, next] = [cells.next()?, cells.next()?, cells.next()?];
        Some(Code { code, word: word.trim_matches('`'), meaning, next })
    })
}

/// The rows of the table of words, whose first cell is the word between backticks.
fn words() -> impl Iterator<Item = Word> {
    WORDS.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let word = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let [seen_in, meaning, next] = [cells.next()?, cells.next()?, cells.next()?];
        Some(Word { word, seen_in, meaning, next })
    })
}

impl Code {
    fn is(&self, wanted: &str) -> bool {
        wanted.parse() == Ok(self.code) || (!self.word.is_empty() && self.word == wanted)
    }

    fn text(&self) -> String {
        let word = if self.word.is_empty() { "done" } else { self.word };
        format!("{:>3}  {word}: {}\n{}", self.code, self.meaning, next(self.next))
    }
}

impl Word {
    fn text(&self) -> String {
        format!("     {}, in {}: {}\n{}", self.word, self.seen_in, self.meaning, next(self.next))
    }
}

fn next(next: &str) -> String {
    if next.is_empty() { String::new() } else { format!("     next: {next}\n") }
}

#[cfg(test)]
mod tests {
    use engine::catalog::DrillResult;
    use engine::failure::Class;
    use engine::format::manifest::{Consistency, SnapshotKind};
    use engine::usecase::retention::Action;

    use super::*;

    #[test]
    fn the_page_has_every_code_with_its_word_and_what_to_do() {
        let want = Class::ALL.map(|class| (class.exit_code(), class.word()));
        let all: Vec<Code> = codes().collect();
        assert_eq!(all[0].code, 0);
        assert_eq!(all[1..].iter().map(|code| (code.code, code.word)).collect::<Vec<_>>(), want);
        assert!(all[1..].iter().all(|code| !code.meaning.is_empty() && !code.next.is_empty()));
    }

    #[test]
    fn a_code_is_named_by_number_or_word() {
        let of =
            |wanted: &str| codes().filter(|code| code.is(wanted)).map(|code| code.code).collect::<Vec<_>>();
        assert_eq!([of("13"), of("unsafe"), of("0")], [vec![13], vec![13], vec![0]]);
        assert!(["", "7", "refused"].iter().all(|wanted| of(wanted).is_empty()));
    }

    #[test]
    fn words_that_lists_print_are_explained_each_once() {
        let known: Vec<&str> = words().map(|word| word.word).collect();
        let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        let mut printed: Vec<String> = Consistency::ALL.map(|one| one.word().to_owned()).into();
        printed.extend(
            [DrillResult::Proven, DrillResult::Unproven, DrillResult::Unchecked]
                .map(|one| one.word().to_owned()),
        );
        printed.extend(
            [SnapshotKind::Full, SnapshotKind::Incremental]
                .map(|one| text(serde_json::to_value(one).unwrap())),
        );
        printed.extend(
            [Action::Keep, Action::Delete, Action::Held, Action::Purge].map(|one| one.word().to_owned()),
        );
        for word in &printed {
            assert_eq!(known.iter().filter(|known| **known == word).count(), 1, "{word}");
        }
        assert!(words().all(|word| !word.seen_in.is_empty() && word.meaning.ends_with('.')));
        let idle = words().find(|word| word.word == "idle").unwrap();
        let want =
            "     idle, in `snapshots`, plans: No running container had it mounted while it was read.\n";
        assert_eq!(idle.text(), want);
    }
}
