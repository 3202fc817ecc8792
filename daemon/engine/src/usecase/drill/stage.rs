//! Where a drill's programs run: trials of one image on the scratch volume.
//!
//! Always true: every container of it carries the run's label, so whoever ends the drill needs to know none of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::failure::{Class, Failure};
use crate::port::docker::{Docker, DockerErrorKind};
use crate::port::trial::{Trial, TrialEnd, TrialMount, TrialSpec};
use crate::usecase::blame;
use crate::usecase::guest::{Guest, Said};
use crate::usecase::host::Host;
use crate::words::RunId;

/// Threads of servers are counted as well.
const PIDS: u32 = 1024;

/// Between two looks whether a server is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// This much of a drill's time is for keeping what a server said that did not come up.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A question that a server which is up answers at once.
const QUESTION: Duration = Duration::from_secs(30);

/// What is kept of all that programs said.
const SAID_BYTES: usize = 64 << 10;

/// The stage of one drill.
pub(super) struct Stage<'a> {
    pub(super) host: &'a Host,
    pub(super) docker: &'a dyn Docker,
    pub(super) run: &'a RunId,
    /// By content.
    pub(super) image: String,
    /// What people know it as.
    pub(super) image_name: String,
    pub(super) volume: String,
    /// Where the volume is mounted: where it was when it was backed up.
    pub(super) at: String,
    /// What a server is started with beside our own, which comes behind and counts more.
    pub(super) arguments: Vec<String>,
    pub(super) memory_bytes: u64,
    /// By when it is over, as the clock's `elapsed` tells it.
    pub(super) deadline: Duration,
    pub(super) said: Mutex<String>,
}

/// How a program on the stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) status: i64,
    pub(super) why: String,
    pub(super) said: String,
}

/// What became of waiting for a server.
pub(super) enum Ready {
    /// It is up.
    Up,
    /// It is not, for this reason.
    Down(String),
    /// It refuses whoever asks, and always will.
    Refused(String),
}

/// What became of a question.
pub(super) enum Asked {
    /// This is the answer.
    Said(Said),
    /// There is no server any more, for this reason.
    Gone(String),
}

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing wrong, by all that it checks.
    Good(String),
    /// Something wrong.
    Bad(String),
    /// Nothing, for a program is not in the image.
    Missing(String),
}

/// What an answer means to whoever waits.
pub(super) enum Answer {
    Ready,
    NotYet,
    Never,
}

impl Stage<'_> {
    /// How long a program may still run.
    fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.host.clock().elapsed()).max(LOOK_AGAIN)
    }

    fn spec(&self, argv: Vec<String>, user: &str, mounted: bool) -> TrialSpec {
        let mount = TrialMount { volume: self.volume.clone(), at: self.at.clone() };
        TrialSpec {
            run: self.run.clone(),
            owner: self.host.owner(),
            image: self.image.clone(),
            argv,
            user: user.to_owned(),
            mount: mounted.then_some(mount),
            memory_bytes: self.memory_bytes,
            pids: PIDS,
        }
    }

    async fn trial(&self, argv: Vec<String>, user: &str, mounted: bool) -> Result<Trial, Failure> {
        let what = || format!("start image `{}`", self.image_name);
        let spec = self.spec(argv, user, mounted);
        self.docker.start_trial(&spec).await.map_err(|e| match e.kind {
            DockerErrorKind::NotFound => Failure::new(Class::NotFound, what()).because(e).hint(
                "bring the image to this host (`docker pull`, `docker load`), or name another with `--image`",
            ),
            DockerErrorKind::Unreachable
            | DockerErrorKind::Denied
            | DockerErrorKind::Conflict
            | DockerErrorKind::Unsupported
            | DockerErrorKind::HelperDied
            | DockerErrorKind::Other => blame::docker(what(), e),
        })
    }

    /// Runs a program to its end, without the volume.
    pub(super) async fn ask_image(&self, argv: Vec<String>) -> Result<Ended, Failure> {
        let trial = self.trial(argv, "65534:65534", false).await?;
        self.end_of(trial).await
    }

    /// Runs a program to its end, on the volume.
    pub(super) async fn once(&self, argv: Vec<String>, user: &str) -> Result<Ended, Failure> {
        let trial = self.trial(argv, user, true).await?;
        let ended = self.end_of(trial).await?;
        self.note(&ended.said);
        Ok(ended)
    }

    async fn end_of(&self, mut trial: Trial) -> Result<Ended, Failure> {
        let what = || format!("run a program of image `{}`", self.image_name);
        let ended = trial.life.ended(self.left()).await.map_err(|e| blame::docker(what(), e))?;
        let said = trial.life.said().await.map_err(|e| blame::docker(what(), e))?;
        match ended {
            Some(end) => self.judged(end, said),
            None => {
                Err(Failure::failed(what()).because(format!("it was still running: {}", last_line(&said))))
            }
        }
    }

    /// What used up its memory says nothing of its data.
    fn judged(&self, end: TrialEnd, said: String) -> Result<Ended, Failure> {
        let TrialEnd { status, why, out_of_memory } = end;
        if out_of_memory {
            self.note(&said);
            let what =
                format!("run image `{}` in {} MiB of memory", self.image_name, self.memory_bytes >> 20);
            return Err(Failure::failed(what)
                .because(why)
                .hint("give it more with `--memory`, or `memory` in `[drill]` of its policy"));
        }
        Ok(Ended { status, why, said })
    }

    /// Starts a server.
    pub(super) async fn server(&self, argv: Vec<String>, user: &str) -> Result<Server<'_>, Failure> {
        let trial = self.trial(argv, user, true).await?;
        let guest = Guest::new(self.docker, self.host.clock(), &trial.container);
        Ok(Server { stage: self, trial, guest })
    }

    /// What somebody can do about a server that did not come up, whose data may be whole.
    fn advice(&self) -> String {
        match &self.arguments[..] {
            [] => {
                "if it always runs with arguments of its own, name them with `--argument`, or `arguments` in \
                   `[drill]` of its policy"
                    .to_owned()
            }
            own => {
                format!("it was started with {own:?}: are these its arguments, without the program's name?")
            }
        }
    }

    /// Keeps the end of what programs say, for whoever wants to know why.
    pub(super) fn note(&self, text: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(text);
        let over = said.len().saturating_sub(SAID_BYTES);
        let from = said.ceil_char_boundary(over);
        said.drain(..from);
    }

    /// All that was kept, made printable.
    pub(super) fn noted(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
    }
}

