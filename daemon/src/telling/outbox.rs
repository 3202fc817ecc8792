//! What waits to be told, and the tasks that tell it.
//!
//! Always true: handing something over never waits and never fails; each place that is told has its own task and a
//! short queue, so one that hangs delays no other and no run; an attempt has ten seconds, and there are four. What is
//! given up is counted, and logged once until that place hears again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::{info, warn};

use super::{command, web};
use crate::watching::line;

/// More than these wait for no place.
const QUEUE: usize = 32;

/// Where somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// POSTed to.
    Webhook(String),
    /// Asked for, without a body.
    Heartbeat(String),
    /// A program and its arguments.
    Command(Vec<String>),
}

impl Place {
    /// For the log.
    fn shown(&self) -> String {
        match self {
            Self::Webhook(address) => format!("webhook `{}`", web::shown(address)),
            Self::Heartbeat(address) => format!("heartbeat `{}`", web::shown(address)),
            // Arguments may be secrets as well.
            Self::Command(words) => format!("command `{}`", words.first().map_or("", String::as_str)),
        }
    }
}

/// How long it is tried.
#[derive(Debug, Clone)]
pub(crate) struct Tries {
    /// For one attempt.
    pub(crate) patience: Duration,
    /// Between attempts.
    pub(crate) pauses: Vec<Duration>,
}

impl Default for Tries {
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), pauses: [1, 5, 30].map(Duration::from_secs).to_vec() }
    }
}

/// What became of it, since this process began.
#[derive(Debug, Default)]
struct Counts {
    told: AtomicU64,
    given_up: AtomicU64,
    waiting: AtomicU64,
}

/// All that waits.
#[derive(Default)]
pub(crate) struct Outbox {
    lanes: BTreeMap<Place, Sender<Bytes>>,
    counts: Arc<Counts>,
    tries: Tries,
    credentials: Option<PathBuf>,
}

impl Outbox {
    /// With the folder of systemd's credentials, if there is one.
    pub(crate) fn new(tries: Tries, credentials: Option<PathBuf>) -> Self {
        Self { lanes: BTreeMap::new(), counts: Arc::default(), tries, credentials }
    }

    /// Hands something over, for a moment in which a runtime runs.
    pub(crate) fn send(&mut self, place: &Place, body: Bytes) {
        let lane = self.lanes.entry(place.clone()).or_insert_with(|| {
            let (to, from) = channel(QUEUE);
            let lane = Lane {
                place: place.clone(),
                counts: Arc::clone(&self.counts),
                tries: self.tries.clone(),
                credentials: self.credentials.clone(),
                deaf: false,
            };
            tokio::spawn(lane.serve(from));
            to
        });
        self.counts.waiting.fetch_add(1, Ordering::SeqCst);
        if lane.try_send(body).is_err() {
            // Its lane has told of the first that it could not deliver.
            self.counts.given_up.fetch_add(1, Ordering::SeqCst);
            self.counts.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Ends the tasks of places that nobody may name any more, each after what waits for it.
    pub(crate) fn forget(&mut self) {
        self.lanes.clear();
    }

    /// Nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.counts.waiting.load(Ordering::SeqCst) == 0
    }

    /// How much was told, and how much was given up.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.counts.told.load(Ordering::SeqCst), self.counts.given_up.load(Ordering::SeqCst))
    }
}

/// The task of one place.
struct Lane {
    place: Place,
    counts: Arc<Counts>,
    tries: Tries,
    credentials: Option<PathBuf>,
    /// What was told last was given up, and that was logged.
    deaf: bool,
}

impl Lane {
    async fn serve(mut self, mut from: Receiver<Bytes>) {
        while let Some(body) = from.recv().await {
            let told = self.deliver(&body).await;
            let count = if told.is_ok() { &self.counts.told } else { &self.counts.given_up };
            count.fetch_add(1, Ordering::SeqCst);
            self.counts.waiting.fetch_sub(1, Ordering::SeqCst);
            let place = line(&self.place.shown());
            match told {
                Ok(()) if self.deaf => info!("{place} hears again"),
                Err(ref why) if !self.deaf => {
                    warn!("{place} cannot be told: {}; this is logged once", line(why));
                }
                Ok(()) | Err(_) => {}
            }
            self.deaf = told.is_err();
        }
    }

    async fn deliver(&self, body: &Bytes) -> Result<(), String> {
        let mut pauses = self.tries.pauses.iter();
        loop {
            let tried = tokio::time::timeout(self.tries.patience, self.attempt(body)).await;
            let late = || Err(format!("no answer within {} s", self.tries.patience.as_secs()));
            match (tried.unwrap_or_else(|_passed| late()), pauses.next()) {
                (Err(_), Some(pause)) => tokio::time::sleep(*pause).await,
                (ended, _) => return ended,
            }
        }
    }

    async fn attempt(&self, body: &Bytes) -> Result<(), String> {
        let credentials = self.credentials.as_deref();
        match &self.place {
            Place::Webhook(address) => {
                web::request(&web::resolve(address, credentials).await?, Some(body.clone())).await
            }
            Place::Heartbeat(address) => web::request(&web::resolve(address, credentials).await?, None).await,
            Place::Command(words) => command::run(words, body).await,
        }
    }
}

#[cfg(test)]
mod tests;
