//! What waits to be told, and the tasks that tell it.
//!
//! Always true: handing something over never waits; each place that is told has its own task and a bounded queue, so
//! one that hangs delays no other and no run; an attempt has ten seconds, and there are four. Whoever handed it over
//! learns whether it was told or given up. What is given up is counted, and logged once until that place hears again;
//! until then it is tried once each, with growing pauses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{command, web};
use crate::watching::line;

/// More than these wait for no place.
const QUEUE: usize = 256;

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
    /// Between two that were given up: at first, and at most.
    pub(crate) rests: [Duration; 2],
}

impl Default for Tries {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            patience: seconds(10),
            pauses: [1, 5, 30].map(seconds).to_vec(),
            rests: [60, 300].map(seconds),
        }
    }
}

/// What became of it, since this process began.
#[derive(Debug, Default)]
struct Counts {
    told: AtomicU64,
    given_up: AtomicU64,
    waiting: AtomicU64,
}

/// What a place is to hear.
struct Letter {
    body: Bytes,
    /// Dropped where it is given up.
    told: oneshot::Sender<()>,
}

/// What becomes of something that was handed over.
#[derive(Debug)]
pub(crate) struct Receipt(oneshot::Receiver<()>);

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Waits,
    Told,
    GivenUp,
}

impl Receipt {
    pub(crate) fn fate(&mut self) -> Fate {
        match self.0.try_recv() {
            Ok(()) => Fate::Told,
            Err(oneshot::error::TryRecvError::Empty) => Fate::Waits,
            Err(oneshot::error::TryRecvError::Closed) => Fate::GivenUp,
        }
    }
}

/// All that waits.
#[derive(Default)]
pub(crate) struct Outbox {
    lanes: BTreeMap<Place, Sender<Letter>>,
    counts: Arc<Counts>,
    tries: Tries,
    credentials: Option<PathBuf>,
}

impl Outbox {
    /// With the folder of systemd's credentials, if there is one.
    pub(crate) fn new(tries: Tries, credentials: Option<PathBuf>) -> Self {
        Self { lanes: BTreeMap::new(), counts: Arc::default(), tries, credentials }
    }

    /// Hands something over, for a moment in which a runtime runs; `None` where too much waits for that place.
    pub(crate) fn send(&mut self, place: &Place, body: Bytes) -> Option<Receipt> {
        let lane = self.lanes.entry(place.clone()).or_insert_with(|| {
            let (to, from) = channel(QUEUE);
            let lane = Lane {
                place: place.clone(),
                counts: Arc::clone(&self.counts),
                tries: self.tries.clone(),
                credentials: self.credentials.clone(),
                rest: None,
            };
            tokio::spawn(lane.serve(from));
            to
        });
        let (told, receipt) = oneshot::channel();
        self.counts.waiting.fetch_add(1, Ordering::SeqCst);
        let sent = lane.try_send(Letter { body, told });
        if sent.is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        sent.is_ok().then_some(Receipt(receipt))
    }

    /// Ends the tasks of places that nobody may name any more, each after what waits for it and can be told.
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
    /// What was told last was given up, which was logged; so long it rests before the next.
    rest: Option<Duration>,
}

impl Lane {
    async fn serve(mut self, mut from: Receiver<Letter>) {
        while let Some(letter) = from.recv().await {
            if let Some(rest) = self.rest {
                tokio::time::sleep(rest).await;
                if from.is_closed() {
                    // Nobody names this place any more, and it does not hear.
                    self.counts.waiting.fetch_sub(1 + from.len() as u64, Ordering::SeqCst);
                    return;
                }
            }
            let told = self.deliver(&letter.body).await;
            let count = if told.is_ok() { &self.counts.told } else { &self.counts.given_up };
            count.fetch_add(1, Ordering::SeqCst);
            self.counts.waiting.fetch_sub(1, Ordering::SeqCst);
            let place = line(&self.place.shown());
            let [first, most] = self.tries.rests;
            self.rest = match (told, self.rest) {
                (Ok(()), was) => {
                    // Whoever does not wait for that any more knows it.
                    letter.told.send(()).ok();
                    if was.is_some() {
                        info!("{place} hears again");
                    }
                    None
                }
                (Err(why), None) => {
                    warn!("{place} cannot be told: {}; this is logged once", line(&why));
                    Some(first)
                }
                (Err(_), Some(rest)) => Some(most.min(rest.saturating_mul(2))),
            };
        }
    }

    async fn deliver(&self, body: &Bytes) -> Result<(), String> {
        // Where the last one was given up, one attempt shows whether it hears again.
        let pauses = if self.rest.is_some() { &[][..] } else { &self.tries.pauses };
        let mut pauses = pauses.iter();
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
