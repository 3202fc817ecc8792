//! One life of a server: loaded, written to, backed up, destroyed, restored, started, judged; and again on what was
//! restored.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::container::{Container, Make, at_rest};
use super::image::image;
use super::ledger::Ledger;
use super::place::Place;
use super::writer::Writer;
use super::{Server, Verdict};

/// So many numbers are acknowledged before a backup begins.
const BEFORE: u64 = 50;

/// A server on a volume of its own, with what was acknowledged so far.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Where it lives.
    pub place: &'a Place,
    server: &'a dyn Server,
    image: String,
    /// Its volume, which is the source.
    pub volume: String,
    container: Arc<Container>,
    ledger: Ledger,
    /// The next number; none is said twice.
    next: u64,
}

/// How one cycle went.
#[derive(Debug)]
pub struct Cycle {
    /// What the snapshot says of itself.
    pub consistency: String,
    /// How long writers stood still.
    pub freeze_seconds: f64,
    /// Of the whole backup.
    pub seconds: f64,
    /// How many numbers had to be there.
    pub acknowledged: u64,
    /// What the checker says.
    pub verdict: Verdict,
}

/// How a backup ended that was killed.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// It held somebody, or had told a server something, when it died.
    pub held: bool,
    /// From `backupctl thaw` to the next number that was acknowledged.
    pub seconds: f64,
}

impl<'a> Subject<'a> {
    /// Starts a new server on a new volume with these labels, and loads it.
    pub fn new(place: &'a Place, server: &'a dyn Server, labels: &[(&str, &str)]) -> io::Result<Self> {
        let image = image(&place.docker, server.image())?;
        let volume = place.volume(server.image(), labels)?;
        let container = Arc::new(start(place, server, &image, &volume)?);
        container.serves(server.serves())?.map_err(io::Error::other)?;
        server.load(&container)?;
        Ok(Self { place, server, image, volume, container, ledger: Ledger::default(), next: 1 })
    }

    /// Its container.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Lets somebody write, and waits until that is under way.
    pub fn write(&self) -> io::Result<Writer> {
        let writer = Writer::start(self.server, self.container.clone(), self.ledger.clone(), self.next);
        writer.go_on(BEFORE)?;
        Ok(writer)
    }

    /// Backs up while somebody writes; gives the report of the backup, and what had been acknowledged before it began.
    pub fn back_up(&self, writer: &Writer, args: &[&str]) -> io::Result<(serde_json::Value, Ledger)> {
        let before = writer.ledger();
        let ran = self.place.run(&[&["backup", &self.volume], args].concat())?;
        Ok((ran.done()?.clone(), before))
    }

    /// A whole cycle in this mode.
    pub fn cycle(&mut self, mode: &str) -> io::Result<Cycle> {
        let writer = self.write()?;
        let (done, before) = self.back_up(&writer, &by(mode))?;
        // Writers that were held write again.
        writer.go_on(1)?;
        self.end(writer, before);
        self.destroy()?;
        self.restore()?;
        let verdict = self.start_and_check()?;
        Ok(Cycle {
            consistency: done["consistency"].as_str().unwrap_or_default().to_owned(),
            freeze_seconds: done["freeze_seconds"].as_f64().unwrap_or_default(),
            seconds: done["seconds"].as_f64().unwrap_or_default(),
            acknowledged: self.ledger.count(),
            verdict,
        })
    }

