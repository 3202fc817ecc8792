//! `backupd`: the service that keeps the schedules of this host's policies, and the promise of every backup
//! and restore, also of those that died: whatever they stopped runs again, and what they left half done is
//! finished or undone.
//!
//! It opens the settings, recovers, tells systemd that it is ready, starts what is due, and looks again at
//! intervals, and whenever Docker says that something came or went, until it is asked to stop. SIGHUP reads the
//! policies again.

mod keeping;
mod listening;
mod notify;
mod page;
mod recovery;
mod rounds;
mod settings;
mod telling;
mod watching;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use engine::adapter::clock::SystemClock;
use engine::failure::Failure;
use engine::port::clock::Clock;
use engine::usecase::history::history;
use engine::usecase::host::Host;
use engine::usecase::presence::be_the_daemon;
use engine::usecase::recover::recover;
use engine::usecase::watch::Cancel;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use keeping::{Keeping, Sight};
use listening::Paces;
use notify::Supervisor;
use page::Page;
use recovery::Recovery;
use telling::Teller;
use watching::{Logged, tell_failure};

/// How soon it looks again after a look that failed.
const SOON: Duration = Duration::from_secs(10);

/// Back this host up by the schedules of its policies, and recover what runs that died left
///
/// Starts a backup of each source that a policy covers when its slot comes; slots that were missed are caught up
/// once. Finishes or undoes what a crash cut off: containers that were stopped run again, half-swapped volumes
/// become whole, leftovers go. SIGHUP reads the policies again, all or none; SIGTERM ends runs cleanly.
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

    /// Backups at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,

    /// The folder of policies [default: /etc/backupd/policies, or none]
    #[arg(long, value_name = "DIR", env = "BACKUPD_POLICIES", hide_env_values = true)]
    policies: Option<PathBuf>,

    /// Show a status page at this loopback address, as `127.0.0.1:9620`; `/metrics` and `/healthz` beside it
    #[arg(long, value_name = "ADDRESS", env = "BACKUPD_LISTEN", hide_env_values = true, value_parser = loopback)]
    listen: Option<SocketAddr>,

    /// The settings file [default: /etc/backupd/backupd.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "BACKUPD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Where snapshots live, unless their policy says otherwise: `file:///dir` or `s3://bucket/prefix?region=R`
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

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
    address.ok_or_else(|| "must be a loopback address and a port: `127.0.0.1:9620`".to_owned())
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
    let settled = settings::settle(args)?;
    let host = Arc::new(Host::open(settled.host, Arc::clone(&clock)).await?);
    if let Some(notice) = host.notice() {
        warn!("{}", watching::line(notice));
    }
    let cancel = Arc::new(Cancel::default());
    let signals = |e| Failure::failed("listen for signals").because(e);
    stop_on_signals(&cancel).map_err(signals)?;
    if args.once {
        return look(&host, &Logged::new(Arc::clone(&cancel))).await;
    }
    let _presence = be_the_daemon(&host)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(signals)?;
    let at_once = usize::from(args.at_once);
    let mut keeping = Keeping::begin(Arc::clone(&host), settled.places, at_once, Arc::clone(&cancel));
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    keeping.tell_by(Teller::new(settled.notify, credentials));
    let wanted = Arc::new(Notify::new());
    tokio::spawn(listening::listen(Arc::clone(&host), Arc::clone(&wanted), Paces::default()));
    let page = page_of(&host, &clock);
    if let Some(at) = settled.listen {
        let refused = |e| Failure::failed(format!("listen at {at}")).because(e);
        page::serve(at, Arc::clone(&page)).await.map_err(refused)?;
    }
    let every = Duration::from_secs(args.every);
    let (mut told, mut looked, mut failed) = (None, None, None);
    let mut recovery = Recovery::default();
    let mut heard = false;
    loop {
        if looked.is_none_or(|at| clock.elapsed().saturating_sub(at) >= pace(every, failed.as_ref())) {
            looked = Some(clock.elapsed());
            failed = recovery.look(&host, &*clock, &cancel).await.err().or(keeping.look().await.err());
            if cancel.is_asked() {
                break;
            }
            tell_change(failed.as_ref(), &mut told, supervisor);
        } else if heard && let Err(failure) = keeping.look().await {
            // Only a look at everything says that all is well again.
            failed = Some(failure);
            tell_change(failed.as_ref(), &mut told, supervisor);
        }
        heard = false;
        keeping.note_trouble(failed.as_ref(), recovery.left());
        let until = turn(&mut keeping, failed.as_ref(), &page, supervisor);
        let nap = keeping::nap(until, clock.now()).min(pace(every, failed.as_ref()));
        tokio::select! {
            () = cancel.asked() => break,
            _ = hangup.recv() => {
                keeping.reload();
                looked = None;
            }
            () = wanted.notified() => heard = true,
            () = keeping.one_ended() => {
                if holds_somebody(&host) {
                    looked = None;
                }
            }
            () = clock.sleep(nap) => {}
        }
    }
    info!("stopping, as asked");
    supervisor.tell("STOPPING=1");
    keeping.stop().await;
    recovery.stop(&*clock).await;
    Ok(())
}

