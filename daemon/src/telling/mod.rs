//! Who is told of what: failures, recoveries, what is overdue, held by the guard or vanished, and a heartbeat after
//! each good backup.
//!
//! `changes` decides, `outbox` tells. A policy's own `[notify]` comes before the settings'.
//!
//! Always true: nothing here can fail or delay a run. What was told is remembered in the state folder once all of it
//! is delivered or given up, so a change is told once, and again only where this process died in between.

mod changes;
mod command;
mod outbox;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use engine::failure::Failure;
use engine::usecase::host::Host;
use engine::usecase::state_file;
use hyper::body::Bytes;
use policies::policy::{Folder, Notify, Policy};
use serde::Serialize;

use self::changes::{News, Told, changes, set_right};
pub(crate) use self::changes::{Stand, gone_text};
use self::outbox::{Outbox, Place, Tries};

const FILE: &str = "told.json";

/// So long the end of this process waits for what is being told.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What is sent, as JSON on one line.
#[derive(Debug, Serialize)]
struct Message<'a> {
    event: &'static str,
    host: &'a str,
    source: &'a str,
    policy: &'a str,
    at: String,
    /// For people, with the host in front.
    text: String,
}

/// Tells people; by itself, those whom policies name.
#[derive(Default)]
pub(crate) struct Teller {
    /// Of the settings file: for policies that name nobody.
    usual: Notify,
    told: Told,
    /// What the file says.
    kept: Told,
    outbox: Outbox,
}

impl Teller {
    /// Nobody was told anything yet. `credentials` is systemd's folder of them.
    pub(crate) fn new(usual: Notify, credentials: Option<PathBuf>) -> Self {
        let outbox = Outbox::new(Tries::default(), credentials);
        Self { usual, told: Told::new(), kept: Told::new(), outbox }
    }

    /// Remembers what an earlier process has told. Where that cannot be read, some of it is told again.
    pub(crate) fn remember(&mut self, host: &Host) -> Result<(), Failure> {
        self.kept = state_file::read(host, FILE, "what is not as it should be is told once more")?;
        self.told = self.kept.clone();
        Ok(())
    }

    /// Tells what has changed. `known` are the sources that are still somebody's.
    pub(crate) fn tell(
        &mut self,
        host: &Host,
        policies: &Folder,
        stand: &Stand<'_>,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        set_right(&mut self.told, host.clock().now());
        let (told, news) = changes(&self.told, stand, known);
        self.told = told;
        for news in news {
            let notify = self.notify(policies, &news.policy);
            if notify.on.contains(&news.event) {
                let body = body(host, &news);
                for place in places(&notify) {
                    self.outbox.send(&place, body.clone());
                }
            }
        }
        if self.outbox.is_idle() && self.told != self.kept {
            state_file::write(host, FILE, &self.told)?;
            self.kept = self.told.clone();
        }
        Ok(())
    }

    /// A good backup under a policy.
    pub(crate) fn beat(&mut self, policies: &Folder, policy: &str) {
        let notify = policies.find(policy).and_then(Policy::terms).map(|terms| &terms.notify);
        if let Some(address) = notify.and_then(|notify| notify.heartbeat.clone()) {
            self.outbox.send(&Place::Heartbeat(address), Bytes::new());
        }
    }

    fn notify(&self, policies: &Folder, policy: &str) -> Notify {
        let own = policies.find(policy).and_then(Policy::terms).map(|terms| &terms.notify);
        own.filter(|own| own.tells_somebody()).unwrap_or(&self.usual).clone()
    }

    /// Other policies hold from now on.
    pub(crate) fn policies_changed(&mut self) {
        self.outbox.forget();
    }

    /// How much was told, and how much was given up.
    pub(crate) fn counted(&self) -> (u64, u64) {
        self.outbox.counted()
    }

    /// Waits a little for what waits to be told. The rest is told by the next process, as it is not remembered.
    pub(crate) async fn finish(&self) {
        let idle = async {
            while !self.outbox.is_idle() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LAST_WORDS, idle).await.ok();
    }
}

fn places(notify: &Notify) -> Vec<Place> {
    let webhook = notify.webhook.clone().map(Place::Webhook);
    let command = Some(notify.command.clone()).filter(|words| !words.is_empty()).map(Place::Command);
    webhook.into_iter().chain(command).collect()
}

fn body(host: &Host, news: &News) -> Bytes {
    const TEXT_BYTES_MAX: usize = 4 << 10;
    let own = host.settings().host.as_str();
    let mut text = format!("{own}: {}", news.text);
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    let message = Message {
        event: news.event.word(),
        host: own,
        source: &news.source,
        policy: &news.policy,
        at: host.clock().now().to_string(),
        text,
    };
    // Texts alone: that cannot fail, and an empty body would still tell that something is wrong.
    let mut bytes = serde_json::to_vec(&message).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}
