//! Who writes while a backup runs: a client that says numbers and notes which were acknowledged, and noise beside it.
//!
//! Both begin again with a new client where the old one died, as services do when their database was stopped. A number
//! is said once; the one that was under way when a client died is not known to be there, nor to be lost.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::container::Container;
use super::ledger::Ledger;
use super::{Client, Server};

/// A client that died is followed by another one so much later.
const AGAIN: Duration = Duration::from_millis(100);

/// A client has so long to end after its last line.
const LAST_LINE: Duration = Duration::from_secs(10);

/// Nothing that is asked of a writer takes longer, unless its server is held.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    said: AtomicU64,
    ends: AtomicBool,
    children: Mutex<Vec<Child>>,
}

impl Shared {
    fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn children(&self) -> MutexGuard<'_, Vec<Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Writes from `first` on; what is in `ledger` was acknowledged before.
    pub fn start(server: &dyn Server, container: Arc<Container>, ledger: Ledger, first: u64) -> Self {
        let shared = Arc::new(Shared { ledger: Mutex::new(ledger), ..Shared::default() });
        shared.said.store(first.saturating_sub(1), Ordering::Relaxed);
        let (client, of_writer, of_client) = (server.client(), shared.clone(), container.clone());
        let mut threads =
            vec![std::thread::spawn(move || again(&of_writer, || talk(&of_writer, &client, &of_client)))];
        if let Some(line) = server.noise() {
            let of_noise = shared.clone();
            threads.push(std::thread::spawn(move || {
                again(&of_noise, || make_noise(&of_noise, &line, &container))
            }));
        }
        Self { shared, threads }
    }

    /// What is acknowledged by now.
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger().clone()
    }

    /// Waits until so many more are acknowledged: it writes, and its server lives.
    pub fn go_on(&self, more: u64) -> io::Result<()> {
        let (before, began) = (self.shared.ledger().count(), Instant::now());
        while self.shared.ledger().count() < before + more {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other("nothing more is acknowledged: the server does not write"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it, and gives the last number that was said; clients inside end with their container.
    pub fn end(mut self) -> u64 {
        self.finish();
        self.shared.said.load(Ordering::Relaxed)
    }

    fn finish(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // The client ends by itself, unless its server is held: then nobody may take its place in the middle of a line.
        let began = Instant::now();
        while self.threads.first().is_some_and(|client| !client.is_finished()) && began.elapsed() < LAST_LINE
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        for mut child in self.shared.children().drain(..) {
            // It may have ended by itself.
            let _ended = child.kill();
            let _ended = child.wait();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has acknowledged nothing more.
            let _ended = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Does it until the writer ends.
fn again(shared: &Shared, deed: impl Fn() -> io::Result<()>) {
    while !shared.ends() {
        // A server that is held, stopped or not up yet ends its clients; the next one finds it again.
        if deed().is_err() {
            std::thread::sleep(AGAIN);
        }
    }
}

/// Notes a child, so that whoever ends the writer ends it too; at once, if that has happened.
fn note(shared: &Shared, mut child: Child) {
    let mut children = shared.children();
    if shared.ends() {
        // It may have ended by itself.
        let _ended = child.kill();
        let _ended = child.wait();
        return;
    }
    children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    children.push(child);
}

fn talk(shared: &Shared, client: &Client, container: &Container) -> io::Result<()> {
    let argv: Vec<&str> = client.argv.iter().map(String::as_str).collect();
    // Each line as it is said, not when a buffer is full.
    let mut child = container.talk(&[&["stdbuf", "-oL"][..], &argv[..]].concat())?;
    let (to, from) = (child.stdin.take(), child.stdout.take());
    note(shared, child);
    let (Some(mut to), Some(from)) = (to, from) else {
        return Err(io::Error::other("a client without ends"));
    };
    let mut from = BufReader::new(from);
    while !shared.ends() {
        let number = shared.said.fetch_add(1, Ordering::Relaxed) + 1;
        to.write_all((client.say)(number).as_bytes())?;
        for _line in 0..client.lines {
            let mut line = String::new();
            from.read_line(&mut line)?;
            if !(client.heard)(line.trim(), number) {
                return Err(io::Error::other(format!("`{}` is no acknowledgement", line.trim())));
            }
        }
        shared.ledger().add(number);
        std::thread::sleep(Duration::from_millis(client.pace));
    }
    drop(to);
    io::copy(&mut from, &mut io::sink()).map(drop)
}

fn make_noise(shared: &Shared, line: &str, container: &Container) -> io::Result<()> {
    let mut child = container.talk(&["bash", "-c", line])?;
    child.stdin = None;
    let from = child.stdout.take();
    note(shared, child);
    // Until it ends, or is ended; what it says is of no interest.
    from.map_or(Ok(0), |mut from| io::copy(&mut from, &mut io::sink()))?;
    Err(io::Error::other("the noise is over"))
}
