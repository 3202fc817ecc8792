//! What a program of a dump says, piece by piece, and whether that was all of it.
//!
//! An end of output proves nothing: an engine that dies closes it as politely as a program that is done, and may lose the
//! last bytes. So a script of ours writes a mark behind the program's output, with its status. Always true: no last piece
//! is given before mark and status were seen, and the engine, asked by itself, has said the same; a program that says
//! nothing for too long is given up; one that nobody listens to any more is ended by that script; and no more than one
//! piece is in memory.

use std::time::Duration;

use archive::pages::CHUNK_BYTES;
use archive::path::TreePath;
use async_trait::async_trait;
use policies::policy::{Dump, print_time};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{container_of, path_of, secret};
use crate::failure::Failure;
use crate::pipeline::streams::Streams;
use crate::port::exec::{Exec, ExecEnd};
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::watch::Told;

const SCRIPT: &str = include_str!("../dump.sh");

/// A program that has closed its output ends sooner than this.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What is made room for at once.
const PIECE_BYTES: usize = 64 << 10;

/// A program's last words of its output are among so many bytes.
const TAIL_BYTES: usize = 1 << 10;

/// Of an engine that could not start anything, so much is told.
const WHY_CHARS: usize = 300;

/// The programs of a policy, each started when its first bytes are asked for.
pub(super) struct Saying<'a> {
    deed: &'a Deed<'a>,
    dumps: Vec<Dump>,
    open: Option<Open>,
}

/// One that was started.
struct Open {
    dump: Dump,
    what: String,
    container: String,
    exec: Exec,
    mark: Vec<u8>,
    values: Vec<String>,
    /// What was heard, and not given yet.
    unread: Vec<u8>,
    /// The end of what was given.
    tail: Vec<u8>,
    given_bytes: u64,
    is_over: bool,
}

impl<'a> Saying<'a> {
    pub(super) fn new(deed: &'a Deed<'_>, dumps: Vec<Dump>) -> Self {
        Self { deed, dumps, open: None }
    }

    fn wanted(&self, path: &TreePath) -> Result<Dump, Failure> {
        let dump = self.dumps.iter().find(|dump| path_of(dump) == *path).cloned();
        dump.ok_or_else(|| Failure::failed(format!("dump `{path}`")).because("no policy has it"))
    }
}

#[async_trait]
impl Streams for Saying<'_> {
    async fn next(&mut self, path: &TreePath) -> Result<Vec<u8>, Failure> {
        let mut open = match self.open.take() {
            Some(open) if path_of(&open.dump) == *path => open,
            Some(open) => return Err(Failure::failed(open.what).because("it was not heard to its end")),
            None => Open::begin(self.deed, self.wanted(path)?).await?,
        };
        let piece = open.next().await?;
        if piece.len() == CHUNK_BYTES {
            self.open = Some(open);
        }
        Ok(piece)
    }
}

impl Open {
    async fn begin(deed: &Deed<'_>, dump: Dump) -> Result<Self, Failure> {
        let container = container_of(deed, &dump).await?;
        let values = secret::values(&dump)?;
        let program = dump.run.first().map_or("", String::as_str);
        let what = format!("dump `{}`: run `{program}` in container `{}`", dump.file, container.name);
        deed.watch.tell(Told::Step(format!("dumping {} from {}", dump.file, container.name)));
        let mark = format!("backupd:{}", deed.run.id());
        let mut argv = vec!["sh", "-c", SCRIPT, "backupd", &mark];
        argv.extend(dump.environment.iter().map(|secret| secret.name.as_str()));
        argv.push("--");
        argv.extend(dump.run.iter().map(String::as_str));
        let started = deed.guest(&container).start(&argv, dump.user.as_deref()).await;
        let mut exec = started.map_err(|failure| failure.within(&what))?;
        let input: String = values.iter().flat_map(|value| [value.as_str(), "\n"]).collect();
        // One that has ended does not listen; its end says why.
        let _heard = exec.to.write_all(input.as_bytes()).await.is_ok() && exec.to.flush().await.is_ok();
        let mark = format!("\n{mark} ").into_bytes();
        let container = container.name;
        Ok(Self {
            dump,
            what,
            container,
            exec,
            mark,
            values,
            unread: Vec::new(),
            tail: Vec::new(),
            given_bytes: 0,
            is_over: false,
        })
    }

