//! A whole crontab line, from text to the nominal times that it names.

use crate::schedule::error::{ScheduleError, quoted};
use crate::schedule::field::{Field, Values};
use crate::schedule::nominal::Nominal;

/// What the aliases stand for.
const ALIASES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A word of a line.
struct Word<'a> {
    /// From 1, in characters.
    column: usize,
    text: &'a str,
}

pub(super) fn parse(text: &str) -> Result<Nominal, ScheduleError> {
    let words = words(text);
    match words.as_slice() {
        [alias] if alias.text.starts_with('@') => {
            let known = ALIASES.iter().find(|(name, _)| name.eq_ignore_ascii_case(alias.text));
            let (_, line) = known
                .ok_or_else(|| ScheduleError::Alias { column: alias.column, found: quoted(alias.text) })?;
            parse(line)
        }
        words @ [_, _, _, _, _] => fields(None, words),
        [second, words @ ..] if words.len() == 5 => fields(Some(second), words),
        words => Err(ScheduleError::Count { found: words.len() }),
    }
}

fn fields(second: Option<&Word<'_>>, words: &[Word<'_>]) -> Result<Nominal, ScheduleError> {
    let second = match second {
        Some(word) => Values::parse(Field::Second, word.text, word.column)?,
        None => Values::one(0),
    };
    let mut values = vec![second];
    for (field, word) in Field::ALL.into_iter().skip(1).zip(words) {
        values.push(Values::parse(field, word.text, word.column)?);
    }
    Nominal::of(&values).ok_or_else(|| ScheduleError::Never {
        column: words[2].column,
        days: quoted(words[2].text),
        months: quoted(words[3].text),
    })
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut inside = false;
    for (column, (at, c)) in text.char_indices().enumerate() {
        if !c.is_whitespace() && !inside {
            let text = text[at..].split(char::is_whitespace).next().unwrap_or_default();
            words.push(Word { column: column + 1, text });
        }
        inside = !c.is_whitespace();
    }
    words
}
