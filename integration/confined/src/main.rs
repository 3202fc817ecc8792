//! A helper that was taken over. It is put in the real helper's place, in a container made just the same, and
//! tries to get out; each attempt is one line of its answer, `denied NAME: why` or `allowed NAME`.
//!
//! Its first arguments are the real helper's. One more says what to do: nothing (the battery), or the words
//! `sleep`, `fail`, `memory`: ways for a container to be, which other tests need.

mod battery;

use std::io::{self, Read as _, Write};
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
        ["--socket", path, "--root", _root] => UnixStream::connect(path).and_then(|mut peer| {
            let mut orders = peer.try_clone()?;
            obey(&mut orders, &mut peer)
        }),
        ["--stdio", "--root", _root] => obey(&mut io::stdin(), &mut io::stdout()),
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
            io::copy(&mut io::repeat(7).take(bytes), &mut io::BufWriter::with_capacity(1 << 20, answer)).map(drop)
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