fn page_of(host: &Arc<Host>, clock: &Arc<dyn Clock>) -> Arc<Page> {
    let past = Arc::clone(host);
    let past = Arc::new(move || history(&past));
    Arc::new(Page::new(host.settings().host.as_str(), Arc::clone(clock), past))
}

/// How often to look. What could not be put right is tried again soon: somebody may be held, until Docker is back.
fn pace(every: Duration, failed: Option<&Failure>) -> Duration {
    if failed.is_some() { every.min(SOON) } else { every }
}

/// Whether somebody is noted as held: by a run that goes on, or by one that could not let go.
fn holds_somebody(host: &Host) -> bool {
    // A catalog that cannot be asked is looked at like all else, at the next look.
    host.catalog().freezes().is_ok_and(|freezes| !freezes.is_empty())
}

/// Starts what is due, and tells how things stand.
fn turn(
    keeping: &mut Keeping,
    failed: Option<&Failure>,
    page: &Page,
    supervisor: &Supervisor,
) -> Option<jiff::Timestamp> {
    let turned = keeping.turn().and_then(|until| Ok((until, keeping.sight()?)));
    let (until, sight) = match turned {
        Ok(turned) => turned,
        Err(failure) => {
            // A catalog that is busy now is asked again after a nap.
            tell_failure(&failure);
            page.set(Sight::default(), keeping.counts(), Some(&watching::line(&failure.to_string())));
            return None;
        }
    };
    let trouble = failed.map(ToString::to_string).or_else(|| keeping.trouble());
    page.set(sight, keeping.counts(), trouble.as_deref().map(watching::line).as_deref());
    let status = if failed.is_some() { String::new() } else { format!("\nSTATUS={}", keeping.status()) };
    supervisor.tell(&format!("WATCHDOG=1{status}"));
    until
}

/// One look at what dead runs left. What cannot be put right is trouble for as long as it cannot: a container may still
/// be held, or down.
async fn look(host: &Host, watch: &Logged) -> Result<(), Failure> {
    let recovered = recover(host, watch).await?;
    for said in recovered.said {
        warn!("recovered: {}", watching::line(&said));
    }
    if recovered.left.is_empty() {
        return Ok(());
    }
    Err(Failure::failed("put right what dead runs left")
        .because(recovered.left.join("; "))
        .hint("each look tries again; `backupctl doctor` looks for the cause"))
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
            supervisor.tell(&format!("READY=1\nSTATUS=trouble: {}", watching::line(&words)));
        }
        None => {
            info!("nothing is left of dead runs");
            supervisor.tell("READY=1\nSTATUS=nothing is left of dead runs");
        }
    }
    *known = Some(words);
}

/// The first SIGTERM or SIGINT asks to stop, so that a look that is under way ends cleanly; a second one
/// ends as soon as nobody is held, which the next start puts right like any crash.
fn stop_on_signals(cancel: &Arc<Cancel>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancel = Arc::clone(cancel);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if cancel.is_asked() {
                cancel.all_let_go().await;
                std::process::exit(i32::from(engine::failure::Class::Interrupted.exit_code()));
            }
            cancel.ask();
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
            (Some(&away), Some("READY=1\nSTATUS=trouble: ask docker\\nREADY=0")),
            (Some(&away), None),
            (None, Some("READY=1\nSTATUS=nothing is left of dead runs")),
            (None, None),
        ] {
            tell_change(failed, &mut known, &supervisor);
            assert_eq!(heard().as_deref(), want);
        }
    }
}
