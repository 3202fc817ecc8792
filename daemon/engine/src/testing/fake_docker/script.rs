//! What a test wants to go wrong, call by call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::port::docker::{DockerError, DockerErrorKind};

/// When a call is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Nothing has happened yet.
    Before,
    /// It has happened, and the caller does not know yet.
    After,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// The caller is told that it failed.
    Fail(DockerErrorKind),
}

/// Is asked before and after each call; the call is named by its verb, a space, and what it is about.
pub type Script = Arc<dyn Fn(Moment, &str) -> Verdict + Send + Sync>;

pub(super) fn ask(script: &Script, moment: Moment, deed: &str) -> Result<(), DockerError> {
    match script(moment, deed) {
        Verdict::Pass => Ok(()),
        Verdict::Fail(kind) => {
            let why = match moment {
                Moment::Before => "failed as the test wants, before it was done",
                Moment::After => "failed as the test wants, after it was done",
            };
            Err(DockerError { kind, deed: deed.to_owned(), why: why.to_owned() })
        }
    }
}

/// A script that writes down each call, and can make one fail, or all from one on.
#[derive(Debug, Default)]
pub struct Calls {
    log: Mutex<Vec<String>>,
    fault: Mutex<Option<Fault>>,
    dead: AtomicBool,
}

#[derive(Debug, Clone)]
struct Fault {
    verb: String,
    nth: usize,
    moment: Moment,
    kind: DockerErrorKind,
    for_ever: bool,
}

impl Calls {
    /// Nothing goes wrong.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The `nth` call (from one) whose name begins with `verb` fails; every call begins with the empty verb.
    pub fn fail(&self, verb: &str, nth: usize, moment: Moment, kind: DockerErrorKind) {
        self.plan(Fault { verb: verb.to_owned(), nth, moment, kind, for_ever: false });
    }

    /// At the `nth` call of all we die: nothing that comes after has an effect.
    pub fn crash(&self, nth: usize, moment: Moment) {
        let kind = DockerErrorKind::Unreachable;
        self.plan(Fault { verb: String::new(), nth, moment, kind, for_ever: true });
    }

    fn plan(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// All calls that had an effect or might have had one, in order.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As a script.
    pub fn script(self: &Arc<Self>) -> Script {
        let calls = Arc::clone(self);
        Arc::new(move |moment, deed| calls.judge(moment, deed))
    }

    fn judge(&self, moment: Moment, deed: &str) -> Verdict {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if self.dead.load(Ordering::SeqCst) {
            return Verdict::Fail(DockerErrorKind::Unreachable);
        }
        if moment == Moment::Before {
            log.push(deed.to_owned());
        }
        let Some(fault) = fault else { return Verdict::Pass };
        let so_far = log.iter().filter(|made| made.starts_with(&fault.verb)).count();
        if moment != fault.moment || so_far != fault.nth || !deed.starts_with(&fault.verb) {
            return Verdict::Pass;
        }
        self.dead.store(fault.for_ever, Ordering::SeqCst);
        Verdict::Fail(fault.kind)
    }
}
