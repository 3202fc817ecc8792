//! Walks a parsed file along the table of keys: each value goes into the draft or is blamed.
//!
//! Always true: every key of the file is either taken, or blamed with its place; none is passed over.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::complaint::{Judge, nearest, shown, unknown_key};
use crate::level::{Level, level};
use crate::policy::key::{Draft, Key, Kind, PutText, Seen};
use crate::policy::keys::{NOTIFY, POLICY};
use crate::policy::units::{parse_speed, parse_time, print_bytes, print_time};
use crate::values::{integer, parse_bytes, wrong_type};

/// A list longer than this is no list that a person wrote.
const ITEMS_MAX: usize = 1_000;

/// Reads a whole file.
pub(crate) fn read(judge: &mut Judge<'_>, file: &DeTable<'_>) -> Draft {
    let mut draft = Draft::new();
    table(judge, "", POLICY, file, &mut draft);
    draft
}

/// Reads the table `[notify]` of another file.
pub(crate) fn read_notify(judge: &mut Judge<'_>, notify: &DeTable<'_>) -> Draft {
    let mut draft = Draft::new();
    table(judge, "notify", NOTIFY, notify, &mut draft);
    draft
}

fn table(judge: &mut Judge<'_>, inside: &str, keys: &[Key], table: &DeTable<'_>, draft: &mut Draft) {
    for (name, value) in table {
        let Some(key) = keys.iter().find(|key| key.name == name.get_ref().as_ref()) else {
            judge.blame(&name.span(), unknown(name.get_ref(), inside, keys));
            continue;
        };
        let path = if inside.is_empty() { key.name.to_owned() } else { format!("{inside}.{}", key.name) };
        let before = judge.blamed();
        if let Kind::Tables(keys, required, begin) = key.kind {
            let list = Tables { path: &path, keys, required, begin };
            list.read(&mut Place { judge, key, value }, draft);
        }
        match (key.kind.table(), value.get_ref().as_table()) {
            (Some(keys), Some(inner)) => self::table(judge, &path, keys, inner, draft),
            (Some(_), None) => {
                wrong_type(judge, key.name, &value.span(), &format!("a table, `[{}]`", key.name), value);
            }
            (None, _) => take(&mut Place { judge, key, value }, draft),
        }
        let fine = judge.blamed() == before;
        draft.seen.insert(path, Seen { span: name.span(), fine });
    }
}

/// A list of tables that have the same keys.
struct Tables<'a> {
    path: &'a str,
    keys: &'static [Key],
    required: &'static [&'static str],
    begin: fn(&mut Draft),
}

impl Tables<'_> {
    fn read(&self, place: &mut Place<'_, '_>, draft: &mut Draft) {
        let want = format!("tables, each below `[[{}]]`", self.path);
        let Some(list) = place.value.get_ref().as_array() else { return place.wrong_type(&want) };
        if list.is_empty() || list.len() > ITEMS_MAX {
            return place.blame(format_args!("must be between 1 and {ITEMS_MAX} {want}"));
        }
        for item in list {
            let Some(inner) = item.get_ref().as_table() else {
                wrong_type(place.judge, place.key.name, &item.span(), &want, item);
                continue;
            };
            (self.begin)(draft);
            table(place.judge, self.path, self.keys, inner, draft);
            for name in self.required.iter().filter(|name| !inner.contains_key(**name)) {
                place.judge.blame(&item.span(), format!("`[[{}]]` does not say `{name}`", self.path));
            }
        }
    }
}

/// A key that is not known here may be known in another table.
fn unknown(name: &str, inside: &str, keys: &[Key]) -> String {
    let tables = POLICY.iter().filter_map(|key| Some((key.name, key.kind.table()?)));
    let home = std::iter::once(("", POLICY))
        .chain(tables)
        .find(|(table, keys)| *table != inside && keys.iter().any(|key| key.name == name));
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    match home {
        Some(("", _)) => format!("unknown key `{name}` in `[{inside}]`; write it above the first `[table]`"),
        Some((table, _)) => format!("unknown key `{name}` here; it belongs into `[{table}]`"),
        None => unknown_key(name, &names),
    }
}

/// A value under judgement.
struct Place<'a, 'text> {
    judge: &'a mut Judge<'text>,
    key: &'a Key,
    value: &'a Spanned<DeValue<'a>>,
}

impl Place<'_, '_> {
    fn blame(&mut self, message: impl Display) {
        self.judge.blame(&self.value.span(), format!("`{}` {message}", self.key.name));
    }

    fn wrong_type(&mut self, want: &str) {
        wrong_type(self.judge, self.key.name, &self.value.span(), want, self.value);
    }

    /// A number inside its bounds; `None` is blamed.
    fn inside<T: PartialOrd>(
        &mut self,
        n: Option<T>,
        bounds: &RangeInclusive<T>,
        shown: fn(&T) -> String,
    ) -> Option<T> {
        let inside = n.filter(|n| bounds.contains(n));
        if inside.is_none() {
            let (least, most) = (shown(bounds.start()), shown(bounds.end()));
            let about = self.key.about;
            self.blame(format_args!("must be between {least} and {most}: {about}"));
        }
        inside
    }

