//! How ours behaves as volumes grow: in files, in bytes, in snapshots, and in holes.
//!
//! What changes is the same little everywhere, so whatever goes up from row to row goes up with size alone. Volumes are
//! removed as soon as they are measured, and nothing begins unless there is room for it.

mod cold;
mod finding;
mod in_place;
mod volumes;

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use self::volumes::{FILE_MIB, Kind};
use super::footprint::{self, Footprint};
use super::measure::Cost;
use super::peers::{Attempt, Subject};
use super::results::{float, median};
use super::server::{Server, ServerKind};
use super::table::{megabytes, seconds};
use super::tools::Tool;
use super::volumes::VOLUME_PREFIX;
use super::workloads::Workload;
use crate::docker::Docker;

/// Nobody trusts the times of files that are younger than this: the next backup reads them once more, and says in their
/// rows that they are old enough now. So a backup that is to find nothing new must follow one of files that had settled.
const SETTLED: Duration = Duration::from_secs(3);

/// Backups of nothing that a median is of.
const UNCHANGED_TIMES: u32 = 3;

/// What the largest volume needs on the disk at full size, and its packs in memory, with some to spare.
const DISK_GIB: f64 = 20.0;
const MEMORY_GIB: f64 = 6.0;

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    what: String,
    /// Of a snapshot in the middle of a chain there is none.
    full: Option<f64>,
    unchanged: f64,
    changed: f64,
    peak: f64,
    /// The most that one of them sent.
    unchanged_sent: f64,
    footprint: Footprint,
}

/// A volume that grows.
struct Growing<'a> {
    docker: &'a Docker,
    subject: Subject,
    kind: Kind,
    size: u64,
    day: u64,
}

