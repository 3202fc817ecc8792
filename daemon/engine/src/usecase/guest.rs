//! Programs of a container that are asked to do something: the client of a database, a hook, a checker.
//!
//! Always true: nobody is waited for without a bound; what is kept of an answer is bounded; what a program is told goes
//! through its input or its arguments, never through a shell that would read it; and dropping what is held here ends
//! the program's input, which ends the session of a database's client.

use std::pin::pin;
use std::time::Duration;

use policies::policy::print_time;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::failure::Failure;
use crate::port::clock::Clock;
use crate::port::docker::{Container, Docker, DockerError};
use crate::port::exec::{Exec, ExecEnd, ExecLife, ExecSpec, LAST_WORDS_BYTES};
use crate::usecase::blame;

/// What is kept of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// What a program said before it ended comes sooner than this.
const REST_PATIENCE: Duration = Duration::from_secs(3);

/// A program that has closed its output ends sooner than this.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// Statuses with which a shell, and the engine, say that a program could not be started.
const NOT_STARTED: [i64; 2] = [126, 127];

/// A container whose programs are asked to do something.
pub(crate) struct Guest<'a> {
    docker: &'a dyn Docker,
    clock: &'a dyn Clock,
    id: String,
    name: String,
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its exit status: 126 or 127 if it could not be started.
    pub(crate) status: i64,
    /// What it wrote to its standard output, at most 1 MiB of it.
    pub(crate) stdout: String,
    /// The end of its standard error; if that is empty and it failed, the end of its output.
    pub(crate) last_words: String,
}

impl Said {
    /// It could not be started: it is not there, or may not run.
    pub(crate) fn was_not_started(&self) -> bool {
        NOT_STARTED.contains(&self.status)
    }

    /// How it ended, in words.
    pub(crate) fn ending(&self) -> String {
        match self.last_words.as_str() {
            "" => format!("it ended with status {}", self.status),
            words => format!("it ended with status {}: {words}", self.status),
        }
    }
}

impl<'a> Guest<'a> {
    pub(crate) fn new(docker: &'a dyn Docker, clock: &'a dyn Clock, container: &Container) -> Self {
        Self { docker, clock, id: container.id.clone(), name: container.name.clone() }
    }

    /// By the id that was noted, when nobody has looked at it since.
    pub(crate) fn noted(docker: &'a dyn Docker, clock: &'a dyn Clock, id: &str, name: &str) -> Self {
        Self { docker, clock, id: id.to_owned(), name: name.to_owned() }
    }

    /// What is being done, for a person.
    pub(crate) fn what(&self, argv: &[&str]) -> String {
        format!("run `{}` in container `{}`", argv.first().unwrap_or(&""), self.name)
    }

    /// Runs a program to its end. `Err` if the engine failed or `patience` passed; a bad status is in [`Said`].
    pub(crate) async fn run(
        &self,
        argv: &[&str],
        user: Option<&str>,
        input: &[u8],
        patience: Duration,
    ) -> Result<Said, Failure> {
        let said = self.try_run(argv, user, input, patience).await?;
        said.ok_or_else(|| too_late(self.what(argv), patience))
    }

    /// The same; `None` if `patience` passed and it runs on.
    pub(crate) async fn try_run(
        &self,
        argv: &[&str],
        user: Option<&str>,
        input: &[u8],
        patience: Duration,
    ) -> Result<Option<Said>, Failure> {
        let exec = self.start(argv, user).await?;
        let rest = self.clock.sleep(REST_PATIENCE);
        let said = until_end(exec, input, Vec::new(), patience, rest).await;
        said.map_err(|e| blame::docker(self.what(argv), e))
    }

    /// A program that is talked to line by line. It ends when it is dropped: that is the end of its input.
    pub(crate) async fn talk(&self, argv: &[&str], user: Option<&str>) -> Result<Talk, Failure> {
        let Exec { to, from, life } = self.start(argv, user).await?;
        Ok(Talk { what: self.what(argv), to, from, life, unread: Vec::new() })
    }

    /// A program that is listened to by whoever asks, piece by piece.
    pub(crate) async fn start(&self, argv: &[&str], user: Option<&str>) -> Result<Exec, Failure> {
        let spec = ExecSpec {
            container: self.id.clone(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            user: user.map(str::to_owned),
        };
        self.docker.exec(&spec).await.map_err(|e| blame::docker(self.what(argv), e))
    }
}

/// A program that is talked to.
pub(crate) struct Talk {
    what: String,
    to: Box<dyn AsyncWrite + Send + Unpin>,
    from: Box<dyn AsyncRead + Send + Unpin>,
    life: Box<dyn ExecLife>,
    /// What was heard and belongs to no answer yet.
    unread: Vec<u8>,
}

/// Why there is no answer.
enum Silence {
    /// Its output has ended.
    Over,
    /// It says more than anybody wants to keep.
    TooMuch,
}

impl Talk {
    /// Sends `text`, and gives the lines until one that equals `mark`, which is not among them. Fails with the program's
    /// last words if it ends, and if `patience` passes; after a failure it is of no more use.
    pub(crate) async fn ask(
        &mut self,
        text: &str,
        mark: &str,
        patience: Duration,
    ) -> Result<Vec<String>, Failure> {
        match tokio::time::timeout(patience, self.answer(text, mark)).await {
            Ok(Ok(lines)) => Ok(lines),
            Ok(Err(Silence::Over)) => Err(self.over().await),
            Ok(Err(Silence::TooMuch)) => {
                let why = format!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
                Err(Failure::failed(self.what.clone()).because(why))
            }
            Err(_passed) => Err(too_late(self.what.clone(), patience)),
        }
    }

