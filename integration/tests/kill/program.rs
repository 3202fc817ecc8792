//! One of our programs at work: what it tells, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::tenant::PATIENCE;

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it told on stdout, a line each.
    pub(crate) events: Vec<Value>,
    /// What it told on stderr.
    pub(crate) stderr: String,
}

impl Ended {
    /// The one event of this kind.
    #[track_caller]
    pub(crate) fn event(&self, kind: &str) -> &Value {
        let found = self.events.iter().find(|event| event["event"] == kind);
        found.unwrap_or_else(|| panic!("no `{kind}` in {self:?}"))
    }

    /// It said that it was done.
    pub(crate) fn said_done(&self) -> bool {
        self.events.iter().any(|event| event["event"] == "done")
    }

    /// Fails unless it ended so.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// All it told, as one text to search.
    pub(crate) fn text(&self) -> String {
        self.events.iter().map(|event| format!("{event}\n")).collect::<String>() + &self.stderr
    }
}

/// While it runs.
pub(crate) struct Running {
    child: Child,
    events: Receiver<Value>,
    heard: Vec<Value>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts it, with nobody at its stdin.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            // A line that a kill cut in half is no event; nobody may listen any more.
            for line in stdout.lines().map_while(Result::ok) {
                let _nobody = serde_json::from_str(&line).map(|event: Value| send.send(event));
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, events, heard: Vec::new(), stderr: Some(stderr) }
    }

    /// Waits for a step whose words contain `words`; false if it ended without one.
    pub(crate) fn step(&mut self, words: &str) -> bool {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) => {
                    let found = event["what"].as_str().is_some_and(|what| what.contains(words));
                    self.heard.push(event);
                    if found {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("`{words}` was not said: {:?}", self.heard),
            }
        }
    }

    /// Waits until `ready`, however that shows; false if it ended before.
    pub(crate) fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        let began = std::time::Instant::now();
        while !ready() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "what was waited for did not come");
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// SIGTERM, SIGINT.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL; it may have ended by itself.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        let mut events = std::mem::take(&mut self.heard);
        events.extend(self.events.iter());
        let stderr = self.stderr.take().map(|told| told.join().unwrap()).unwrap_or_default();
        Ended { code, events, stderr }
    }
}

/// Nothing of a test that failed goes on.
impl Drop for Running {
    fn drop(&mut self) {
        if self.stderr.is_some() {
            let _ended = self.child.kill();
            let _ended = self.child.wait();
        }
    }
}
