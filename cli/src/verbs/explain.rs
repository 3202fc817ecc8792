//! `backupctl explain`: what an exit code means.
//!
//! Always true: it says what `docs/exit-codes.md` says, because it reads it; the page is a part of the program.

use engine::failure::Failure;
use serde::Serialize;

use crate::screen::plain;
use crate::session::{Ending, Session};

const PAGE: &str = include_str!("../../../docs/exit-codes.md");

/// Explain an exit code
///
/// Without a code, all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl explain 13
  backupctl explain partial
  backupctl explain")]
pub(crate) struct Args {
    /// The number, or its word in JSON
    code: Option<String>,
}

/// A row of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Code {
    code: u8,
    word: &'static str,
    meaning: &'static str,
    next: &'static str,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let wanted = args.code.as_deref();
    let found: Vec<Code> = codes().filter(|code| wanted.is_none_or(|wanted| code.is(wanted))).collect();
    match (wanted, found.as_slice()) {
        (Some(wanted), []) => {
            return Err(Failure::not_found(format!("`{}` is no exit code of ours", plain::line(wanted)))
                .hint("`backupctl explain` lists them; any other code means failure"));
        }
        (Some(_), [code, ..]) if session.screen.is_json() => session.screen.value(code)?,
        _ if session.screen.is_json() => session.screen.value(&found)?,
        _ => session.screen.result(&found.iter().map(Code::text).collect::<String>())?,
    }
    Ok(Ending::Done)
}

/// The rows of the page's table.
fn codes() -> impl Iterator<Item = Code> {
    PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let code = cells.next()?.parse().ok()?;
        let [word, meaning, next] = [cells.next()?, cells.next()?, cells.next()?];
        Some(Code { code, word: word.trim_matches('`'), meaning, next })
    })
}

impl Code {
    fn is(&self, wanted: &str) -> bool {
        wanted.parse() == Ok(self.code) || (!self.word.is_empty() && self.word == wanted)
    }

    fn text(&self) -> String {
        let word = if self.word.is_empty() { "done" } else { self.word };
        let next = if self.next.is_empty() { String::new() } else { format!("     next: {}\n", self.next) };
        format!("{:>3}  {word}: {}\n{next}", self.code, self.meaning)
    }
}

#[cfg(test)]
mod tests {
    use engine::failure::Class;

    use super::*;

    #[test]
    fn the_page_has_every_code_with_its_word_and_what_to_do() {
        let classes = [
            Class::Failed,
            Class::Usage,
            Class::Partial,
            Class::NotFound,
            Class::Busy,
            Class::WrongKey,
            Class::Unsafe,
            Class::Interrupted,
        ];
        let want = classes.map(|class| (class.exit_code(), class.word()));
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
}
