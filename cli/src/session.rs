//! One command's life: its screen, its settings, this host when it is opened, and how it is interrupted.

use std::sync::Arc;

use engine::adapter::clock::SystemClock;
use engine::failure::{Class, Failure};
use engine::port::clock::Clock;
use engine::usecase::cover::Places;
use engine::usecase::host::Host;
use engine::usecase::recover::recover;
use engine::usecase::watch::Cancel;
use engine::words::HostName;

use crate::args::Globals;
use crate::screen::telling::{Telling, Voice};
use crate::screen::{Manners, Screen, Surroundings};
use crate::{settings, signals};

/// How a verb ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All was done.
    Done,
    /// It ran to its end, and what it found or left out has this exit code. It has been told already.
    With(Class),
}

impl Ending {
    /// For scripts.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::With(class) => class.exit_code(),
        }
    }
}

/// What a verb gets.
pub(crate) struct Session {
    /// The only way to print.
    pub(crate) screen: Screen,
    globals: Globals,
    clock: Arc<dyn Clock>,
    cancel: Arc<Cancel>,
    voice: Voice,
}

impl Session {
    /// With the real clock.
    pub(crate) fn new(globals: Globals, around: Surroundings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let manners = Manners { json: globals.json, quiet: globals.quiet };
        let screen = Screen::new(around, manners, Arc::clone(&clock));
        Self { screen, globals, clock, cancel: Arc::new(Cancel::default()), voice: Voice::default() }
    }

    /// The flags, for a verb that opens a host of its own.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Where policies are.
    pub(crate) fn places(&self) -> Result<Places, Failure> {
        settings::places(&self.globals)
    }

    /// This host's name in the store.
    pub(crate) fn host_name(&self) -> Result<HostName, Failure> {
        Ok(settings::settle(&self.globals)?.host)
    }

    /// The clock.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Opens this host, for verbs that only read.
    pub(crate) async fn open(&self) -> Result<Host, Failure> {
        Host::open(settings::settle(&self.globals)?, self.clock()).await
    }

    /// Opens this host and puts right what dead runs left, for verbs that change something.
    pub(crate) async fn open_to_write(&self) -> Result<Host, Failure> {
        let host = self.open().await?;
        self.recover(&host).await?;
        Ok(host)
    }

    /// Puts right what dead runs left. It may itself be interrupted at any point.
    pub(crate) async fn recover(&self, host: &Host) -> Result<(), Failure> {
        let telling = self.screen.listen(Arc::clone(&self.cancel));
        let recovered = recover(host, &telling).await;
        drop(telling);
        let recovered = recovered?;
        // What it says is what it did; the steps were shown as they happened.
        for said in recovered.said {
            self.screen.warn(&said);
        }
        // A container may still be held, or down: that must not pass in silence.
        for left in recovered.left {
            self.screen.warn(&format!("not put right yet: {left}"));
        }
        Ok(())
    }

    /// Listens to a use case. From now on a first SIGINT or SIGTERM asks it to stop, a second ends the
    /// program at once.
    pub(crate) fn attend(&self) -> Result<Telling, Failure> {
        let telling = self.screen.listen(Arc::clone(&self.cancel));
        telling.lend(&self.voice);
        signals::attend(Arc::clone(&self.cancel), self.voice.clone())
            .map_err(|e| Failure::failed("listen for signals").because(e))?;
        Ok(telling)
    }

    /// Fails when somebody asked to stop.
    pub(crate) fn still_wanted(&self) -> Result<(), Failure> {
        if self.cancel.is_asked() {
            return Err(Failure::new(Class::Interrupted, "stopped, as asked"));
        }
        Ok(())
    }
}
