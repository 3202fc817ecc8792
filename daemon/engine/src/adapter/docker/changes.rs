//! The engine's stream of events, as far as it is about volumes and other people's containers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::models::{EventMessage, EventMessageTypeEnum as Type};
use bollard::query_parameters::EventsOptions;
use futures_util::stream::{Stream, StreamExt as _};
use jiff::Timestamp;

use super::call::{ASK, Engine};
use crate::port::changes::{Change, Changes, Happened, Thing};
use crate::port::docker::{DockerError, DockerErrorKind, RUN_LABEL};

const DEED: &str = "listen to Docker's events";

/// The words of the engine. One that dies is told as `die`, whatever killed it.
const WORDS: [(&str, Happened); 5] = [
    ("create", Happened::Created),
    ("destroy", Happened::Destroyed),
    ("start", Happened::Started),
    ("die", Happened::Died),
    ("rename", Happened::Renamed),
];

struct Subscription {
    engine: Arc<Engine>,
    events: Pin<Box<dyn Stream<Item = Result<EventMessage, Error>> + Send>>,
}

/// From the engine's own moment on: it answers before it listens, and would lose what happens in between, but it
/// keeps its last events for those who name a time.
pub(super) async fn subscribe(engine: &Arc<Engine>) -> Result<Box<dyn Changes>, DockerError> {
    let client = engine.client().await?;
    let about = engine.within(DEED, ASK, client.info()).await?;
    let now: Option<Timestamp> = about.system_time.and_then(|text| text.parse().ok());
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let filters = HashMap::from([
        ("type".to_owned(), texts(&["volume", "container"])),
        ("event".to_owned(), texts(&WORDS.map(|(word, _)| word))),
    ]);
    let since = now.map(|at| format!("{}.{:09}", at.as_second(), at.subsec_nanosecond()));
    let options = EventsOptions { since, until: None, filters: Some(filters) };
    let events = Box::pin(client.events(Some(options)));
    Ok(Box::new(Subscription { engine: Arc::clone(engine), events }))
}

#[async_trait]
impl Changes for Subscription {
    async fn next(&mut self) -> Result<Change, DockerError> {
        loop {
            match self.events.next().await {
                Some(Ok(event)) => {
                    if let Some(change) = change(event) {
                        return Ok(change);
                    }
                }
                Some(Err(e)) => return Err(self.engine.explain(DEED, &e)),
                None => {
                    let why = format!("`{}` ended it", self.engine.address);
                    return Err(DockerError {
                        kind: DockerErrorKind::Unreachable,
                        deed: DEED.to_owned(),
                        why,
                    });
                }
            }
        }
    }
}

/// `None` for what is not about us.
fn change(event: EventMessage) -> Option<Change> {
    let thing = match event.typ? {
        Type::VOLUME => Thing::Volume,
        Type::CONTAINER => Thing::Container,
        Type::EMPTY
        | Type::BUILDER
        | Type::CONFIG
        | Type::DAEMON
        | Type::IMAGE
        | Type::NETWORK
        | Type::NODE
        | Type::PLUGIN
        | Type::SECRET
        | Type::SERVICE => return None,
    };
    let action = event.action?;
    let (_, happened) = WORDS.iter().find(|(word, _)| *word == action)?;
    let actor = event.actor?;
    let mut about = actor.attributes.unwrap_or_default();
    if about.contains_key(RUN_LABEL) {
        return None;
    }
    // A volume's id is its name; a container tells its labels and its name beside its id.
    let name = match thing {
        Thing::Volume => actor.id?,
        Thing::Container => about.remove("name").or(actor.id)?.trim_start_matches('/').to_owned(),
    };
    Some(Change { thing, happened: *happened, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events in the words of engine 20.10, and what they say: `-` for nothing.
    #[test]
    fn events_are_read_as_the_engine_writes_them() {
        let container = |action: &str, more: &str| {
            format!(
                r#"{{"status":"{action}","id":"9f","from":"db:1","Type":"container","Action":"{action}","Actor":{{"ID":"9f",
                "Attributes":{{"image":"db:1","name":"web"{more}}}}},"scope":"local","time":1795000000,"timeNano":1795000000000000001}}"#
            )
        };
        let volume = |action: &str| {
            format!(
                r#"{{"Type":"volume","Action":"{action}","Actor":{{"ID":"db-data","Attributes":{{"driver":"local"}}}},
                "scope":"local","time":1795000000,"timeNano":1795000000000000001}}"#
            )
        };
        for (text, want) in [
            (container("create", ""), "Container Created web"),
            (container("die", r#","exitCode":"137""#), "Container Died web"),
            (container("rename", r#","oldName":"/old""#), "Container Renamed web"),
            (container("start", r#","backupd.run":"x""#), "-"),
            (container("exec_die", ""), "-"),
            (container("health_status: healthy", ""), "-"),
            (volume("create"), "Volume Created db-data"),
            (volume("destroy"), "Volume Destroyed db-data"),
            (volume("mount"), "-"),
            ("{}".to_owned(), "-"),
        ] {
            let event: EventMessage = serde_json::from_str(&text).unwrap();
            let got = change(event)
                .map_or("-".to_owned(), |c| format!("{:?} {:?} {}", c.thing, c.happened, c.name));
            assert_eq!(got, want, "{text}");
        }
    }
}