    async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        // The mark is held back until it is known to be the end, and its status has three digits at most.
        let enough = CHUNK_BYTES + self.mark.len() + 4;
        while !self.is_over && self.unread.len() < enough {
            self.unread.reserve(PIECE_BYTES);
            let read = self.exec.from.read_buf(&mut self.unread);
            match tokio::time::timeout(self.dump.max_silence, read).await {
                Ok(Ok(n)) if n > 0 => {}
                // What broke here shows in the mark that is missing.
                Ok(Ok(_) | Err(_)) => self.over().await?,
                Err(_passed) => {
                    let why = format!("it says nothing for {}", print_time(self.dump.max_silence));
                    return Err(self.failed(why).hint(format!(
                        "`docker top {}` shows it; it may wait for a lock; raise `max_silence` if it needs the time",
                        self.container
                    )));
                }
            }
        }
        let rest = self.unread.split_off(self.unread.len().min(CHUNK_BYTES));
        let piece = std::mem::replace(&mut self.unread, rest);
        self.given_bytes += piece.len() as u64;
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        Ok(piece)
    }

    /// Its output has ended. It ended as it should, or this fails.
    async fn over(&mut self) -> Result<(), Failure> {
        self.is_over = true;
        let said = self.take_mark();
        let ended = self.exec.life.ended(END_PATIENCE).await;
        let end = ended.map_err(|e| blame::docker(self.what.clone(), e))?;
        let Some(end) = end else { return Err(self.failed("it says nothing more, and runs on")) };
        if end.status != 0 {
            return Err(self.bad_end(&end, said.is_some()));
        }
        if said != Some(0) {
            return Err(self.failed("its output was cut off on its way").hint(
                "nothing was committed; the engine may have been restarted, or have lost the end: try again",
            ));
        }
        if self.given_bytes == 0 && self.unread.is_empty() {
            return Err(self.failed("it ended well, and wrote nothing to its standard output"));
        }
        match &self.dump.ends_with {
            Some(begin) if !self.has_line(begin.as_bytes()) => {
                let why = format!("it ended well, and none of its last lines begins with `{begin}`");
                Err(self.failed(why).hint("it may have been cut off; or correct `ends_with` in the policy"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Takes the mark from the end of what was heard; gives the status in it.
    fn take_mark(&mut self) -> Option<i64> {
        let at = self.unread.windows(self.mark.len()).rposition(|window| window == self.mark)?;
        let status = self.unread[at + self.mark.len()..].strip_suffix(b"\n")?;
        let status = std::str::from_utf8(status).ok()?.parse().ok()?;
        self.unread.truncate(at);
        Some(status)
    }

    fn has_line(&self, begin: &[u8]) -> bool {
        let end = [self.tail.as_slice(), &self.unread].concat();
        let from = end.len().saturating_sub(TAIL_BYTES);
        // Where nothing is cut off, the first line is whole, too.
        let whole = if self.given_bytes + self.unread.len() as u64 <= TAIL_BYTES as u64 { 0 } else { 1 };
        end[from..].split(|byte| *byte == b'\n').skip(whole).any(|line| line.starts_with(begin))
    }

    fn bad_end(&self, end: &ExecEnd, was_started: bool) -> Failure {
        let mut words = end.last_words.clone();
        if words.is_empty() && !was_started && self.given_bytes == 0 {
            // The engine says in the output why it could not start a shell.
            words = String::from_utf8_lossy(&self.unread).chars().take(WHY_CHARS).collect();
            words = words.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "");
        }
        let why = match secret::without(&self.values, &words) {
            words if words.is_empty() => format!("it ended with status {}", end.status),
            words => format!("it ended with status {}: {words}", end.status),
        };
        let program = self.dump.run.first().map_or("", String::as_str);
        let by_hand = format!("`docker exec {} {program} …`", self.container);
        self.failed(why).hint(match end.status {
            126 | 127 => format!("the image must have it, and `sh`: {by_hand}"),
            _ => format!("see what it says by hand: {by_hand}"),
        })
    }

    fn failed(&self, why: impl Into<String>) -> Failure {
        Failure::failed(self.what.clone()).because(why.into())
    }
}
