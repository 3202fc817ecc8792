//! Looking into a snapshot of many files, and beginning to restore it: by somebody whose catalog knows it, and by a new machine that has the store alone.

use std::io;

use super::{Growing, Kind, of_count};
use crate::bench::peers::{Attempt, HOST};
use crate::bench::results::median;
use crate::bench::server::{Server, ServerKind};
use crate::bench::table::seconds;
use crate::bench::targets::{first_byte_seconds, table};
use crate::bench::tools::Tool;

/// Looks that a median is of.
const TIMES: u32 = 5;

/// What a new machine is called: a name belongs to the machine that has its key.
const STRANGER: &str = "bench-new";

/// Backs up what is there and looks into it; gives the part of the document.
pub(super) fn finding(growing: &Growing<'_>, say: &dyn Fn(&str)) -> io::Result<String> {
    let server = Server::start(ServerKind::Ours)?;
    let subject = &growing.subject;
    let attempt = Attempt::new(Tool::Backupctl, growing.docker, &server, subject)?;
    attempt.back_up()?;
    let volume = subject.volume.as_str();
    let newest = format!("{volume}@latest");
    let (folder, one) = Kind::folder_and_name(growing.size - 1);
    let pattern = format!("*/{one}");
    let looks: [(&str, &[&str]); 3] = [
        ("`snapshots`", &["snapshots", volume]),
        ("`ls` of one folder", &["ls", &newest, &folder]),
        ("`find` of one file by its name", &["find", &pattern, volume]),
    ];
    let mut out = format!(
        "Into {}, in seconds of whole programs, and of a restore into a new volume until it has the first byte of a file; \
         medians of {TIMES}:\n\n\
         | | this host | a new machine |\n| --- | ---: | ---: |\n",
        of_count(growing.size)
    );
    for (what, words) in looks {
        say(what);
        let (mut here, mut anew) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            here.push(attempt.look(words)?.wall.as_secs_f64());
            let stranger = Attempt::new(Tool::Backupctl, growing.docker, &server, subject)?;
            anew.push(stranger.look(words)?.wall.as_secs_f64());
        }
        row(&mut out, what, [here, anew]);
    }
    say("first byte of a restore");
    let (mut here, mut anew) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        here.push(attempt.first_byte(HOST)?.as_secs_f64());
        let stranger = Attempt::new(Tool::Backupctl, growing.docker, &server, subject)?;
        anew.push(stranger.first_byte(STRANGER)?.as_secs_f64());
    }
    let [_, anew] = row(&mut out, "`restore`, its first byte", [here, anew]);
    Ok(format!("{out}\n{}", table(&[first_byte_seconds(anew)])))
}

/// Adds a line of medians, and gives them.
fn row(out: &mut String, what: &str, times: [Vec<f64>; 2]) -> [f64; 2] {
    let medians = times.map(|times| median(times).unwrap_or_default());
    out.push_str(&format!("| {what} | {} |\n", medians.map(seconds).join(" | ")));
    medians
}