    /// A backup that SIGKILL ends so long after it began, or after it first held the container; then `backupctl thaw`.
    pub fn cut(&self, writer: &Writer, mode: &str, after: Duration, once_held: bool) -> io::Result<Cut> {
        let mut child = self.place.start(&[&["backup", &self.volume], &by(mode)[..]].concat())?;
        while once_held && child.try_wait()?.is_none() && self.container.status()? == "running" {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        let began = Instant::now();
        let thawed = self.place.run(&["thaw"])?;
        let held = thawed.done()?["thawed"].as_array().is_some_and(|thawed| !thawed.is_empty());
        writer.go_on(1)?;
        let seconds = began.elapsed().as_secs_f64();
        match self.container.status()?.as_str() {
            "running" => {}
            status => return Err(io::Error::other(format!("it is {status} after `thaw`: {thawed}"))),
        }
        self.untouched()?.map_err(io::Error::other)?;
        Ok(Cut { held, seconds })
    }

    /// Whether its server is as if there had been no backup. A session ends a moment after whoever began it.
    pub fn untouched(&self) -> io::Result<Verdict> {
        let serves = self.container.serves(self.server.untouched())?;
        Ok(serves.map_err(|why| format!("a backup left something in the server: {why}")))
    }

    /// Nobody writes any more; what a restore must bring back is `before`.
    pub fn end(&mut self, writer: Writer, before: Ledger) {
        self.next = writer.end() + 1;
        self.ledger = before;
    }

    /// Nobody writes any more, and what was written meanwhile need not be there.
    pub fn forget(&mut self, writer: Writer) {
        self.next = writer.end() + 1;
    }

    /// Container and volume are gone.
    pub fn destroy(&self) -> io::Result<()> {
        self.container.destroy()?;
        self.place.docker.remove_volume(&self.volume)
    }

    /// The newest snapshot comes back.
    pub fn restore(&self) -> io::Result<()> {
        self.place.run(&["restore", &self.volume, "--yes"])?.done().map(drop)
    }

    /// A new container on what was restored, and everything that its checkers have to say.
    pub fn start_and_check(&mut self) -> io::Result<Verdict> {
        self.container = Arc::new(start(self.place, self.server, &self.image, &self.volume)?);
        self.check()
    }

    /// What must be there.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything that its checkers have to say, while nobody writes.
    pub fn check(&self) -> io::Result<Verdict> {
        self.check_for(&self.ledger)
    }

    /// The same, with these numbers.
    pub fn check_for(&self, ledger: &Ledger) -> io::Result<Verdict> {
        if let Err(bad) = self.container.serves(self.server.serves())? {
            return Ok(Err(bad));
        }
        if let Err(bad) = self.server.check(&self.container, ledger)? {
            return Ok(Err(bad));
        }
        let Some(line) = self.server.check_at_rest() else { return Ok(Ok(())) };
        self.container.stop()?;
        let bind = format!("{}:{}", self.volume, self.server.at());
        let verdict = at_rest(&self.place.docker, &self.image, &bind, line)?.verdict(line);
        self.container.order("start")?;
        if verdict.is_err() {
            return Ok(verdict);
        }
        self.container.serves(self.server.serves())
    }

    /// The control: a copy of the live volume, in a volume of its own, and what the checkers say of that.
    pub fn naive(&self, writer: &Writer, bytes_per_second: u64) -> io::Result<Verdict> {
        self.copied(|| writer.ledger(), bytes_per_second)
    }

    /// The same of a server that is down, which must be whole: else the copying is to blame for what is bad.
    pub fn naive_at_rest(&self) -> io::Result<Verdict> {
        self.container.stop()?;
        self.copied(|| self.ledger.clone(), u64::MAX)
    }

    fn copied(&self, known: impl FnOnce() -> Ledger, bytes_per_second: u64) -> io::Result<Verdict> {
        let volume = self.place.volume("naive", &[])?;
        let (from, to) = (self.place.files(&self.volume)?, self.place.files(&volume)?);
        // At the last moment: a server may hold back no more than what is newest.
        let before = known();
        super::naive::copy(&from, &to, bytes_per_second)?;
        let container = Arc::new(start(self.place, self.server, &self.image, &volume)?);
        let Self { place, server, .. } = *self;
        let copy = Subject {
            place,
            server,
            image: self.image.clone(),
            volume,
            container,
            ledger: before,
            next: self.next,
        };
        let verdict = copy.check();
        copy.destroy()?;
        verdict
    }

    /// Stops it, spoils a file of it, and judges what is left: a checker that finds nothing is none.
    pub fn spoilt(&self) -> io::Result<Verdict> {
        self.container.stop()?;
        let spoil = self.server.spoil();
        let at = self.server.at();
        let line = format!("cd {at} && {}", spoil.file);
        let bind = format!("{}:{at}", self.volume);
        let file =
            at_rest(&self.place.docker, &self.image, &bind, &line)?.good("look for a file to spoil")?;
        let file = self.place.files(&self.volume)?.join(file.trim());
        let file = fs::File::options().write(true).open(file)?;
        let noise = crate::noise::noise(1, 4096);
        std::os::unix::fs::FileExt::write_all_at(&file, &noise, spoil.at)?;
        self.container.order("start")?;
        self.check()
    }
}

/// Hooks are those of a policy, which says the mode as well.
fn by(mode: &str) -> Vec<&str> {
    if mode == "hooks" { Vec::new() } else { vec!["--consistency", mode] }
}

fn start(place: &Place, server: &dyn Server, image: &str, volume: &str) -> io::Result<Container> {
    let container = Container::create(
        &place.docker,
        &Make {
            image: image.to_owned(),
            name: format!("{volume}-server"),
            binds: vec![format!("{volume}:{}", server.at())],
            environment: server.environment(),
            arguments: server.arguments(),
            stop_signal: server.stop_signal().to_owned(),
            ..Make::default()
        },
    )?;
    container.order("start")?;
    Ok(container)
}
