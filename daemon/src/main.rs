//! `backupd`: the service that keeps a promise of every backup and restore on this host, also of those that
//! died: whatever they stopped or paused runs again, and what they left half done is finished or undone.
//!
//! It opens the settings, recovers, tells systemd that it is ready, and looks again at intervals until it
//! is asked to stop. It starts no backups by itself: `backupctl backup` does, by hand or from a timer.

mod notify;
mod settings;
mod watching;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use engine::adapter::clock::SystemClock;
use engine::failure::Failure;
use engine::port::clock::Clock;
use engine::usecase::host::Host;
use engine::usecase::recover::recover;
use engine::usecase::watch::Watch as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use notify::Supervisor;
use watching::Logged;

/// Recover what backups and restores that died left on this host
///
/// Finishes or undoes what a crash cut off: containers that were stopped run again, half-swapped volumes
/// become whole, leftovers go. Then looks again at intervals until SIGTERM. It starts no backups by itself.
///
/// Settings come from flags, then the environment, then the settings file, then defaults.
#[derive(Debug, Parser)]
#[command(name = "backupd", version, max_term_width = 100)]
struct Args {
    /// Recover once and end: before Docker starts containers, or by hand
    #[arg(long)]
    once: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,

    /// The settings file [default: /etc/backupd/backupd.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "BACKUPD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Where snapshots live: `file:///dir` or `s3://bucket/prefix?region=…`
    #[arg(long, value_name = "URL", env = "BACKUPD_STORE", hide_env_values = true)]
    store: Option<String>,

    /// This host's name in the store
    #[arg(long, value_name = "NAME", env = "BACKUPD_HOST", hide_env_values = true)]
    host: Option<String>,

    /// The folder of the catalog and the signing key
    #[arg(long, value_name = "DIR", env = "BACKUPD_STATE", hide_env_values = true)]
    state: Option<PathBuf>,

    /// The Docker engine
    #[arg(long, value_name = "URL", env = "DOCKER_HOST", hide_env_values = true)]
    docker: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // journald writes the time of every line itself.
    log_to_stderr(std::env::var_os("JOURNAL_STREAM").is_none());
    let supervisor = Supervisor::at(std::env::var_os("NOTIFY_SOCKET"));
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::failed("start").because(e))
        .and_then(|runtime| runtime.block_on(serve(&args, &supervisor)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell_failure(&failure);
            ExitCode::from(failure.class.exit_code())
        }
    }
}

async fn serve(args: &Args, supervisor: &Supervisor) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let host = Host::open(settings::settle(args)?, Arc::clone(&clock)).await?;
    let watch = Arc::new(Logged::default());
    stop_on_signals(&watch).map_err(|e| Failure::failed("listen for signals").because(e))?;
    if args.once {
        return look(&host, &watch).await;
    }
    let mut known = None;
    loop {
        let looked = look(&host, &watch).await;
        if watch.cancel().is_asked() {
            break;
        }
        let failed = looked.err();
        tell_change(failed.as_ref(), &mut known, supervisor);
        tokio::select! {
            () = watch.cancel().asked() => break,
            () = clock.sleep(Duration::from_secs(args.every)) => {}
        }
    }
    info!("stopping, as asked");
    supervisor.tell("STOPPING=1");
    Ok(())
}

/// One look at what dead runs left.
async fn look(host: &Host, watch: &Logged) -> Result<(), Failure> {
    for said in recover(host, watch).await?.said {
        warn!("recovered: {}", watching::line(&said));
    }
    Ok(())
}

/// Logs a failure once while it stays the same, and its end. Not to be able to look is no reason to end:
/// Docker may only be on its way up. Being ready means that looking began, so it is told after the first.
fn tell_change(failed: Option<&Failure>, known: &mut Option<String>, supervisor: &Supervisor) {
    let words = failed.map_or_else(String::new, ToString::to_string);
    if known.as_deref() == Some(words.as_str()) {
        return;
    }
    match failed {
        Some(failure) => {
            tell_failure(failure);
            supervisor.tell(&format!("READY=1\nSTATUS=cannot look: {}", watching::line(&words)));
        }
        None => {
            info!("nothing is left of dead runs");
            supervisor.tell("READY=1\nSTATUS=nothing is left of dead runs");
        }
    }
    *known = Some(words);
}

fn tell_failure(failure: &Failure) {
    let message = watching::line(&failure.to_string());
    match &failure.hint {
        Some(hint) => error!(class = failure.class.word(), "{message}; {}", watching::line(hint)),
        None => error!(class = failure.class.word(), "{message}"),
    }
}

/// The first SIGTERM or SIGINT asks to stop, so that a look that is under way ends cleanly; a second one
/// ends at once, which the next start puts right like any crash.
fn stop_on_signals(watch: &Arc<Logged>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let watch = Arc::clone(watch);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if watch.cancel().is_asked() {
                std::process::exit(i32::from(engine::failure::Class::Interrupted.exit_code()));
            }
            watch.cancel().ask();
        }
    });
    Ok(())
}

fn log_to_stderr(with_time: bool) {
    let filter = tracing_subscriber::EnvFilter::new("warn,engine=info,backupd=info");
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    if with_time { log.init() } else { log.without_time().init() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_supervisor_hears_each_change_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let heard = || {
            let mut bytes = [0; 200];
            let length = socket.recv(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
        };
        let supervisor = Supervisor::at(Some(path.into()));
        let away = Failure::failed("ask docker\nREADY=0");
        let mut known = None;
        for (failed, want) in [
            (Some(&away), Some("READY=1\nSTATUS=cannot look: ask docker\\nREADY=0")),
            (Some(&away), None),
            (None, Some("READY=1\nSTATUS=nothing is left of dead runs")),
            (None, None),
        ] {
            tell_change(failed, &mut known, &supervisor);
            assert_eq!(heard().as_deref(), want);
        }
    }
}
