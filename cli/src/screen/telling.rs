//! The one who listens to a use case and writes what it tells, on a thread of its own: a slow terminal or
//! a stopped pager must never hold up a backup.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::port::clock::Clock;
use engine::usecase::watch::{Cancel, Told, Watch};

use super::progress::{Manner, Teller};
use super::width::Width;

/// So many steps and warnings wait for a stream that does not take them; later ones are counted.
const WAITING_MAX: usize = 1000;

/// So long a process that ends at once waits for a stream that does not take the last words.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Hears a use case; drop or [`Telling::end`] takes the line off the terminal.
pub(crate) struct Telling {
    shared: Arc<Shared>,
    cancel: Arc<Cancel>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    heard: Mutex<Heard>,
    news: Condvar,
}

#[derive(Default)]
struct Heard {
    waiting: VecDeque<Told>,
    latest: Option<Told>,
    warned: Vec<String>,
    left_out: u64,
    ended: bool,
    /// All is written, and the line is off the terminal.
    over: bool,
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // What is inside is whole after every single statement, so a panic elsewhere spoils nothing.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told) {
        let mut heard = self.heard();
        match told {
            Told::Progress(_) => heard.latest = Some(told),
            Told::Step(_) | Told::Warning(_) if heard.waiting.len() < WAITING_MAX => {
                match &told {
                    Told::Warning(warning) if heard.warned.len() < WAITING_MAX => {
                        heard.warned.push(warning.clone());
                    }
                    Told::Warning(_) => {}
                    // Progress of the step before would be shown under the new step's name.
                    Told::Step(_) | Told::Progress(_) => heard.latest = None,
                }
                heard.waiting.push_back(told);
                drop(heard);
                self.news.notify_all();
            }
            Told::Step(_) | Told::Warning(_) => heard.left_out += 1,
        }
    }
}

/// Speaks through whichever [`Telling`] is up, as the task that waits for signals does.
#[derive(Clone, Default)]
pub(crate) struct Voice(Arc<Mutex<Weak<Shared>>>);

impl Voice {
    /// Says what happens next; nothing when nobody writes.
    pub(crate) fn say(&self, step: &str) {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(shared) = shared {
            shared.tell(Told::Step(step.to_owned()));
        }
    }

    /// Takes the line off the terminal, for a process that ends at once.
    pub(crate) fn hush(&self) {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let Some(shared) = shared else { return };
        let mut heard = shared.heard();
        heard.ended = true;
        shared.news.notify_all();
        // Whether it came to that or not, there is nothing more to do here.
        drop(shared.news.wait_timeout_while(heard, LAST_WORDS, |heard| !heard.over));
    }
}

impl Telling {
    /// Starts to write through `write`, which says whether anybody still reads.
    pub(crate) fn begin(
        teller: Teller,
        manner: Manner,
        width: Width,
        write: impl FnMut(&str) -> bool + Send + 'static,
        clock: Arc<dyn Clock>,
        cancel: Arc<Cancel>,
    ) -> Self {
        let shared = Arc::new(Shared { heard: Mutex::new(Heard::default()), news: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let spawned = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || write_all(&theirs, teller, (manner, width), write, &*clock));
        // Without the thread the deed itself goes on; it is only silent.
        Self { shared, cancel, writer: spawned.ok() }
    }

    /// Writes what still waits, and takes the line off the terminal. Gives the warnings that were heard, so
    /// that a report's own list of them is not printed twice.
    pub(crate) fn end(self) -> Vec<String> {
        let warned = std::mem::take(&mut self.shared.heard().warned);
        drop(self);
        warned
    }

    /// Lets `voice` speak through this one.
    pub(crate) fn lend(&self, voice: &Voice) {
        *voice.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&self.shared);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.shared.heard().ended = true;
        self.shared.news.notify_all();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer cost words on a screen; the deed's own result is told after this.
            drop(writer.join());
        }
    }
}

