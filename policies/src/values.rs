//! Values of keys: each reader takes what the file says, or blames it and gives nothing.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::complaint::Judge;

pub(crate) fn wrong_type(
    judge: &mut Judge<'_>,
    key: &str,
    span: &Range<usize>,
    want: &str,
    got: &Spanned<DeValue<'_>>,
) {
    judge.blame(span, format!("`{key}` must be {want}, not {}", article(got.get_ref().type_str())));
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'i', 'o']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

/// A text that `fine` has nothing against.
pub(crate) fn text_of(
    judge: &mut Judge<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    fine: fn(&str) -> Result<(), &'static str>,
) -> Option<String> {
    let Some(text) = value.get_ref().as_str() else {
        wrong_type(judge, key, &value.span(), "a text in quotes", value);
        return None;
    };
    match fine(text) {
        Ok(()) => Some(text.to_owned()),
        Err(why) => {
            judge.blame(&value.span(), format!("`{key}` {why}"));
            None
        }
    }
}

/// A list of such texts.
pub(crate) fn texts_of(
    judge: &mut Judge<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    fine: fn(&str) -> Result<(), &'static str>,
) -> Option<Vec<String>> {
    let Some(list) = value.get_ref().as_array() else {
        wrong_type(judge, key, &value.span(), "a list of texts", value);
        return None;
    };
    let texts: Vec<_> = list.iter().map(|one| text_of(judge, key, one, fine)).collect();
    texts.into_iter().collect()
}

pub(crate) fn store_fine(text: &str) -> Result<(), &'static str> {
    if carries_secret(text) {
        return Err(
            "must not carry keys: everybody may read this file; give them to the service through the AWS \
             chain (`profile=` in the URL, its environment, a role) and write `s3://bucket/prefix`",
        );
    }
    let fine =
        text.strip_prefix("s3://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?']))
            || text.starts_with("file:///");
    if fine { Ok(()) } else { Err("must be `file:///dir` or `s3://bucket/prefix`") }
}

/// Whether a URL has somebody's name or password before its host, in the URL of an endpoint too, or a key
/// of its query that holds a secret.
pub(crate) fn carries_secret(url: &str) -> bool {
    const SECRETS: [&str; 7] = ["secret", "token", "passw", "access_key", "apikey", "api_key", "signature"];
    let (front, query) = url.split_once('?').unwrap_or((url, ""));
    let userinfo = |url: &str| {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().is_some_and(|host| host.contains('@'))
    };
    userinfo(front)
        || query.split('&').filter_map(|pair| pair.split_once('=')).any(|(key, value)| {
            let (key, value) =
                (key.to_ascii_lowercase(), value.replace("%40", "@").replace("%3A", ":").replace("%2F", "/"));
            userinfo(&value)
                || matches!(key.as_str(), "key" | "sig" | "pwd" | "auth")
                || SECRETS.iter().any(|secret| key.contains(secret))
        })
}

/// The rule of a host's folder in the store, told here so that the complaint can name line and column.
pub(crate) fn host_fine(text: &str) -> Result<(), &'static str> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if first && text.len() <= 128 && text.chars().all(fine) {
        Ok(())
    } else {
        Err("must be letters, digits, `.`, `-` and `_`, at most 128 of them")
    }
}

pub(crate) fn state_fine(text: &str) -> Result<(), &'static str> {
    if text.starts_with('/') { Ok(()) } else { Err("must be an absolute path") }
}

pub(crate) fn folder_fine(text: &str) -> Result<(), &'static str> {
    let inside = text.strip_prefix('/').unwrap_or_default();
    if inside.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        return Ok(());
    }
    Err("must be absolute paths below `/`, without `..` or a slash at the end")
}

/// Health and metrics name sources: they are told to this host only.
pub(crate) fn listen_fine(text: &str) -> Result<(), &'static str> {
    let address: Option<std::net::SocketAddr> = text.parse().ok();
    if address.is_some_and(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err("must be a loopback address and a port: `127.0.0.1:9620`")
}

pub(crate) fn docker_fine(text: &str) -> Result<(), &'static str> {
    if text.contains("://") {
        Ok(())
    } else {
        Err("must be as in `DOCKER_HOST`: `unix:///var/run/docker.sock`")
    }
}

/// An integer within bounds.
pub(crate) fn whole<T: TryFrom<i64>>(
    judge: &mut Judge<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    bounds: Range<i64>,
) -> Option<T> {
    if !value.get_ref().is_integer() {
        wrong_type(judge, key, &value.span(), "a whole number", value);
        return None;
    }
    let inside = integer(value).filter(|n| bounds.contains(n)).and_then(|n| T::try_from(n).ok());
    if inside.is_none() {
        judge
            .blame(&value.span(), format!("`{key}` must be between {} and {}", bounds.start, bounds.end - 1));
    }
    inside
}

/// The number that a value is, if it is one and fits.
pub(crate) fn integer(value: &Spanned<DeValue<'_>>) -> Option<i64> {
    let number = value.get_ref().as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A size between 32 MiB and 1 TiB.
pub(crate) fn size(judge: &mut Judge<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<u64> {
    const LEAST: u64 = 32 << 20;
    const MOST: u64 = 1 << 40;
    let bytes = value.get_ref().as_str().and_then(parse_bytes);
    match bytes {
        Some(bytes @ LEAST..=MOST) => return Some(bytes),
        Some(_) => judge.blame(&value.span(), format!("`{key}` must be between 32MiB and 1TiB")),
        None => {
            judge.blame(&value.span(), format!("`{key}` must be a size in quotes: \"192MiB\", \"1GiB\""));
        }
    }
    None
}

/// `192MiB`, `1GiB`, `1.5GiB` is not one: whole numbers of KiB, MiB, GiB or TiB.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (digits, shift) = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    let digits = digits.trim_end();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