    /// A text with a unit; `None` is blamed.
    fn with_unit(
        &mut self,
        parse: fn(&str) -> Option<u64>,
        bounds: &RangeInclusive<u64>,
        want: &str,
        shown: fn(&u64) -> String,
    ) -> Option<u64> {
        let Some(text) = self.value.get_ref().as_str() else {
            self.wrong_type(want);
            return None;
        };
        let Some(n) = parse(text) else {
            self.blame(format_args!("must be {want}"));
            return None;
        };
        self.inside(Some(n), bounds, shown)
    }

    fn each(&mut self, what: &str, mut put: impl FnMut(&mut Judge<'_>, &Spanned<DeValue<'_>>)) {
        let Some(list) = self.value.get_ref().as_array() else {
            self.wrong_type(&format!("a list of {what} in quotes, `[\"…\", \"…\"]`"));
            return;
        };
        if list.is_empty() || list.len() > ITEMS_MAX {
            self.blame(format_args!(
                "must have between 1 and {ITEMS_MAX} entries; leave the key out if it has none"
            ));
            return;
        }
        for item in list {
            put(self.judge, item);
        }
    }
}

fn take(place: &mut Place<'_, '_>, draft: &mut Draft) {
    match &place.key.kind {
        Kind::Table(_) | Kind::Tables(..) => {}
        Kind::Flag(put) => match place.value.get_ref().as_bool() {
            Some(on) => put(draft, on),
            None => place.wrong_type("`true` or `false`"),
        },
        Kind::Whole(bounds, put) => {
            if !place.value.get_ref().is_integer() {
                return place.wrong_type("a whole number");
            }
            let n = integer(place.value).and_then(|n| u32::try_from(n).ok());
            if let Some(n) = place.inside(n, bounds, u32::to_string) {
                put(draft, n);
            }
        }
        Kind::Level(put) if place.value.get_ref().is_integer() => {
            let n = integer(place.value).and_then(|n| u32::try_from(n).ok());
            if let Some(n) = place.inside(n, &Level::NUMBERS, u32::to_string) {
                put(draft, Level::Fixed(n));
            }
        }
        Kind::Level(put) => {
            if let Some(found) = level(place.judge, place.key.name, place.value) {
                put(draft, found);
            }
        }
        Kind::Time(bounds, put) => {
            let want = "a time in quotes with its unit, as \"90s\", \"15m\", \"2h\" or \"7d\"";
            let seconds = |text: &str| parse_time(text).map(|time| time.as_secs());
            let shown = |n: &u64| print_time(Duration::from_secs(*n));
            if let Some(n) = place.with_unit(seconds, bounds, want, shown) {
                put(draft, Duration::from_secs(n));
            }
        }
        Kind::Bytes(bounds, put) => {
            let want = "a size in quotes with its unit, as \"512MiB\" or \"2GiB\"";
            if let Some(n) = place.with_unit(parse_bytes, bounds, want, |n| print_bytes(*n)) {
                put(draft, n);
            }
        }
        Kind::Speed(bounds, put) => {
            let want = "a speed in quotes with its unit, as \"20MiB/s\"";
            if let Some(n) = place.with_unit(parse_speed, bounds, want, |n| format!("{}/s", print_bytes(*n)))
            {
                put(draft, n);
            }
        }
        Kind::Text(put) => text(place.judge, place.key.name, place.value, *put, draft),
        Kind::Texts(put) => {
            let name = place.key.name;
            place.each("texts", |judge, item| text(judge, name, item, *put, draft));
        }
        Kind::Word(words, put) => {
            let name = place.key.name;
            if let Some(i) = one_of(place.judge, name, place.value, words) {
                put(draft, i);
            }
        }
        Kind::Words(words, put) => {
            let name = place.key.name;
            place.each("words", |judge, item| {
                if let Some(i) = one_of(judge, name, item, words) {
                    put(draft, i);
                }
            });
        }
    }
}

fn text(judge: &mut Judge<'_>, key: &str, value: &Spanned<DeValue<'_>>, put: PutText, draft: &mut Draft) {
    match value.get_ref().as_str() {
        Some(text) => {
            if let Err(why) = put(draft, text) {
                judge.blame(&value.span(), format!("`{key}` {why}"));
            }
        }
        None => wrong_type(judge, key, &value.span(), "a text in quotes", value),
    }
}

fn one_of(judge: &mut Judge<'_>, key: &str, value: &Spanned<DeValue<'_>>, words: &[&str]) -> Option<usize> {
    let Some(text) = value.get_ref().as_str() else {
        wrong_type(judge, key, &value.span(), "a word in quotes", value);
        return None;
    };
    let found = words.iter().position(|word| *word == text);
    if found.is_none() {
        let meant = nearest(text, words.iter().copied());
        let mend = meant.map_or(String::new(), |word| format!("; did you mean `{word}`?"));
        let (known, got) = (words.join("`, `"), shown(text));
        judge.blame(&value.span(), format!("`{key}` must be one of `{known}`, not `{got}`{mend}"));
    }
    found
}
