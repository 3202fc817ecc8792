//! How long the writers of a large server stand still, beside how long its whole backup takes.
//!
//! While a backup reads, the server has its ordinary load, and an update that goes over three of a hundred pages.

use std::io;
use std::thread;

use crate::databases::cycle::Subject;
use crate::databases::place::Place;
use crate::databases::postgres::Postgres;
use crate::disk::Disk;
use crate::docker::Docker;
use crate::private_engine::PrivateEngine;

/// The benchmark's tables take so much for each step of its scale.
const MIB_A_STEP: u32 = 15;

/// A page holds 61 rows; so one row of every 33rd page.
const UPDATE: &str = "UPDATE pgbench_accounts SET filler = 'x' WHERE aid % (61 * 33) = ";

/// Where the engine of the environment keeps its volumes.
const ELSEWHERE: &str = "the host's disk";

/// Room for the server's image, its tables and its log; only what is written takes any.
const DISK_BYTES: u64 = 24 << 30;

/// Full backups of each mode.
const TIMES: u32 = 3;

/// Who is paused waits for what changed, and never for most of a backup. Who is not held at all waits for nothing.
const SHARE_MAX: f64 = 0.5;

/// A full backup.
struct Held {
    mode: &'static str,
    whole: f64,
    freeze: f64,
}

impl Held {
    fn row(&self, on: &str) -> String {
        let Self { mode, whole, freeze } = self;
        let share = 100.0 * freeze / whole.max(f64::EPSILON);
        format!("| {on} | `{mode}` | {whole:.2} | {freeze:.2} | {share:.0} % |")
    }

    /// What is not as it should be.
    fn fault(&self) -> Option<String> {
        let Self { mode, whole, freeze } = self;
        let most = if *mode == "pause" { whole * SHARE_MAX } else { 0.0 };
        (*freeze > most).then(|| format!("`{mode}` held writers for {freeze:.2} s of {whole:.2} s"))
    }
}

/// Measures a PostgreSQL of so many MiB, and gives a table, with the rows of other file systems that stood in it, and what is
/// not as it should be. The volumes
/// lie on a file system of the kind that is named (`xfs`, `btrfs`), or wherever the engine of the environment keeps them.
pub fn freezes(
    mib: u32,
    on: Option<&str>,
    earlier: &str,
    tell: impl Fn(&str),
) -> io::Result<(String, Vec<String>)> {
    let faults = |held: &[Held]| held.iter().filter_map(Held::fault).collect();
    let Some(kind) = on else {
        let held = all(&Place::named("bkd-freeze")?, mib, tell)?;
        return Ok((table(mib, ELSEWHERE, &held, earlier), faults(&held)));
    };
    let cannot = |what: &str| io::Error::other(format!("{what} cannot be had here"));
    let disk = Disk::mount(kind, DISK_BYTES)?.ok_or_else(|| cannot(kind))?;
    let engine = PrivateEngine::start_in(disk.path())?.ok_or_else(|| cannot("an engine"))?;
    let held = all(&Place::on(Docker::at(engine.socket()), "bkd-freeze")?, mib, tell)?;
    Ok((table(mib, kind, &held, earlier), faults(&held)))
}

fn all(place: &Place, mib: u32, tell: impl Fn(&str)) -> io::Result<Vec<Held>> {
    let server = Postgres { scale: mib.div_ceil(MIB_A_STEP) };
    tell(&format!("filling {mib} MiB"));
    let mut subject = Subject::new(place, &server, &[])?;
    let mut held = Vec::new();
    for mode in ["pause", "postgres"] {
        for time in 0..TIMES {
            tell(&format!("`{mode}`, {} of {TIMES}", time + 1));
            held.push(one(&mut subject, mode, time)?);
        }
    }
    subject.destroy()?;
    Ok(held)
}

fn one(subject: &mut Subject<'_>, mode: &'static str, time: u32) -> io::Result<Held> {
    let writer = subject.write()?;
    let done = thread::scope(|scope| {
        let subject = &*subject;
        let update = scope.spawn(move || {
            let line = format!("psql -qU postgres -c \"{UPDATE}{time}\"");
            subject.container().shell(&line)?.good("touch pages").map(drop)
        });
        let done = subject.back_up(&writer, &["--full", "--consistency", mode]);
        let updated = update.join().map_err(|_panic| io::Error::other("BUG: the update panicked"))?;
        updated.and(done)
    });
    subject.forget(writer);
    let (done, _before) = done?;
    let seconds = |field: &str| done[field].as_f64().unwrap_or_default();
    Ok(Held { mode, whole: seconds("seconds"), freeze: seconds("freeze_seconds") })
}

fn table(mib: u32, on: &str, held: &[Held], earlier: &str) -> String {
    let mut out = format!(
        "PostgreSQL with {mib} MiB of tables under load, full backups; each update goes over 3 % of the pages meanwhile.\n\n\
         | volumes on | mode | whole backup, s | writers held, s | share |\n| --- | --- | ---: | ---: | ---: |\n"
    );
    let mut rows: Vec<String> = held.iter().map(|held| held.row(on)).collect();
    let others = earlier.lines().filter(|line| line.starts_with("| ") && line.contains(" % |"));
    rows.extend(others.filter(|line| !line.starts_with(&format!("| {on} |"))).map(str::to_owned));
    // A stable sort: of each file system as measured.
    rows.sort_by(|a, b| a.split('|').nth(1).cmp(&b.split('|').nth(1)));
    rows.iter().for_each(|row| out.extend([row, "\n"]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_that_are_held_for_most_of_a_backup_are_a_fault() {
        let fault = |mode, freeze| Held { mode, whole: 10.0, freeze }.fault();
        assert_eq!((fault("pause", 1.5), fault("postgres", 0.0)), (None, None));
        assert_eq!(fault("pause", 6.0).as_deref(), Some("`pause` held writers for 6.00 s of 10.00 s"));
        assert!(fault("postgres", 0.1).is_some());
    }

    #[test]
    fn a_share_is_of_the_whole_and_rows_of_other_file_systems_stay() {
        let before = table(2048, ELSEWHERE, &[Held { mode: "pause", whole: 20.0, freeze: 1.5 }], "");
        assert!(before.ends_with("| the host's disk | `pause` | 20.00 | 1.50 | 8 % |\n"), "{before}");
        let other = table(2048, "xfs", &[Held { mode: "pause", whole: 10.0, freeze: 0.1 }], &before);
        assert!(other.ends_with("8 % |\n| xfs | `pause` | 10.00 | 0.10 | 1 % |\n"), "{other}");
        let again = table(2048, "xfs", &[Held { mode: "pause", whole: 5.0, freeze: 0.1 }], &other);
        assert!(again.ends_with("8 % |\n| xfs | `pause` | 5.00 | 0.10 | 2 % |\n"), "{again}");
    }
}