/// Measures everything and gives the part of the document. `say` is told where it is.
pub fn growth(scale: f64, docker: &Docker, say: &dyn Fn(&str)) -> io::Result<String> {
    let (mut rows, mut finding) = (Vec::new(), String::new());
    let steps = |full: [u64; 3], least| full.map(|full| scaled(full, scale).max(least));
    with_volume(docker, scale, Kind::Files, |growing| {
        for files in steps([10_000, 100_000, 1_000_000], 10) {
            say(&of_count(files));
            growing.grow(files)?;
            rows.extend(growing.measure(&of_count(files), &[1], say)?);
        }
        finding = finding::finding(growing, say)?;
        Ok(())
    })?;
    with_volume(docker, scale, Kind::Mebibytes, |growing| {
        for mib in steps([1024, 4 * 1024, 16 * 1024], 1).map(|mib| mib.next_multiple_of(FILE_MIB)) {
            say(&of_size(mib));
            growing.grow(mib)?;
            rows.extend(growing.measure(&of_size(mib), &[1], say)?);
        }
        Ok(())
    })?;
    with_volume(docker, scale, Kind::Files, |growing| {
        let files = scaled(10_000, scale).max(10);
        growing.grow(files)?;
        rows.extend(growing.measure(&format!("{},", of_count(files)), &[1, 10, 60], say)?);
        Ok(())
    })?;
    with_volume(docker, scale, Kind::Holes, |growing| {
        let mib = scaled(100 * 1024, scale).max(1);
        growing.grow(mib)?;
        rows.extend(growing.measure(&format!("{}, nearly all holes", of_size(mib)), &[1], say)?);
        Ok(())
    })?;
    let mut cold = String::new();
    with_volume(docker, scale, Kind::Files, |growing| {
        growing.grow(scaled(100_000, scale).max(10))?;
        cold = cold::cold(growing, say)?;
        Ok(())
    })?;
    say("in place");
    let in_place = in_place::cost(docker, scale)?;
    Ok(format!("{}\n\n{}\n{cold}\n{finding}\n{in_place}", conditions(scale)?, table(&rows)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of a benchmark are small")]
fn scaled(full: u64, scale: f64) -> u64 {
    (float(full) * scale) as u64
}

fn of_size(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

fn of_count(files: u64) -> String {
    match files {
        _ if files.is_multiple_of(1_000_000) => format!("{} M files", files / 1_000_000),
        _ if files.is_multiple_of(1000) => format!("{} k files", files / 1000),
        _ => format!("{files} files"),
    }
}

fn conditions(scale: f64) -> io::Result<String> {
    let cores = thread::available_parallelism()?;
    Ok(format!(
        "On {cores} cores, volumes at {scale} of full size, our own server in memory. Full and changed once, unchanged \
         {UNCHANGED_TIMES} times: the median of the time, the most that was sent."
    ))
}

/// Makes a volume, lets it be measured, and removes it, whatever came of that.
fn with_volume(
    docker: &Docker,
    scale: f64,
    kind: Kind,
    work: impl FnOnce(&mut Growing<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let volume = format!("{VOLUME_PREFIX}growth");
    docker.remove_volume(&volume)?;
    let place = docker.create_volume(&volume)?;
    let room =
        has_room(&place, DISK_GIB * scale).and_then(|()| has_room("/dev/shm".as_ref(), MEMORY_GIB * scale));
    let subject = Subject { volume, place, workload: Workload::Small };
    let mut growing = Growing { docker, subject, kind, size: 0, day: 0 };
    let done = room.and_then(|()| work(&mut growing));
    docker.remove_volume(&growing.subject.volume)?;
    done
}

fn has_room(place: &Path, gib: f64) -> io::Result<()> {
    let about = rustix::fs::statvfs(place)?;
    let free = float(about.f_bavail * about.f_frsize) / f64::from(1 << 30);
    if free >= gib {
        return Ok(());
    }
    let place = place.display();
    Err(io::Error::other(format!(
        "{place} has {free:.1} GiB free, and {gib:.1} are needed: make room, or use --scale"
    )))
}

impl Growing<'_> {
    fn grow(&mut self, size: u64) -> io::Result<()> {
        self.kind.grow(&self.subject.place, self.size, size)?;
        self.size = size;
        Ok(())
    }

    /// A new lineage of it: a row for each number of snapshots.
    fn measure(&mut self, what: &str, snapshots: &[u32], say: &dyn Fn(&str)) -> io::Result<Vec<Row>> {
        settle();
        let server = Server::start(ServerKind::Ours)?;
        let subject = self.subject.clone();
        let attempt = Attempt::new(Tool::Backupctl, self.docker, &server, &subject)?;
        say(&format!("{what} full"));
        let first = attempt.back_up()?;
        let mut made = 1;
        let mut rows = Vec::new();
        for wanted in snapshots {
            while made < *wanted {
                self.change()?;
                made += 1;
                if made == *wanted {
                    settle();
                }
                attempt.back_up()?;
            }
            let what = match snapshots.len() {
                1 => what.to_owned(),
                _ => format!("{what} {wanted} snapshots"),
            };
            say(&format!("{what}: unchanged, changed"));
            rows.push(self.row(what, &attempt, &server, (made == 1).then_some(&first))?);
            made += UNCHANGED_TIMES + 1;
        }
        Ok(rows)
    }

    fn row(
        &mut self,
        what: String,
        attempt: &Attempt<'_>,
        server: &Server,
        full: Option<&Cost>,
    ) -> io::Result<Row> {
        settle();
        let (mut unchanged, mut unchanged_sent) = (Vec::new(), 0);
        for _ in 0..UNCHANGED_TIMES {
            let (before, _) = server.counters();
            unchanged.push(attempt.back_up()?);
            unchanged_sent = unchanged_sent.max(server.counters().0 - before);
        }
        self.change()?;
        settle();
        let changed = attempt.back_up()?;
        let footprint = footprint::newest(server)?;
        let all = unchanged.iter().chain([&changed]).chain(full);
        let peak = all.map(|cost| cost.peak_bytes).max().unwrap_or_default();
        let wall = |cost: &Cost| cost.wall.as_secs_f64();
        Ok(Row {
            what,
            full: full.map(wall),
            unchanged: median(unchanged.iter().map(wall).collect()).unwrap_or_default(),
            changed: wall(&changed),
            peak: float(peak),
            unchanged_sent: float(unchanged_sent),
            footprint,
        })
    }

    fn change(&mut self) -> io::Result<()> {
        self.day += 1;
        self.kind.change(&self.subject.place, self.size, self.day)
    }
}

fn settle() {
    rustix::fs::sync();
    thread::sleep(SETTLED);
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| | full, s | nothing changed, s | a little changed, s | peak memory, MB | sent of nothing, MB | tables, MB | manifest, MB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let cells = [
            row.full.map_or_else(|| "-".to_owned(), seconds),
            seconds(row.unchanged),
            seconds(row.changed),
            megabytes(row.peak),
            megabytes(row.unchanged_sent),
            megabytes(float(row.footprint.tables)),
            megabytes(float(row.footprint.manifest)),
        ];
        out.push_str(&format!("| {} | {} |\n", row.what, cells.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_what_grew() {
        let row = Row {
            what: of_size(4096),
            full: None,
            unchanged: 0.25,
            changed: 0.5,
            peak: 80e6,
            unchanged_sent: 1200.0,
            footprint: Footprint { tables: 20_000_000, manifest: 1500 },
        };
        let table = table(&[Row { full: Some(9.0), ..row.clone() }, row]);
        assert!(table.contains("| 4 GiB | 9.00 | 0.25 | 0.50 | 80 | 0.001 | 20 | 0.002 |\n"), "{table}");
        assert!(table.ends_with("| 4 GiB | - | 0.25 | 0.50 | 80 | 0.001 | 20 | 0.002 |\n"), "{table}");
    }

    #[test]
    fn sizes_are_told_in_round_numbers() {
        assert_eq!([10, 10_000, 1_000_000].map(of_count), ["10 files", "10 k files", "1 M files"]);
        assert_eq!([64, 102_400].map(of_size), ["64 MiB", "100 GiB"]);
    }

    #[test]
    fn nothing_begins_without_room() {
        let dir = tempfile::tempdir().unwrap();
        has_room(dir.path(), 0.0).unwrap();
        let why = has_room(dir.path(), 1e12).unwrap_err().to_string();
        assert!(why.contains("GiB free"), "{why}");
    }
}
