//! How containers are that were started again.

use serde::Serialize;

/// What its health check says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// That it is well.
    Healthy,
    /// There is none; the container runs.
    Unchecked,
    /// Not yet that it is well, for as long as somebody waited; or it ended again.
    NotHealthy,
}

/// A container that was started again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunsAgain {
    /// Its name.
    pub container: String,
    /// How it is.
    pub health: Condition,
    /// So long after its start that was seen.
    pub seconds: f64,
}

/// What came of starting containers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Again {
    /// In the order in which they were started.
    pub(crate) started: Vec<RunsAgain>,
    /// What a person should know, a line each.
    pub(crate) warnings: Vec<String>,
}

impl Again {
    /// The names of those that were started.
    pub(crate) fn names(&self) -> Vec<String> {
        self.started.iter().map(|one| one.container.clone()).collect()
    }
}
