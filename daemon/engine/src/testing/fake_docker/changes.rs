//! What the twin tells to those who subscribed.

use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::port::changes::{Change, Changes, Happened, Thing};
use crate::port::docker::{Container, ContainerState, DockerError, DockerErrorKind};

/// Everybody who listens.
#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<UnboundedSender<Change>>);

impl Listeners {
    pub(super) fn subscribe(&mut self) -> Box<dyn Changes> {
        let (to, from) = unbounded_channel();
        self.0.push(to);
        Box::new(Subscription(from))
    }

    pub(super) fn tell(&mut self, thing: Thing, happened: Happened, name: &str) {
        let change = Change { thing, happened, name: name.to_owned() };
        self.0.retain(|listener| listener.send(change.clone()).is_ok());
    }

    /// What people did to a container, seen from before and after.
    pub(super) fn tell_of(&mut self, before: Option<&Container>, after: Option<&Container>) {
        let runs = |c: Option<&Container>| c.is_some_and(|container| container.state != ContainerState::Down);
        let Some(named) = after.or(before) else { return };
        let mut tell = |happened| self.tell(Thing::Container, happened, &named.name);
        if before.is_none() {
            tell(Happened::Created);
        }
        if let (Some(before), Some(after)) = (before, after)
            && before.name != after.name
        {
            tell(Happened::Renamed);
        }
        match (runs(before), runs(after)) {
            (false, true) => tell(Happened::Started),
            (true, false) => tell(Happened::Died),
            (true, true) | (false, false) => {}
        }
        if after.is_none() {
            tell(Happened::Destroyed);
        }
    }

    /// As when the engine is restarted.
    pub(super) fn end(&mut self) {
        self.0.clear();
    }
}

struct Subscription(UnboundedReceiver<Change>);

#[async_trait]
impl Changes for Subscription {
    async fn next(&mut self) -> Result<Change, DockerError> {
        self.0.recv().await.ok_or_else(|| DockerError {
            kind: DockerErrorKind::Unreachable,
            deed: "listen".to_owned(),
            why: "the engine went away, as the test wants".to_owned(),
        })
    }
}