/// A server that was started.
pub(super) struct Server<'a> {
    stage: &'a Stage<'a>,
    trial: Trial,
    guest: Guest<'a>,
}

impl Server<'_> {
    /// Asks again and again, until `judge` says that the answer is one of a server that is up, at most until shortly
    /// before the drill is over: so there is time to keep what the server said.
    pub(super) async fn ready(
        &mut self,
        argv: &[String],
        judge: impl Fn(&Said) -> Answer,
    ) -> Result<Ready, Failure> {
        loop {
            if let Some(end) = self.ended(LOOK_AGAIN).await? {
                let said = self.said().await?;
                let ended = self.stage.judged(end, said)?;
                self.stage.note(&ended.said);
                let (last, advice) = (last_line(&ended.said), self.stage.advice());
                let why = format!("the server ended before it was up: {}: {last}; {advice}", ended.why);
                return Ok(Ready::Down(why));
            }
            if self.stage.left() <= LAST_WORDS {
                let said = self.said().await?;
                self.stage.note(&said);
                return Err(Failure::failed(format!("start image `{}`", self.stage.image_name))
                    .because(format!("it did not come up in time: {}", last_line(&said)))
                    .hint("give it longer with `--timeout`, or `timeout` in `[drill]` of its policy"));
            }
            // One that ends at this moment is found out in the next round.
            let Ok(said) = self.guest.run(&words(argv), None, b"", QUESTION).await else { continue };
            match judge(&said) {
                Answer::Ready => return Ok(Ready::Up),
                Answer::NotYet => {}
                Answer::Never => return Ok(Ready::Refused(said.last_words)),
            }
        }
    }

    /// Runs a program beside it, to its end; or to the server's, which bad data can bring about.
    pub(super) async fn ask(&mut self, argv: &[String]) -> Result<Asked, Failure> {
        let asked = self.guest.run(&words(argv), None, b"", self.stage.left()).await;
        if let Ok(said) = &asked {
            self.stage.note(&said.stdout);
            self.stage.note(&said.last_words);
        }
        let went_well = asked.as_ref().is_ok_and(|said| said.status == 0);
        let end = self.ended(if went_well { Duration::ZERO } else { LOOK_AGAIN }).await?;
        let Some(end) = end else { return asked.map(Asked::Said) };
        let ended = self.stage.judged(end, self.said().await?)?;
        let last = last_line(&ended.said);
        Ok(Asked::Gone(format!("the server ended while it was checked: {}: {last}", ended.why)))
    }

    /// What it said so far.
    pub(super) async fn said(&self) -> Result<String, Failure> {
        let said = self.trial.life.said().await;
        said.map_err(|e| blame::docker(format!("read the log of image `{}`", self.stage.image_name), e))
    }

    /// Stops it, and gives its end with all that it said.
    pub(super) async fn stop(mut self, grace: Duration) -> Result<Ended, Failure> {
        let what = || format!("stop image `{}`", self.stage.image_name);
        let stopped = self.stage.docker.stop(&self.trial.container.id, grace).await;
        stopped.map_err(|e| blame::docker(what(), e))?;
        let end = self.ended(grace).await?;
        let end = end.ok_or_else(|| Failure::failed(what()).because("it runs on after it was stopped"))?;
        let said = self.said().await?;
        self.stage.note(&said);
        self.stage.judged(end, said)
    }

    async fn ended(&mut self, patience: Duration) -> Result<Option<TrialEnd>, Failure> {
        let ended = self.trial.life.ended(patience).await;
        ended.map_err(|e| blame::docker(format!("look at image `{}`", self.stage.image_name), e))
    }
}

fn words(argv: &[String]) -> Vec<&str> {
    argv.iter().map(String::as_str).collect()
}

/// The last line that says something.
pub(super) fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim()
}

/// The first lines that say something, joined.
pub(super) fn first_lines(text: &str, most: usize) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(most).collect();
    lines.join("; ")
}
