//! The service with many volumes: what it holds while all of them are due at one minute, and when none is.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Figure;
use crate::docker::Docker;

/// Every volume begins with it.
pub const PREFIX: &str = "bkd-scale-";

/// Backups at once.
pub const AT_ONCE: usize = 4;

/// All volumes take no longer, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A running `backupd`, ended with this.
#[derive(Debug)]
pub struct Service(Child);

impl Service {
    /// Starts it with its log in a file.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        command.args(["--at-once", &AT_ONCE.to_string()]);
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?))
    }

    /// Bytes that it holds: a line of its own accounts in `/proc`.
    fn memory(&self, file: &str, line: &str) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0.id()))?;
        let found =
            text.lines().find_map(|one| one.strip_prefix(line)?.split_whitespace().next()?.parse().ok());
        found.map(|kib: u64| kib * 1024).ok_or_else(|| io::Error::other(format!("no `{line}` in `{file}`")))
    }

    /// How often its threads have begun to wait by themselves.
    fn waits(&self) -> io::Result<u64> {
        let mut all = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread that has just ended had nothing to wait for.
            let text = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            all += line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(all)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Makes the volumes, each with a little in it and a label that asks for `policy`.
pub fn volumes(docker: &Docker, count: u64, policy: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for number in 0..count {
        let name = format!("{PREFIX}{number:03}");
        let body = json!({"Name": name, "Labels": {"backupd.policy": policy}});
        let made = docker.ask("POST", "/volumes/create", Some(&body))?;
        let place = Path::new(made["Mountpoint"].as_str().unwrap_or_default()).join("file");
        engine::durable::replace(&place, name.repeat(5000).as_bytes(), 0o644)?;
        names.push(name);
    }
    Ok(names)
}

/// When all of them are due at once: the minute after the next, so that the service has seen them before.
pub fn minute(now: Timestamp) -> String {
    let at = now + SignedDuration::from_secs(75);
    at.strftime("%M %H * * *").to_string()
}

/// Waits until every volume has its snapshot; how many ran at once, and what the service held.
pub fn busy(
    service: &Service,
    owner: &str,
    docker: &Docker,
    done: impl Fn() -> io::Result<bool>,
) -> io::Result<Vec<Figure>> {
    let (began, mut most, mut peak, mut first) = (Instant::now(), 0, 0, None);
    let mut looks = 0_u32;
    loop {
        let running = docker.processes_with_label(&format!("backupd.owner={owner}"))?.len();
        most = most.max(running);
        if running > 0 {
            first.get_or_insert_with(Instant::now);
        }
        peak = peak.max(service.memory("smaps_rollup", "Pss:")?);
        looks += 1;
        if looks.is_multiple_of(20) && done()? {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other("not every volume was backed up in time"));
        }
        sleep(Duration::from_millis(100));
    }
    let held = service.memory("status", "VmHWM:")?;
    let seconds = first.map_or(0.0, |first| first.elapsed().as_secs_f64());
    Ok(vec![
        figure("helpers at once", count(most), count(AT_ONCE), ""),
        figure("memory of the service meanwhile, the most it held (PSS)", mib(peak), 150.0, "MiB"),
        figure("the same with libraries that others share (RSS)", mib(held), 150.0, "MiB"),
        figure("until the last one was done", seconds, PATIENCE.as_secs_f64(), "s"),
    ])
}

/// What it holds and how often it wakes up in a minute with nothing due.
pub fn idle(service: &Service) -> io::Result<Vec<Figure>> {
    sleep(Duration::from_secs(20));
    let before = service.waits()?;
    sleep(Duration::from_secs(60));
    let waits = service.waits()? - before;
    Ok(vec![
        figure("memory of the idle service (RSS)", mib(service.memory("status", "VmRSS:")?), 40.0, "MiB"),
        figure(
            "times that its threads went to sleep in a minute, which holds one look at Docker",
            waits,
            300.0,
            "",
        ),
    ])
}

fn figure(what: &str, got: impl Into<Number>, most: f64, unit: &'static str) -> Figure {
    Figure { what: what.to_owned(), got: got.into().0, most, unit }
}

/// A figure, whatever it was counted in.
struct Number(f64);

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl From<u64> for Number {
    #[expect(clippy::cast_precision_loss, reason = "figures are shown without fractions")]
    fn from(value: u64) -> Self {
        Self(value as f64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown without fractions")]
fn count(value: usize) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown without fractions")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