    /// End of input, then its end.
    pub(crate) async fn end(self, patience: Duration) -> Result<Said, Failure> {
        let Self { what, to, from, life, unread } = self;
        let rest = tokio::time::sleep(REST_PATIENCE);
        let said = until_end(Exec { to, from, life }, b"", unread, patience, rest).await;
        said.map_err(|e| blame::docker(what.clone(), e))?.ok_or_else(|| too_late(what, patience))
    }

    async fn answer(&mut self, text: &str, mark: &str) -> Result<Vec<String>, Silence> {
        // One that has ended does not listen. What it said before is heard all the same, and then its end.
        let _heard = self.to.write_all(text.as_bytes()).await.is_ok() && self.to.flush().await.is_ok();
        let (mut lines, mut bytes) = (Vec::new(), 0);
        loop {
            let line = self.line().await?;
            if line == mark {
                return Ok(lines);
            }
            bytes += line.len() + 1;
            if bytes > ANSWER_BYTES_MAX {
                return Err(Silence::TooMuch);
            }
            lines.push(line);
        }
    }

    async fn line(&mut self) -> Result<String, Silence> {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.unread[looked_at..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=looked_at + at).collect();
                return Ok(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned());
            }
            looked_at = self.unread.len();
            if looked_at > ANSWER_BYTES_MAX {
                return Err(Silence::TooMuch);
            }
            let mut piece = vec![0; PIECE_BYTES];
            match self.from.read(&mut piece).await {
                Ok(0) | Err(_) => return Err(Silence::Over),
                Ok(n) => self.unread.extend_from_slice(&piece[..n]),
            }
        }
    }

    /// Its output has ended; its end says why.
    async fn over(&mut self) -> Failure {
        match self.life.ended(END_PATIENCE).await {
            Ok(Some(end)) => Failure::failed(self.what.clone()).because(said(end, &self.unread).ending()),
            Ok(None) => Failure::failed(self.what.clone()).because("it says nothing more, and runs on"),
            Err(e) => blame::docker(self.what.clone(), e),
        }
    }
}

fn too_late(what: String, patience: Duration) -> Failure {
    Failure::failed(what).because(format!("that takes longer than {}", print_time(patience)))
}

/// Tells it all of `input` and its end, and listens until it has ended, at most `patience`: `None` if it runs on. What it
/// said comes after its end, at the latest with the end of `rest`: another program that it started may hold its output.
async fn until_end(
    exec: Exec,
    input: &[u8],
    mut heard: Vec<u8>,
    patience: Duration,
    rest: impl Future<Output = ()>,
) -> Result<Option<Said>, DockerError> {
    let Exec { to, mut from, mut life } = exec;
    let (mut end, all_heard) = {
        let mut talk = pin!(async { tokio::join!(tell(to, input), hear(&mut *from, &mut heard)) });
        let mut ended = pin!(life.ended(patience));
        let mut all_heard = false;
        let end = loop {
            tokio::select! {
                end = &mut ended => break end?,
                _ = &mut talk, if !all_heard => all_heard = true,
            }
        };
        let was_heard = all_heard;
        if end.is_some() && !all_heard {
            tokio::select! {
                _ = &mut talk => {}
                () = rest => {}
            }
        }
        (end, was_heard)
    };
    if end.is_some() && !all_heard {
        // Its last words may have come only now.
        end = life.ended(Duration::ZERO).await?;
    }
    Ok(end.map(|end| said(end, &heard)))
}

/// A program need not hear all that it is told: one that has ended says in its status what that means.
async fn tell(mut to: Box<dyn AsyncWrite + Send + Unpin>, input: &[u8]) {
    let _heard = to.write_all(input).await.is_ok() && to.shutdown().await.is_ok();
}

/// Keeps the beginning and hears the rest: a program whose output nobody takes waits for ever. What breaks here shows in
/// the program's end.
async fn hear(from: &mut (dyn AsyncRead + Send + Unpin), heard: &mut Vec<u8>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(n) = from.read(&mut piece).await {
        if n == 0 {
            return;
        }
        let room = ANSWER_BYTES_MAX.saturating_sub(heard.len());
        heard.extend_from_slice(&piece[..n.min(room)]);
    }
}

/// Why a program could not be started is said in its output, by the engine.
fn said(end: ExecEnd, heard: &[u8]) -> Said {
    let stdout = String::from_utf8_lossy(heard).into_owned();
    let last_words = if end.last_words.is_empty() && end.status != 0 {
        let tail = heard.len().saturating_sub(LAST_WORDS_BYTES);
        let tail = String::from_utf8_lossy(&heard[tail..]);
        tail.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "")
    } else {
        end.last_words
    };
    Said { status: end.status, stdout, last_words }
}

#[cfg(test)]
mod tests;
