//! A helper that was taken over. It is put in the real helper's place, in a container made just the same, and
//! tries to get out; each attempt is one line of its answer, `denied NAME: why` or `allowed NAME`.
//!
//! Its arguments are the real helper's. The first byte that it is sent says what to do: the
//! battery, or what other tests need. With the argument `sleep` it is any container that runs, and with `words` the
//! program that the suite for programs in containers speaks to.

mod battery;
mod words;

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["sleep"] => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        ["words", ..] => return words::run(&words[1..]),
        ["--socket", path, "--root", _root] => UnixStream::connect(path).and_then(|mut peer| {
            let mut orders = peer.try_clone()?;
            obey(&mut orders, &mut peer)
        }),
        // Not `io::stdout()`, which keeps what follows the last line break.
        ["--stdio", "--root", _root] => {
            let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
            out.and_then(|mut out| obey(&mut io::stdin(), &mut out))
        }
        _ => Err(io::Error::other(format!("what is {words:?}?"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// One byte says what to do.
fn obey(orders: &mut impl io::Read, answer: &mut impl Write) -> io::Result<()> {
    let mut order = [0];
    orders.read_exact(&mut order)?;
    match order[0] {
        b'b' => battery::run(answer),
        b'm' => use_up_memory(),
        b'f' => Err(io::Error::other("failed as it was told")),
        // Swallow it all, give it all back: the channel itself is under test.
        b'e' => io::copy(orders, answer).map(drop),
        // Say so much, in the largest pieces.
        b'g' => {
            let mut count = [0; 8];
            orders.read_exact(&mut count)?;
            let bytes = u64::from_le_bytes(count);
            io::copy(&mut io::repeat(7).take(bytes), &mut io::BufWriter::with_capacity(1 << 20, answer))
                .map(drop)
        }
        other => Err(io::Error::other(format!("no such order: {other}"))),
    }
}

/// Touches pages until the kernel has enough of it.
fn use_up_memory() -> io::Result<()> {
    let mut hoard = Vec::new();
    for round in 0_u32..1 << 20 {
        hoard.push(vec![round.to_le_bytes()[0] | 1; 1 << 20]);
    }
    Err(io::Error::other(format!("{} MiB were given", hoard.len())))
}
