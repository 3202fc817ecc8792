//! `make bench`: measures backupctl beside tar and restic, and prints the table of docs/performance.md.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io;
use std::process::ExitCode;

use integration::bench::measure::Cost;
use integration::bench::peers::{Attempt, Subject, Tool, VOLUME_PREFIX, reported};
use integration::bench::server::{Server, ServerKind};
use integration::bench::settings::Settings;
use integration::bench::table::{Outcome, Row, of_volume, write_into};
use integration::bench::workloads::Workload;
use integration::docker::Docker;

fn main() -> ExitCode {
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match bench(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn bench(settings: &Settings) -> io::Result<()> {
    let docker = Docker::of_environment()?;
    let mut report = format!("{}\n\n", conditions(settings)?);
    for workload in &settings.only {
        report.push_str(&volume(settings, &docker, *workload)?);
    }
    println!("{report}");
    match &settings.write {
        Some(path) => write_into(path, &report),
        None => Ok(()),
    }
}

/// The sentence that says what the figures were measured on.
fn conditions(settings: &Settings) -> io::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let rates = |kind| -> io::Result<(f64, f64)> { Server::start(kind)?.bare_rates(64 << 20) };
    let (ours, seaweedfs) = (rates(ServerKind::Ours)?, rates(ServerKind::SeaweedFs)?);
    let mb = |rate: f64| rate / 1e6;
    Ok(format!(
        "Medians of {} runs on {cores} cores, volumes at {} of full size. Our client alone puts and gets, on one connection, {:.0} and \
         {:.0} MB/s with our server, {:.0} and {:.0} MB/s with SeaweedFS.",
        settings.runs,
        settings.scale,
        mb(ours.0),
        mb(ours.1),
        mb(seaweedfs.0),
        mb(seaweedfs.1)
    ))
}

/// Fills a volume, lets every tool have it in turn, and removes it.
fn volume(settings: &Settings, docker: &Docker, workload: Workload) -> io::Result<String> {
    let volume = format!("{VOLUME_PREFIX}{}", workload.name());
    docker.remove_volume(&volume)?;
    let place = docker.create_volume(&volume)?;
    let subject = Subject { volume, place, workload };
    let measured = measure(settings, docker, &subject);
    docker.remove_volume(&subject.volume)?;
    measured
}

fn measure(settings: &Settings, docker: &Docker, subject: &Subject) -> io::Result<String> {
    eprintln!("{}: filling", subject.workload.name());
    let bytes = subject.workload.fill(&subject.place, settings.scale)?;
    rustix::fs::sync();
    let mut rows: Vec<Row> =
        settings.tools.iter().map(|tool| Row { tool: *tool, outcomes: Vec::new() }).collect();
    for run in 1..=settings.runs {
        eprintln!("{}: run {run} of {}", subject.workload.name(), settings.runs);
        let tools: Vec<Tool> =
            settings.tools.iter().copied().filter(|t| run == 1 || t.runs_again()).collect();
        let outcomes = all_once(&tools, docker, subject, run)?;
        for (tool, outcome) in tools.iter().zip(outcomes) {
            rows.iter_mut().filter(|row| row.tool == *tool).for_each(|row| row.outcomes.push(outcome));
        }
    }
    Ok(of_volume(&format!("{}, {} MB", subject.workload.name(), bytes / 1_000_000), &rows))
}

/// Every tool once. They take turns, so that whatever else the machine does meets all of them; and what changes
/// in the volume changes once all have seen it as it was.
fn all_once(tools: &[Tool], docker: &Docker, subject: &Subject, run: u32) -> io::Result<Vec<Outcome>> {
    let servers: Vec<Server> =
        tools.iter().map(|_| Server::start(ServerKind::Ours)).collect::<io::Result<_>>()?;
    let attempts: Vec<Attempt<'_>> = tools
        .iter()
        .zip(&servers)
        .map(|(tool, server)| Attempt::new(*tool, docker, server, subject))
        .collect::<io::Result<_>>()?;
    let mut outcomes = Vec::new();
    for ((tool, attempt), server) in tools.iter().zip(&attempts).zip(&servers) {
        eprintln!("{}: {}", subject.workload.name(), tool.name());
        outcomes.push(once(*tool, docker, subject, attempt, server)?);
    }
    subject.workload.live(&subject.place, run.into())?;
    rustix::fs::sync();
    // Nobody trusts the times of files that are younger than this.
    std::thread::sleep(std::time::Duration::from_secs(3));
    for changed in [true, false] {
        for (((tool, attempt), server), outcome) in
            tools.iter().zip(&attempts).zip(&servers).zip(&mut outcomes)
        {
            if tool.is_incremental() {
                again(*tool, attempt, server, outcome, changed)?;
            }
        }
    }
    Ok(outcomes)
}

/// Everything that is measured of one tool on a volume that it sees for the first time.
fn once(
    tool: Tool,
    docker: &Docker,
    subject: &Subject,
    attempt: &Attempt<'_>,
    server: &Server,
) -> io::Result<Outcome> {
    let (in_before, _) = server.counters();
    let back_up = attempt.back_up()?;
    let sent = server.counters().0 - in_before;
    let restore = attempt.restore()?;
    let (_, out_before) = server.counters();
    let one = attempt.restore_one()?;
    let one_fetched = server.counters().1 - out_before;
    agrees(tool, &back_up, sent)?;

    let real = Server::start(ServerKind::SeaweedFs)?;
    let seaweedfs = Attempt::new(tool, docker, &real, subject)?.back_up()?;
    let peak = [&back_up, &restore, &one].map(|cost| cost.peak_bytes).into_iter().max().unwrap_or_default();
    Ok(Outcome {
        back_up: back_up.wall.as_secs_f64(),
        restore: restore.wall.as_secs_f64(),
        one: one.wall.as_secs_f64(),
        seaweedfs: seaweedfs.wall.as_secs_f64(),
        sent: float(sent),
        one_fetched: float(one_fetched),
        peak: float(peak),
        ..Outcome::default()
    })
}

/// A further backup of what the tool knows.
fn again(
    tool: Tool,
    attempt: &Attempt<'_>,
    server: &Server,
    outcome: &mut Outcome,
    changed: bool,
) -> io::Result<()> {
    let (in_before, _) = server.counters();
    let cost = attempt.back_up()?;
    let sent = server.counters().0 - in_before;
    agrees(tool, &cost, sent)?;
    outcome.peak = outcome.peak.max(float(cost.peak_bytes));
    let (wall, of_sent) = match changed {
        true => (&mut outcome.changed, &mut outcome.changed_sent),
        false => (&mut outcome.unchanged, &mut outcome.unchanged_sent),
    };
    (*wall, *of_sent) = (cost.wall.as_secs_f64(), float(sent));
    Ok(())
}

/// Our program says how much it sent; the server must have seen that much and little more.
fn agrees(tool: Tool, back_up: &Cost, seen: u64) -> io::Result<()> {
    let Some(said) = reported(back_up, "sent_bytes").filter(|_| tool == Tool::Backupctl) else {
        return Ok(());
    };
    if (said..=said + said / 10 + (1 << 20)).contains(&seen) {
        return Ok(());
    }
    Err(io::Error::other(format!("backupctl says that it sent {said} bytes, the server received {seen}")))
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