impl Watch for Telling {
    fn tell(&self, told: Told) {
        self.shared.tell(told);
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

fn write_all(
    shared: &Shared,
    mut teller: Teller,
    (manner, width): (Manner, Width),
    mut write: impl FnMut(&str) -> bool,
    clock: &dyn Clock,
) {
    let pause = manner.pause().min(Duration::from_millis(200));
    let mut open = true;
    loop {
        let (news, ended) = {
            let heard = shared.heard();
            let idle = heard.waiting.is_empty() && !heard.ended;
            let mut heard = if idle {
                shared.news.wait_timeout(heard, pause).unwrap_or_else(PoisonError::into_inner).0
            } else {
                heard
            };
            let mut news: Vec<Told> = heard.waiting.drain(..).collect();
            news.extend(heard.latest.take());
            if std::mem::take(&mut heard.left_out) > 0 {
                news.push(Told::Warning("more was said than could be written here".to_owned()));
            }
            (news, heard.ended)
        };
        let now = clock.elapsed();
        width.columns().into_iter().for_each(|columns| teller.resize(columns));
        let mut text = String::new();
        for told in news {
            text += &teller.hear(told, now);
        }
        if ended {
            text += &teller.clear();
        } else {
            text += &teller.tick(now);
        }
        if open && !text.is_empty() {
            // Whoever read this went away; the deed goes on, and its exit code still tells.
            open = write(&text);
        }
        if ended {
            shared.heard().over = true;
            shared.news.notify_all();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use engine::adapter::clock::SystemClock;
    use engine::usecase::watch::Progress;

    use super::*;
    use crate::screen::paint::Paint;

    fn begin(manner: Manner, write: impl FnMut(&str) -> bool + Send + 'static) -> Telling {
        let clock = Arc::new(SystemClock::start());
        let teller = Teller::new(manner, Paint::OFF, false, clock.elapsed());
        Telling::begin(teller, manner, Width::Told(40), write, clock, Arc::default())
    }

    /// All that was written, and the warnings that were heard.
    fn told(manner: Manner, all: Vec<Told>) -> (String, Vec<String>) {
        let written = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&written);
        let telling = begin(manner, move |text| {
            theirs.lock().unwrap().push_str(text);
            true
        });
        all.into_iter().for_each(|one| telling.tell(one));
        let warned = telling.end();
        let written = written.lock().unwrap().clone();
        (written, warned)
    }

    #[test]
    fn everything_is_written_in_order_before_the_end() {
        let all = vec![Told::Step("one".into()), Told::Warning("oh".into()), Told::Step("two".into())];
        let (written, warned) = told(Manner::Lines, all.clone());
        assert_eq!((written.as_str(), warned), ("one\nwarning: oh\ntwo\n", vec!["oh".to_owned()]));
        let (written, _warned) = told(Manner::Terminal { width: 40 }, all);
        assert!(written.ends_with("\r\x1b[2Ktwo\r\x1b[2K"), "{written:?}");
    }

    #[test]
    fn a_stream_that_takes_nothing_holds_nobody_up_and_little_memory() {
        let (go_on, wait) = mpsc::channel::<()>();
        let written = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&written);
        let telling = begin(Manner::Lines, move |text| {
            // Stands still, as a stopped pager does, until the test lets it go on.
            assert!(wait.recv().is_err());
            theirs.lock().unwrap().push(text.to_owned());
            true
        });
        for n in 0..5 * WAITING_MAX {
            telling.tell(Told::Warning(format!("{n}")));
            telling.tell(Told::Progress(Progress::default()));
        }
        assert!(telling.shared.heard().waiting.len() <= WAITING_MAX);
        drop(go_on);
        let warned = telling.end();
        assert!(warned.len() <= WAITING_MAX);
        let all = written.lock().unwrap().concat();
        assert!(all.starts_with("warning: 0\n"), "{}", &all[..40]);
        assert!(all.contains("warning: more was said"), "what is left out is said");
    }

    #[test]
    fn the_line_is_off_the_terminal_before_a_process_ends_at_once() {
        let voice = Voice::default();
        voice.hush();
        let written = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&written);
        let telling = begin(Manner::Terminal { width: 40 }, move |text| {
            theirs.lock().unwrap().push_str(text);
            true
        });
        telling.lend(&voice);
        telling.tell(Told::Step("one".into()));
        voice.hush();
        let written = written.lock().unwrap().clone();
        assert!(written.ends_with("one\r\x1b[2K"), "{written:?}");
    }

    #[test]
    fn a_voice_speaks_while_somebody_writes_and_is_silent_afterwards() {
        let voice = Voice::default();
        voice.say("nobody is there");
        let (send, written) = mpsc::channel();
        let telling = begin(Manner::Lines, move |text| send.send(text.to_owned()).is_ok());
        telling.lend(&voice);
        voice.say("stopping");
        telling.end();
        voice.say("nobody is there any more");
        assert_eq!(written.iter().collect::<String>(), "stopping\n");
    }
}
