//! What happens at the container engine, as it tells it by itself.

use async_trait::async_trait;

use crate::port::docker::DockerError;

/// What something happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A volume.
    Volume,
    /// A container, ours apart.
    Container,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It was made.
    Created,
    /// It is gone.
    Destroyed,
    /// A container was started.
    Started,
    /// A container's process ended, however.
    Died,
    /// A container has another name.
    Renamed,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// To what.
    pub thing: Thing,
    /// What.
    pub happened: Happened,
    /// The name of a volume or container, the new one of one that was renamed.
    pub name: String,
}

impl Change {
    /// Whether there may be other sources now. Who merely runs or not changes none.
    pub fn moves_sources(&self) -> bool {
        match self.happened {
            Happened::Created | Happened::Destroyed | Happened::Renamed => true,
            Happened::Started | Happened::Died => false,
        }
    }
}

/// A subscription: everything that happens after it was made, in the order of the engine.
///
/// * It tells a hint and no truth: an engine under load may leave out some, some call a volume created whenever a
///   container with it is, a helper too, and none tells what was before. Who wants to know how things stand looks,
///   once right after subscribing, and again after it is told something.
/// * What happens to our own containers is not told.
/// * `next` waits without a deadline, for nothing may happen for days. Dropping its future loses nothing.
/// * An error is the end: the engine went away, or dropped us. What happens from then on is lost to this
///   subscription, so whoever makes a new one looks again.
#[async_trait]
pub trait Changes: Send {
    /// The next one.
    async fn next(&mut self) -> Result<Change, DockerError>;
}
