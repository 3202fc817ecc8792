//! `make bench-scale`: measures how the programs bear many snapshots and many volumes, and prints a table.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Arc;
use std::time::Instant;

use engine::adapter::clock::SystemClock;
use engine::adapter::store::url::StoreUrl;
use engine::adapter::store::{Options, open_with};
use engine::port::clock::Clock as _;
use engine::port::store::Store;
use integration::bench::results::median;
use integration::docker::Docker;
use integration::programs::built;
use integration::scale::planted::{HOST, Size, plant};
use integration::scale::service::{PREFIX, Service, busy, idle, minute, volumes};
use integration::scale::{Figure, table, write_into};
use integration::scripted_s3::ScriptedS3;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Ten thousand snapshots: of many sources, and of one.
const SIZES: [Size; 2] = [Size { sources: 100, snapshots: 100 }, Size { sources: 1, snapshots: 10_000 }];
const VOLUMES: u64 = 200;
const TRIES: usize = 5;
const POLICY: &str = "bkd-scale";

fn main() -> ExitCode {
    let document = std::env::args().nth(1).map(PathBuf::from);
    let measured = measure().and_then(|(text, good)| {
        println!("{text}");
        document.map_or(Ok(()), |path| write_into(&path, &text)).map(|()| good)
    });
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("scale: a figure is beyond its bound");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("scale: {why}");
            ExitCode::from(2)
        }
    }
}

fn measure() -> io::Result<(String, bool)> {
    let docker = Docker::of_environment()?;
    let mut figures = Vec::new();
    for size in SIZES {
        figures.extend(snapshots(size)?);
    }
    figures.extend(service(&docker)?);
    let profile = if cfg!(debug_assertions) { "Debug build" } else { "Release build" };
    let conditions = format!(
        "{profile} on {} cores; the store is our own server, on this machine and in memory; medians of {TRIES} runs of whole programs.",
        std::thread::available_parallelism()?
    );
    let good = figures.iter().all(Figure::is_good);
    Ok((table(&conditions, &figures), good))
}

/// An installation and its server.
struct Place {
    home: TempDir,
    // Before the runtime, which it needs to end.
    server: ScriptedS3,
    runtime: Runtime,
}

impl Place {
    fn new() -> io::Result<Self> {
        let runtime = Runtime::new()?;
        let server = runtime.block_on(ScriptedS3::start());
        // Sockets lie beneath, whose paths must be short.
        let home = tempfile::Builder::new().prefix("bkd").tempdir_in("/tmp")?;
        std::fs::create_dir(home.path().join("policies"))?;
        Ok(Self { home, server, runtime })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn url(&self) -> StoreUrl {
        StoreUrl::S3(self.server.bucket("scale"))
    }

    fn policy(&self, schedule: &str) -> io::Result<()> {
        let text = format!(
            "schedule = \"{schedule}\"\nconsistency.mode = \"live\"\nlimits.concurrency = 64\n[keep]\ndaily = 60\nmonthly = 24\n"
        );
        write(&self.at("policies").join(format!("{POLICY}.toml")), &text)
    }

    fn program(&self, name: &str, args: &[&str]) -> io::Result<Command> {
        let keys = self.server.keys();
        let mut command = Command::new(built(name)?);
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("HOME", self.home.path()).env("BACKUPD_HOST", HOST);
        command.env("BACKUPD_STATE", self.at("state")).env("BACKUPD_STORE", self.url().to_string());
        command.env("BACKUPD_POLICIES", self.at("policies"));
        command.env("AWS_ACCESS_KEY_ID", keys.id).env("AWS_SECRET_ACCESS_KEY", keys.secret);
        command.envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)));
        Ok(command)
    }

    /// Runs `backupctl --json`, and gives what it says; `status` may end with its alarm.
    fn run(&self, args: &[&str]) -> io::Result<Output> {
        let output = self.program("backupctl", &[&["--json"], args].concat())?.output()?;
        if output.status.success() || output.status.code() == Some(1) && args == ["status"] {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("{args:?}: {}: {said}", output.status)))
    }

    /// Milliseconds.
    fn timed(&self, args: &[&str]) -> io::Result<f64> {
        let began = Instant::now();
        self.run(args)?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    fn median(&self, args: &[&str]) -> io::Result<f64> {
        let times = (0..TRIES).map(|_| self.timed(args)).collect::<io::Result<_>>()?;
        median(times).ok_or_else(|| io::Error::other("nothing was measured"))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    engine::durable::replace(path, text.as_bytes(), 0o644)
}

/// What verbs take with many snapshots in catalog and store.
fn snapshots(size: Size) -> io::Result<Vec<Figure>> {
    let place = Place::new()?;
    place.policy("0 3 * * *")?;
    // Makes the state folder and the key.
    place.run(&["catalog", "check"]).or_else(|_empty| place.run(&["runs"]))?;
    let clock = Arc::new(SystemClock::start());
    let options = Options { keys: Some(place.server.keys()), ..Options::default() };
    let now = clock.now();
    place.runtime.block_on(async {
        let store = open_with(&place.url(), clock, options).await.map_err(io::Error::other)?;
        let store: &dyn Store = &*store;
        plant(store, &place.at("state"), size, now).await
    })?;
    let Size { sources, snapshots } = size;
    eprintln!("scale: {sources} sources, {snapshots} snapshots of each");
    let figure = |what: &str, got, most, unit| Figure {
        what: format!("{what}, {sources} × {snapshots} snapshots"),
        got,
        most,
        unit,
    };
    let rebuild = place.timed(&["catalog", "rebuild"])? / 1e3;
    let one = format!("{PREFIX}000");
    let rule = ["retention", &one, "--keep", "daily=60,monthly=24"];
    Ok(vec![
        figure("`catalog rebuild`", rebuild, 60.0, "s"),
        figure("`status`", place.median(&["status"])?, 200.0, "ms"),
        figure("`snapshots`", place.median(&["snapshots"])?, 200.0, "ms"),
        figure("`snapshots` of one", place.median(&["snapshots", &one])?, 200.0, "ms"),
        figure("`retention` of one", place.median(&rule)?, 200.0, "ms"),
    ])
}

/// What the service holds with many volumes.
fn service(docker: &Docker) -> io::Result<Vec<Figure>> {
    let place = Place::new()?;
    let clock = SystemClock::start();
    let made = volumes(docker, VOLUMES, POLICY);
    let measured = made.and_then(|names| {
        eprintln!("scale: {VOLUMES} volumes at one minute");
        place.policy(&minute(clock.now()))?;
        let log = place.at("log");
        let service = Service::start(place.program("backupd", &["--every", "5"])?, &log)?;
        std::thread::sleep(std::time::Duration::from_secs(5));
        let owner = std::fs::read_to_string(place.at("state/owner"))?.trim().to_owned();
        let all = || -> io::Result<bool> {
            let keys = place.server.objects("scale");
            Ok(keys.iter().filter(|(key, _)| key.ends_with(".manifest")).count() == names.len())
        };
        let mut figures = busy(&service, &owner, docker, all)?;
        drop(service);
        eprintln!("scale: an idle service");
        let service = Service::start(place.program("backupd", &[])?, &log)?;
        figures.extend(idle(&service)?);
        Ok(figures)
    });
    for number in 0..VOLUMES {
        docker.remove_volume(&format!("{PREFIX}{number:03}"))?;
    }
    measured
}
