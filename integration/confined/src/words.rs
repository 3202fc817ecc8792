//! The program that the contract suite for programs in containers needs inside one: each of its words, and its end.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

/// `cat FILE`, `look FILE`, `flood BYTES` and `fail`, as the suite says.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let status = match words {
        ["cat", file] => out()
            .and_then(|mut out| io::copy(&mut io::stdin(), &mut out))
            .and_then(|_bytes| File::create_new(file))
            .map(|_file| 0),
        ["look", file] => Ok(u8::from(!Path::new(file).exists())),
        ["flood", bytes] => out().and_then(|mut out| {
            let bytes = bytes.parse().map_err(io::Error::other)?;
            io::copy(&mut io::repeat(7).take(bytes), &mut out).map(|_bytes| 0)
        }),
        ["fail"] => {
            eprintln!("cannot\n do it");
            Ok(3)
        }
        _ => Ok(127),
    };
    ExitCode::from(status.unwrap_or(1))
}

/// Not `io::stdout()`, which keeps what follows the last line break.
fn out() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}
