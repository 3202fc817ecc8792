//! Restoring in place after a little went wrong: all of the volume anew, or only what differs.
//!
//! Pages that lie together are what a bad deploy or a dropped table leaves; pages at random, what a database that went on
//! for a day has written. A frame holds 1 MiB, and fetching begins with frames, so the second costs far more.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::bench::noise::Noise;
use crate::bench::peers::{Attempt, Subject};
use crate::bench::results::{float, median};
use crate::bench::server::{Server, ServerKind};
use crate::bench::table::{megabytes, seconds};
use crate::bench::targets::{delta, table};
use crate::bench::tools::Tool;
use crate::bench::volumes::{Contents, VOLUME_PREFIX};
use crate::bench::workloads::Workload;
use crate::docker::Docker;

/// Restores that a median is of.
const TIMES: u64 = 3;

/// Of the file of a volume that is one seventh of it, so much is three hundredths of the volume.
const TOGETHER: (u64, u64) = (21, 100);

/// One way to bring the volume back.
struct Way {
    what: &'static str,
    options: &'static [&'static str],
    together: bool,
}

const WAYS: [Way; 3] = [
    Way { what: "all of it, staged beside the old", options: &[], together: true },
    Way { what: "`--delta`, 3 % differ in one place", options: &["--delta"], together: true },
    Way { what: "`--delta`, 3 % of pages differ, at random", options: &["--delta"], together: false },
];

/// Measures all ways on a database, and writes the part of the document.
pub(super) fn cost(docker: &Docker, scale: f64) -> io::Result<String> {
    let name = format!("{VOLUME_PREFIX}in-place");
    docker.remove_volume(&name)?;
    let place = docker.create_volume(&name)?;
    let subject = Subject { volume: name, place, workload: Workload::Database };
    let done = measure(docker, &subject, scale);
    docker.remove_volume(&subject.volume)?;
    let figures = done?;
    let mut out = format!(
        "The volume of the database, restored over itself; medians of {TIMES}.\n\n\
         | | restore, s | fetched, MB |\n| --- | ---: | ---: |\n"
    );
    for (way, (time, bytes)) in WAYS.iter().zip(&figures) {
        out.push_str(&format!("| {} | {} | {} |\n", way.what, seconds(*time), megabytes(*bytes)));
    }
    let [whole, together, scattered] = figures;
    let verdicts: Vec<_> = [("in one place", together), ("at random", scattered)]
        .into_iter()
        .flat_map(|(what, it)| delta(what, it, whole))
        .collect();
    Ok(format!("{out}\n{}\n", table(&verdicts)))
}

/// Seconds and bytes of each way.
fn measure(docker: &Docker, subject: &Subject, scale: f64) -> io::Result<[(f64, f64); 3]> {
    Workload::Database.fill(&subject.place, scale)?;
    let server = Server::start(ServerKind::Ours)?;
    let attempt = Attempt::new(Tool::Backupctl, docker, &server, subject)?;
    attempt.back_up()?;
    let whole = Contents::of(&subject.place)?;
    let mut figures = [(0.0, 0.0); 3];
    for (figure, way) in figures.iter_mut().zip(&WAYS) {
        let (mut times, mut bytes) = (Vec::new(), Vec::new());
        for time in 0..TIMES {
            spoil(subject, way, time)?;
            rustix::fs::sync();
            let (_, before) = server.counters();
            let cost = attempt.restore_in_place(way.options)?;
            times.push(cost.wall.as_secs_f64());
            bytes.push(float(server.counters().1 - before));
            let found = Contents::of(&subject.place)?;
            if found != whole {
                return Err(io::Error::other(format!("{}: {found:?} came back of {whole:?}", way.what)));
            }
        }
        *figure = (median(times).unwrap_or_default(), median(bytes).unwrap_or_default());
    }
    Ok(figures)
}

/// Writes over 3 % of the volume.
fn spoil(subject: &Subject, way: &Way, time: u64) -> io::Result<()> {
    if !way.together {
        return Workload::Database.live(&subject.place, 50 + time);
    }
    let path = subject.place.join("base/16384/1");
    let length = fs::metadata(&path)?.len();
    let mut piece = vec![0; usize::try_from(length * TOGETHER.0 / TOGETHER.1).map_err(io::Error::other)?];
    let noise = &mut Noise::new(500 + time);
    noise.fill(&mut piece);
    let at = noise.below(length - piece.len() as u64);
    OpenOptions::new().write(true).open(path)?.write_all_at(&piece, at)
}
