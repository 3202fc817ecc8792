//! Who is told of what: failures, recoveries, what is overdue, held by the guard or vanished, what is wrong with the
//! host itself, and a heartbeat after each good backup.
//!
//! `changes` decides, `outbox` tells. A policy's own `[notify]` comes before the settings'.
//!
//! Always true: nothing here can fail or delay a run. What a place could not be told waits and is handed over again; what
//! was told of a source is remembered in the state folder once all of it was heard. So a change is told once to each
//! place, however long that is away, and again only where this process died in between.

mod changes;
mod command;
mod outbox;
mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use engine::failure::Failure;
use engine::usecase::host::Host;
use engine::usecase::state_file;
use hyper::body::Bytes;
use policies::policy::{Folder, Notify, Policy};
use serde::Serialize;

use self::changes::{News, Stood, Told, changes, set_right};
pub(crate) use self::changes::{Stand, Trouble, gone_text};
use self::outbox::{Fate, Outbox, Place, Receipt, Tries};

const FILE: &str = "told.json";

/// So long the end of this process waits for what is being told.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// So many changes of one source wait for one place; older ones go.
const OPEN_MAX: usize = 8;

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

/// Something that a place has not heard yet.
struct Open {
    source: String,
    place: Place,
    body: Bytes,
    /// `None` while there is no room for it.
    receipt: Option<Receipt>,
}

/// Tells people; by itself, those whom policies name.
#[derive(Default)]
pub(crate) struct Teller {
    /// Of the settings file: for policies that name nobody.
    usual: Notify,
    told: Told,
    /// What the file says.
    kept: Told,
    open: Vec<Open>,
    /// How the sources of what is open stood before that: so the next process tells all of it.
    before: BTreeMap<String, Option<Stood>>,
    outbox: Outbox,
}

impl Teller {
    /// Nobody was told anything yet. `credentials` is systemd's folder of them.
    pub(crate) fn new(usual: Notify, credentials: Option<PathBuf>) -> Self {
        let outbox = Outbox::new(Tries::default(), credentials);
        Self { usual, outbox, ..Self::default() }
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
        self.settle();
        let (told, news) = changes(&self.told, stand, known);
        news.iter().for_each(|news| self.send(host, policies, news));
        self.told = told;
        self.note(host)
    }

    /// Hands news over; `told` still says how its source stood before.
    fn send(&mut self, host: &Host, policies: &Folder, news: &News) {
        let notify = self.notify(policies, &news.policy);
        if !notify.on.contains(&news.event) {
            return;
        }
        let body = body(host, news);
        for place in places(&notify) {
            let stood = self.told.get(&news.source);
            self.before.entry(news.source.clone()).or_insert_with(|| stood.cloned());
            let same = |open: &Open| open.source == news.source && open.place == place;
            if self.open.iter().filter(|open| same(open)).count() >= OPEN_MAX
                && let Some(oldest) = self.open.iter().position(same)
            {
                drop(self.open.remove(oldest));
            }
            let receipt = self.outbox.send(&place, body.clone());
            self.open.push(Open { source: news.source.clone(), place, body: body.clone(), receipt });
        }
    }

    /// Looks what was heard, and hands over again what was not.
    fn settle(&mut self) {
        let outbox = &mut self.outbox;
        self.open.retain_mut(|open| match open.receipt.as_mut().map(Receipt::fate) {
            Some(Fate::Told) => false,
            Some(Fate::Waits) => true,
            Some(Fate::GivenUp) | None => {
                open.receipt = outbox.send(&open.place, open.body.clone());
                true
            }
        });
        let open = &self.open;
        self.before.retain(|source, _| open.iter().any(|open| open.source == *source));
    }

    /// Remembers what was heard.
    fn note(&mut self, host: &Host) -> Result<(), Failure> {
        let mut heard = self.told.clone();
        for (source, before) in &self.before {
            match before {
                Some(stood) => drop(heard.insert(source.clone(), stood.clone())),
                None => drop(heard.remove(source)),
            }
        }
        if heard != self.kept {
            state_file::write(host, FILE, &heard)?;
            self.kept = heard;
        }
        Ok(())
    }

    /// A good backup under a policy.
    pub(crate) fn beat(&mut self, policies: &Folder, policy: &str) {
        let notify = policies.find(policy).and_then(Policy::terms).map(|terms| &terms.notify);
        if let Some(address) = notify.and_then(|notify| notify.heartbeat.clone()) {
            // One that is not heard is not made up for: it would say that all is well now.
            drop(self.outbox.send(&Place::Heartbeat(address), Bytes::new()));
        }
    }

    fn notify(&self, policies: &Folder, policy: &str) -> Notify {
        let own = policies.find(policy).and_then(Policy::terms).map(|terms| &terms.notify);
        own.filter(|own| own.tells_somebody()).unwrap_or(&self.usual).clone()
    }

    /// Other policies hold from now on, and say who is told: what was not heard yet is told by them.
    pub(crate) fn policies_changed(&mut self) {
        self.settle();
        self.outbox.forget();
        self.open.clear();
        for (source, before) in std::mem::take(&mut self.before) {
            match before {
                Some(stood) => drop(self.told.insert(source, stood)),
                None => drop(self.told.remove(&source)),
            }
        }
    }

    /// How much was told, and how much was given up.
    pub(crate) fn counted(&self) -> (u64, u64) {
        self.outbox.counted()
    }

    /// Waits a little for what waits to be told. The rest is told by the next process, as it is not remembered.
    pub(crate) async fn finish(&mut self, host: &Host) -> Result<(), Failure> {
        let idle = async {
            while !self.outbox.is_idle() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LAST_WORDS, idle).await.ok();
        self.settle();
        self.note(host)
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

#[cfg(test)]
mod tests;
