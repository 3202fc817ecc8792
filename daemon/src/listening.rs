//! Listens to the container engine, so that a source which appears or vanishes is seen at once and not only at the
//! next look.
//!
//! Always true: what is heard only asks for a look, and decides nothing; many changes ask for one; a look is asked for
//! after every subscription, so nothing that happened in between is lost; an engine that is away, or that tells
//! nothing, is asked again after a pause that grows up to a minute. Looks at intervals go on whatever happens here.

use std::sync::Arc;
use std::time::Duration;

use engine::failure::Failure;
use engine::port::changes::Changes;
use engine::port::docker::DockerError;
use engine::usecase::host::Host;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::watching::line;

/// How long it waits for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paces {
    /// A look is asked for when nothing more happened for so long,
    quiet: Duration,
    /// and at the latest after this.
    most: Duration,
    /// The first pause after an end, and the longest.
    pauses: (Duration, Duration),
    /// A subscription that was mute for so long may be dead without knowing it.
    mute: Duration,
}

impl Default for Paces {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { quiet: seconds(1), most: seconds(5), pauses: (seconds(1), seconds(60)), mute: seconds(3600) }
    }
}

/// Why a subscription ended.
enum End {
    /// It was mute for long.
    Mute,
    /// The engine ended it, or never began.
    Broken(String),
}

impl From<DockerError> for End {
    fn from(error: DockerError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure.to_string())
    }
}

/// Asks for looks through `wanted` for as long as it is polled.
pub(crate) async fn listen(host: Arc<Host>, wanted: Arc<Notify>, paces: Paces) {
    let mut pause = paces.pauses.0;
    let mut deaf = false;
    loop {
        let began = Instant::now();
        let mut heard = || {
            if std::mem::take(&mut deaf) {
                info!("Docker tells again what happens");
            }
            wanted.notify_one();
        };
        let ended = hear(&host, &mut heard, paces).await;
        match ended {
            Ok(never) => match never {},
            Err(End::Mute) => {}
            Err(End::Broken(why)) if !deaf => {
                deaf = true;
                warn!(
                    "Docker does not tell what happens, so it is only looked at at intervals: {}",
                    line(&why)
                );
            }
            Err(End::Broken(_)) => {}
        }
        // One that lasted was no bad one.
        if began.elapsed() >= paces.pauses.1 {
            pause = paces.pauses.0;
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(paces.pauses.1);
    }
}

async fn hear(
    host: &Host,
    heard: &mut (dyn FnMut() + Send),
    paces: Paces,
) -> Result<std::convert::Infallible, End> {
    let mut changes = host.docker().await?.changes().await?;
    heard();
    loop {
        let Ok(change) = timeout(paces.mute, changes.next()).await else { return Err(End::Mute) };
        if change?.moves_sources() {
            let settled = settle(&mut *changes, paces).await;
            heard();
            settled?;
        }
    }
}

/// Returns when it is quiet, or has not been for long.
async fn settle(changes: &mut dyn Changes, paces: Paces) -> Result<(), DockerError> {
    let until = Instant::now() + paces.most;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left.min(paces.quiet), changes.next()).await {
            Ok(change) if left > Duration::ZERO => drop(change?),
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
