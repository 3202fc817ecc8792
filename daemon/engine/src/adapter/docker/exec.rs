//! Programs inside containers: started attached, spoken to through the engine.
//!
//! Always true: dropping the input is its end; standard error is set aside while output is read, and its end is kept; a
//! program that is not listened to waits, so nothing piles up here; and a status is what the engine answers when it is
//! asked, never taken from the end of a stream, which an engine that dies closes just as politely.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::attached::{LastWords, Output};
use super::call::{ASK, CHANGE, Engine, START, found};
use super::containers;
use crate::port::docker::{DockerError, DockerErrorKind};
use crate::port::exec::{Exec, ExecEnd, ExecLife, ExecSpec};

/// The first look at a program after this; each further one after twice the time, up to the longest.
const LOOK_AFTER: Duration = Duration::from_millis(10);
const LOOK_AFTER_MAX: Duration = Duration::from_millis(250);

pub(super) async fn start(engine: &Arc<Engine>, spec: &ExecSpec) -> Result<Exec, DockerError> {
    let program = spec.argv.first().map_or("", String::as_str);
    let deed = format!("run `{program}` in container `{}`", spec.container);
    let client = engine.client().await?;
    let config = ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        cmd: Some(spec.argv.clone()),
        user: spec.user.clone(),
        ..Default::default()
    };
    let made = engine.within(&deed, CHANGE, client.create_exec(&spec.container, config)).await?;
    let call = client.start_exec(&made.id, None::<StartExecOptions>);
    match engine.within(&deed, START, call).await? {
        StartExecResults::Attached { output, input } => {
            let (from, words) = Output::of(output);
            let life = Life { engine: Arc::clone(engine), id: made.id, deed, words };
            Ok(Exec { to: Box::new(Input(Some(input))), from: Box::new(from), life: Box::new(life) })
        }
        StartExecResults::Detached => Err(DockerError {
            kind: DockerErrorKind::Other,
            deed,
            why: "the engine started it without its streams".to_owned(),
        }),
    }
}

/// Whether one of these words runs there. The engine lists what was started in a container until some time after its end.
pub(super) async fn runs(engine: &Engine, container: &str, argv: &[String]) -> Result<bool, DockerError> {
    let deed = format!("look for programs in container `{container}`");
    let listed = containers::inspect(engine, container).await?.and_then(|seen| seen.exec_ids);
    let client = engine.client().await?;
    for id in listed.unwrap_or_default() {
        let Some(seen) = found(engine.within(&deed, ASK, client.inspect_exec(&id)).await)? else { continue };
        let config = seen.process_config.unwrap_or_default();
        let words = config.entrypoint.into_iter().chain(config.arguments.unwrap_or_default());
        if seen.running.unwrap_or(false) && words.eq(argv.iter().cloned()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Standard input. Both directions share a connection, so nothing but a shutdown ends this one.
struct Input(Option<Pin<Box<dyn AsyncWrite + Send>>>);

impl Input {
    fn open(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Send + 'static)>> {
        self.0.as_mut().map(Pin::as_mut).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Input {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_shutdown(context)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // Where nothing runs any more, the connection ends with its other half, or with us.
        let (Some(mut to), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            // One that was shut down before, or whose engine is gone, has ended already.
            if let Ok(Err(e)) = tokio::time::timeout(ASK, to.shutdown()).await {
                tracing::debug!("end the input of a program: {e}");
            }
        });
    }
}

/// A program, by the engine's id of it.
struct Life {
    engine: Arc<Engine>,
    id: String,
    deed: String,
    words: LastWords,
}

impl Life {
    /// Its status; `None` while it runs, or is about to.
    async fn status(&self) -> Result<Option<i64>, DockerError> {
        let client = self.engine.client().await?;
        let seen = self.engine.within(&self.deed, ASK, client.inspect_exec(&self.id)).await?;
        // Before it was started it does not run either, and has no status yet.
        Ok(seen.exit_code.filter(|_| !seen.running.unwrap_or(false)))
    }
}

#[async_trait]
impl ExecLife for Life {
    async fn ended(&mut self, patience: Duration) -> Result<Option<ExecEnd>, DockerError> {
        let deadline = Instant::now() + patience;
        let mut pause = LOOK_AFTER;
        loop {
            let seen = self.status().await;
            let left = deadline.saturating_duration_since(Instant::now());
            match seen {
                Ok(Some(status)) => return Ok(Some(ExecEnd { status, last_words: self.words.text() })),
                Ok(None) if left.is_zero() => return Ok(None),
                // An engine that is away for a while is waited for; it knows what ended meanwhile.
                Err(e) if left.is_zero() || e.kind != DockerErrorKind::Unreachable => return Err(e),
                Ok(None) | Err(_) => sleep(pause.min(left)).await,
            }
            pause = (pause * 2).min(LOOK_AFTER_MAX);
        }
    }
}
