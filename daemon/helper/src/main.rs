//! The program inside the helper container: one job, one folder, one channel.
//!
//! ```text
//! backupd-helper --socket /run/backupd/helper.sock --root /source
//! backupd-helper --stdio --root /source
//! ```
//!
//! It sees nothing but the folder behind `--root`, an empty one behind `--scratch` if it may take a picture of the first, and
//! the channel, and says how it went with its last record;
//! the exit status only repeats that. What the records mean is in `archive::channel`, and how a job is served
//! in `archive::serve`.

mod args;
mod link;

use std::io::{self, Write as _};
use std::process::ExitCode;

use archive::clones::{Cloner, Scratch};
use archive::serve::serve;
use rustix::fs::{Mode, OFlags};

use crate::args::Args;
use crate::link::Link;

/// The command line made no sense.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(why) => return complain(&why, ExitCode::from(EXIT_USAGE)),
    };
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        // The channel has heard why.
        Ok(false) => ExitCode::FAILURE,
        Err(e) => complain(&e.to_string(), ExitCode::FAILURE),
    }
}

/// Whether the job was done; an error is one that the other side cannot be told.
fn run(args: &Args) -> io::Result<bool> {
    // Modes come from rows and nowhere else.
    rustix::process::umask(Mode::empty());
    let link = Link::connect(&args.channel)?;
    // Before any thread begins, so that all of them have it. Processes without a priority of their own at the disk
    // get it from this one.
    let lowered = match i32::from(args.nice) {
        0 => Ok(()),
        nice => rustix::process::setpriority_process(None, nice)
            .map_err(|e| io::Error::other(format!("cannot lower the priority to {nice}: {e}"))),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(&args.root, flags, Mode::empty());
    // Without it the pack is made in the ordinary way.
    let folder =
        args.scratch.as_ref().and_then(|scratch| rustix::fs::open(scratch, flags, Mode::empty()).ok());
    let scratch = Scratch { folder, cloner: Cloner::KERNEL };
    serve(link.input, link.output, lowered.and(root.map_err(io::Error::from)), &scratch)
}

fn complain(why: &str, code: ExitCode) -> ExitCode {
    // Nobody is left to hear that complaining failed; the exit status still tells.
    writeln!(io::stderr(), "backupd-helper: {why}").map_or(code, |()| code)
}
