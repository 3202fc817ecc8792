//! All tools on all volumes, in turns.
//!
//! Each deed is done by every tool before the next deed begins, and every second run goes through the tools
//! backwards: what else the machine does, and what drifts, meets all alike. A volume changes once all have seen
//! it as it was.

use std::io;
use std::thread;
use std::time::Duration;

use super::contender::Contender;
use super::limits::{self, Limits};
use super::peers::Subject;
use super::results::{Figure, Results, float};
use super::server::{Server, ServerKind};
use super::settings::Settings;
use super::tools::Tool;
use super::volumes::{VOLUME_PREFIX, empty, remove_all};
use super::{container, table, targets};
use crate::docker::Docker;

/// Nobody trusts the times of files that are younger than this.
const SETTLED: Duration = Duration::from_secs(3);

/// Measures everything and gives the part of the document. `say` is told where it is.
pub fn compare(settings: &Settings, docker: &Docker, say: &dyn Fn(&str)) -> io::Result<String> {
    remove_all(docker)?;
    let report = report(settings, docker, say);
    remove_all(docker)?;
    report
}

fn report(settings: &Settings, docker: &Docker, say: &dyn Fn(&str)) -> io::Result<String> {
    let (tools, missing): (Vec<Tool>, Vec<Tool>) = settings.tools.iter().partition(|tool| !tool.is_missing());
    let mut report = conditions(settings, &tools, &missing)?;
    for workload in &settings.only {
        let volume = format!("{VOLUME_PREFIX}{}", workload.name());
        let place = docker.create_volume(&volume)?;
        let bench = Bench { settings, docker, say, subject: Subject { volume, place, workload: *workload } };
        report.push_str(&bench.measure(&tools)?);
        empty(&bench.subject.place)?;
    }
    if tools.contains(&Tool::Backupctl) {
        say("the helper's container");
        report.push_str(&container::cost(docker)?);
    }
    Ok(report)
}

/// The sentences that say what the figures were measured on, and with what.
fn conditions(settings: &Settings, tools: &[Tool], missing: &[Tool]) -> io::Result<String> {
    const BYTES: u64 = 256 << 20;
    let cores = thread::available_parallelism()?;
    let rates = |kind| -> io::Result<(f64, f64)> {
        let (put, get) = Server::start(kind)?.bare_seconds(BYTES, BYTES)?;
        Ok((float(BYTES) / 1e6 / put, float(BYTES) / 1e6 / get))
    };
    let (ours, seaweedfs) = (rates(ServerKind::Ours)?, rates(ServerKind::SeaweedFs)?);
    let mut versions = Vec::new();
    for tool in tools {
        versions.extend(tool.version()?);
    }
    let with = if versions.is_empty() { String::new() } else { format!(" With {}.", versions.join(", ")) };
    let without: String = missing.iter().map(|tool| format!(" There was no {}.", tool.name())).collect();
    Ok(format!(
        "Up to {} runs on {cores} cores, volumes at {} of full size.{with}{without} Our client alone puts and gets {:.0} and {:.0} MB/s \
         with our server, {:.0} and {:.0} MB/s with SeaweedFS.\n\n",
        settings.runs, settings.scale, ours.0, ours.1, seaweedfs.0, seaweedfs.1
    ))
}

/// One volume, and all that is done with it.
struct Bench<'a> {
    settings: &'a Settings,
    docker: &'a Docker,
    say: &'a dyn Fn(&str),
    subject: Subject,
}

impl Bench<'_> {
    fn measure(&self, tools: &[Tool]) -> io::Result<String> {
        let (workload, place) = (self.subject.workload, &self.subject.place);
        (self.say)(&format!("{}: filling", workload.name()));
        let bytes = workload.fill(place, self.settings.scale)?;
        settle();
        let (mut results, mut limits) = (Results::default(), Limits::default());
        for run in 1..=self.settings.runs {
            let mut tools: Vec<Tool> =
                tools.iter().copied().filter(|tool| run <= tool.runs(workload, self.settings.runs)).collect();
            if run % 2 == 0 {
                tools.reverse();
            }
            self.run(run, &tools, &mut results, &mut limits)?;
        }
        let ours = |figure| results.median(Tool::Backupctl, figure);
        let title = format!("### {}, {} MB", workload.name(), bytes / 1_000_000);
        let alone = limits.table(ours(Figure::BackUp), ours(Figure::Restore));
        let reached = match ours(Figure::BackUp) {
            Some(_) => targets::table(&targets::verdicts(workload, &results)),
            None => String::new(),
        };
        let parts = [title, table::of_volume(&results), alone, reached];
        let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
        Ok(format!("{}\n\n", parts.join("\n\n")))
    }

    /// Every deed once by every tool.
    fn run(&self, run: u32, tools: &[Tool], results: &mut Results, limits: &mut Limits) -> io::Result<()> {
        let servers: Vec<Server> =
            tools.iter().map(|_| Server::start(ServerKind::Ours)).collect::<io::Result<_>>()?;
        let mut all: Vec<Contender<'_>> = tools
            .iter()
            .zip(&servers)
            .map(|(tool, server)| Contender::new(*tool, self.docker, server, &self.subject))
            .collect::<io::Result<_>>()?;
        self.each(run, "back up", &mut all, |one| one.back_up(results))?;
        self.each(run, "restore", &mut all, |one| one.restore(results))?;
        self.each(run, "one file", &mut all, |one| one.restore_one(results))?;
        if run == 1 {
            self.each(run, "back up to SeaweedFS", &mut all, |one| {
                one.back_up_to_seaweedfs(self.docker, &self.subject, results)
            })?;
        }
        if let Some(ours) = all.iter().find(|one| one.is_ours()).filter(|_| run <= limits::RUNS_MAX) {
            self.say(run, "each part alone");
            limits.measure(self.docker, &self.subject.place, ours.sent, ours.fetched)?;
        }
        self.subject.workload.live(&self.subject.place, run.into())?;
        settle();
        self.each(run, "back up what changed", &mut all, |one| {
            one.back_up_again(results, Figure::Changed, Figure::ChangedSent)
        })?;
        self.each(run, "nothing changed", &mut all, |one| {
            one.back_up_again(results, Figure::Unchanged, Figure::UnchangedSent)
        })?;
        all.iter().for_each(|one| one.note_peak(results));
        Ok(())
    }

    /// One deed by each of them. What the one before left to be written is on the disk before the next begins.
    fn each(
        &self,
        run: u32,
        deed: &str,
        all: &mut [Contender<'_>],
        mut act: impl FnMut(&mut Contender<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        all.iter_mut().try_for_each(|one| {
            self.say(run, &format!("{deed}: {}", one.name()));
            rustix::fs::sync();
            act(one)
        })
    }

    fn say(&self, run: u32, what: &str) {
        let (name, runs) = (self.subject.workload.name(), self.settings.runs);
        (self.say)(&format!("{name}, run {run} of {runs}: {what}"));
    }
}

fn settle() {
    rustix::fs::sync();
    thread::sleep(SETTLED);
}
