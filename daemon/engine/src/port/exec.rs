//! A program that is started inside a running container: the client of a database, a hook, a checker.
//!
//! It runs with what the container has (its user database, its environment, its network) and none of ours. What is
//! said to it goes through its standard input, never through its arguments, so a secret can be passed without being
//! seen in a list of processes.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::port::docker::DockerError;

/// What of its standard error is kept: the end of it.
pub const LAST_WORDS_BYTES: usize = 4 << 10;

/// A program to be started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecSpec {
    /// The container's id.
    pub container: String,
    /// Program and arguments; never a line for a shell.
    pub argv: Vec<String>,
    /// Name or number of the user it runs as, `USER[:GROUP]`; the container's own if `None`.
    pub user: Option<String>,
}

/// A program that was started.
///
/// Whoever drops this, or dies, ends its standard input; a client of a database ends its session then. Nothing can
/// kill it: a program that reads no input and never ends stays until its container does.
pub struct Exec {
    /// Its standard input. Dropping it is the end of input.
    pub to: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output. It must be read, or the program waits.
    pub from: Box<dyn AsyncRead + Send + Unpin>,
    /// Its end.
    pub life: Box<dyn ExecLife>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    /// Its exit status: 126 and 127 if it could not be started, as in a shell.
    pub status: i64,
    /// The end of its standard error, made printable.
    pub last_words: String,
}

/// The life of a program.
#[async_trait]
pub trait ExecLife: Send + Sync {
    /// Waits for its end, at most `patience`; `None` if it runs on. An end of its output is no end of it, and proves
    /// nothing: only a status does.
    async fn ended(&mut self, patience: Duration) -> Result<Option<ExecEnd>, DockerError>;
}
