//! Values of variables that a policy names by the file that holds them.
//!
//! Always true: a value goes to the program through its input, and into no message: what a program says of it is taken out.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use policies::policy::{Dump, Secret};

use crate::failure::{Class, Failure};

/// No password is longer.
const BYTES_MAX: u64 = 64 << 10;

/// The bits of a file that lets everybody read it.
const EVERYBODY: u32 = 0o004;

/// The values of a dump's variables, in their order.
pub(super) fn values(dump: &Dump) -> Result<Vec<String>, Failure> {
    dump.environment.iter().map(|secret| value(dump, secret)).collect()
}

fn value(dump: &Dump, Secret { name, file }: &Secret) -> Result<String, Failure> {
    let what = format!("read the value of `{name}` for dump `{}` from `{file}`", dump.file);
    let (text, mode) = read(file).map_err(|e| Failure::failed(what.clone()).because(e))?;
    if mode & EVERYBODY != 0 {
        return Err(Failure::new(Class::Unsafe, what)
            .because("everybody may read that file")
            .hint(format!("`chmod 600 {file}`")));
    }
    match text.lines().next().filter(|line| !line.is_empty() && !line.contains('\0')) {
        Some(line) => Ok(line.to_owned()),
        None => Err(Failure::failed(what).because("its first line is empty, or no text")),
    }
}

fn read(path: &str) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let (mode, mut text) = (file.metadata()?.mode(), String::new());
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok((text, mode))
}

/// What a program said, without the values that it was given.
pub(super) fn without(values: &[String], said: &str) -> String {
    values.iter().fold(said.to_owned(), |said, value| said.replace(value.as_str(), "***"))
}
