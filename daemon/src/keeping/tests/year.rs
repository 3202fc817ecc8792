//! A year alone with a host: 366 days in which it is switched off, dies in the middle, loses its store, may not
//! delete, and is told wrong times by its clock; in the end there are exactly the snapshots that the policies say.
//!
//! Everything is real but the clock, the engine and the store. What must come of it is worked out in `oracle`, from
//! `fleet`, by counting; only the delay of a policy is asked of the code, for it is a hash.

mod events;
mod fleet;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use engine::catalog::Filter;
use engine::port::store::StoreErrorKind;
use engine::testing::calls::{CallLog, When};
use engine::testing::faulty_store::{Effect, Fault, FaultyStore, Verb};
use engine::usecase::recover::recover;
use engine::usecase::verify::{VerifyRequest, verify};
use policies::schedule::{Due, Standing, decide};

use self::events::{Change, Dice, changes};
use self::fleet::{Job, fleet};
use self::oracle::{History, Lineage, Piece, Weather};
use super::*;

struct Year {
    world: World,
    log: Arc<CallLog>,
    store: FaultyStore,
    up: Option<Up>,
    /// The time that it really is.
    real: Timestamp,
    ahead: SignedDuration,
    /// The next run is cut off.
    deadly: bool,
    calm: bool,
    dice: Dice,
    history: History,
}

/// A process.
struct Up {
    host: Arc<Host>,
    keeping: Keeping,
    since: Timestamp,
    began: Timestamp,
}

impl Year {
    async fn begin(seed: u64) -> Self {
        // In memory where that is: what is written through to a disk is not what is looked at here.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let world = World::inside(dir.unwrap());
        for job in fleet() {
            world.policy(&format!("{}.toml", job.name), &job.text());
            for volume in job.volumes {
                world.volume(volume).await;
            }
        }
        let log = CallLog::recording();
        let store = FaultyStore::new(Arc::new(world.store.clone()), Arc::clone(&log), Vec::new());
        let history = History { pieces: Vec::new(), weather: Vec::new() };
        let real = "2028-01-01T00:00:00Z".parse().unwrap();
        let (ahead, dice) = (SignedDuration::ZERO, Dice::new(seed));
        let (deadly, calm) = (false, true);
        Self { world, log, store, up: None, real, ahead, deadly, calm, dice, history }
    }

    fn shown(&self) -> Timestamp {
        self.real + self.ahead
    }

    async fn start(&mut self) {
        self.world.clock.set(self.shown());
        // A process has a log of its own, for the last one may have died.
        self.log = CallLog::recording();
        self.store = FaultyStore::new(Arc::new(self.world.store.clone()), Arc::clone(&self.log), Vec::new());
        if let Some((.., weather)) = self.history.weather.iter().find(|(_, to, _)| *to == Timestamp::MAX) {
            brew(&self.store, *weather);
        }
        let host = self.world.host_at(Arc::new(self.store.clone())).await;
        let keeping = self.world.keeping_of(Arc::clone(&host));
        assert_eq!(keeping.trouble(), None);
        self.up = Some(Up { host, keeping, since: self.real, began: self.shown() });
    }

    /// Ends the piece that is on, if one is; the process stays.
    fn end_piece(&mut self) {
        if let Some(up) = &mut self.up {
            let piece = Piece {
                from: up.since,
                to: self.real,
                ahead: self.ahead,
                began: up.began,
                cut: BTreeMap::new(),
            };
            self.history.pieces.push(piece);
            up.since = self.real;
        }
    }

    /// The process does what it does until that moment, without this moment itself.
    async fn pass_until(&mut self, moment: Timestamp) {
        while self.real < moment {
            let until = if self.up.is_some() { self.turn().await } else { None };
            let next = until.map_or(moment, |until| until - self.ahead);
            self.real = self.real.max(next.min(moment));
            self.world.clock.set(self.shown());
        }
    }

    /// One look and all turns of a moment, as the service's loop does them; gives when to turn next.
    async fn turn(&mut self) -> Option<Timestamp> {
        if self.dice.below(9) == 0 {
            let all = fleet();
            let job = &all[self.dice.of(all.len())];
            let folder = self.world.docker.volume_folder(job.volumes[0]);
            write(&folder.join("file"), &format!("{} {}", job.name, self.real));
        }
        let up = self.up.as_mut().unwrap();
        recover(&up.host, &Logged::new(Arc::default())).await.unwrap();
        up.keeping.look().await.unwrap();
        up.keeping.turn().unwrap();
        if self.deadly && self.calm && !up.keeping.busy.is_empty() {
            self.die().await;
            return Some(self.world.clock.now());
        }
        loop {
            while !up.keeping.busy.is_empty() {
                up.keeping.one_ended().await;
            }
            let until = up.keeping.turn().unwrap();
            if up.keeping.busy.is_empty() && until.is_none_or(|until| until > self.world.clock.now()) {
                return until;
            }
        }
    }

    /// The host loses its power somewhere in the runs that are on, and comes back.
    async fn die(&mut self) {
        let last = self.log.count() + self.dice.below(60);
        for _ in 0..200 {
            if self.log.count() >= last {
                break;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        self.log.kill();
        self.deadly = false;
        self.end_piece();
        let cut: Vec<_> = self.up.take().unwrap().keeping.busy.keys().map(ToString::to_string).collect();
        // Tasks that were dropped end when their runtime comes to it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.real += SignedDuration::from_secs(30);
        self.start().await;
        let host = Arc::clone(&self.up.as_ref().unwrap().host);
        recover(&host, &Logged::new(Arc::default())).await.unwrap();
        for source in cut {
            let found = found(&self.world.store, &host, &source).await;
            self.history.pieces.last_mut().unwrap().cut.insert(source, found);
        }
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Stop => {
                self.end_piece();
                if let Some(mut up) = self.up.take() {
                    up.keeping.stop().await;
                }
            }
            Change::Start => self.start().await,
            Change::Clock(ahead) => {
                self.end_piece();
                self.ahead = ahead;
                self.world.clock.set(self.shown());
            }
            Change::Weather(weather) => {
                self.calm = false;
                brew(&self.store, weather);
                self.history.weather.push((self.real, Timestamp::MAX, weather));
            }
            Change::Clear => {
                self.calm = true;
                self.store.heal();
                let open = self.history.weather.iter_mut().find(|(_, to, _)| *to == Timestamp::MAX);
                open.unwrap().1 = self.real;
            }
            Change::Death => self.deadly = true,
        }
    }
}

fn brew(store: &FaultyStore, weather: Weather) {
    match weather {
        Weather::NoDeletes => store.deny_deletes(),
        Weather::Down => {
            let gone = Effect::Fail(When::Before, StoreErrorKind::Unavailable);
            let reads = [Verb::Get, Verb::GetRange, Verb::Head, Verb::List, Verb::Folders, Verb::Conditions];
            let writes = [Verb::Put, Verb::Begin, Verb::Delete, Verb::OpenUploads, Verb::AbortUpload];
            reads.into_iter().chain(writes).for_each(|verb| store.add(Fault::always(verb, gone)));
        }
    }
}

/// What there is of a source: which, as the store lists it; when, as the catalog remembers it.
async fn found(store: &MemoryStore, host: &Host, source: &str) -> Lineage {
    let wanted = engine::usecase::snapshots::Wanted {
        host: engine::usecase::snapshots::WantedHost::This,
        source: Some(source.parse().unwrap()),
        deleted: true,
    };
    engine::usecase::snapshots::snapshots(host, &wanted).await.unwrap();
    let filter = Filter { source: Some(source.parse().unwrap()), deleted: true, ..Filter::default() };
    let rows = host.catalog().snapshots(&filter).unwrap();
    let mut lineage = Lineage::default();
    let keys = store.snapshot();
    for row in &rows {
        let number = row.key.number.get();
        let live = keys.contains_key(&format!("h1/{source}/{number:08}.manifest"));
        if live {
            lineage.live.insert(number, row.taken_at);
        } else {
            let at = row.deleted_at.unwrap_or_else(|| panic!("{source}@{number} of {:?}", keys.keys()));
            lineage.deleted.insert(number, (row.taken_at, at));
        }
    }
    let listed = keys.keys().filter(|key| {
        key.strip_prefix(&format!("h1/{source}/")).is_some_and(|name| name.ends_with(".manifest"))
    });
    let listed: BTreeSet<&str> = listed.map(|key| key.rsplit('/').next().unwrap()).collect();
    assert_eq!(listed.len(), rows.len(), "{source}: {listed:?}");
    lineage
}

/// How long after its slots a policy begins on this host.
fn delay(keeping: &Keeping, job: &Job) -> SignedDuration {
    let known = keeping.jobs();
    let known = known.iter().find(|known| known.policy == job.name).unwrap();
    let now = "2028-06-01T12:00:00Z".parse().unwrap();
    let standing = Standing { dealt_with: now, watching_since: now, running: false };
    let due = decide(&known.schedule, &known.zone, known.jitter, now, &standing);
    let Due::Wait { until, slot } = due else { panic!("{due:?}") };
    let delay = until.duration_since(slot);
    let most = SignedDuration::from_mins(job.jitter_minutes.max(1));
    assert!(!delay.is_negative() && delay < most, "{}: {delay}", job.name);
    delay
}

async fn live_through(seed: u64) {
    let mut year = Year::begin(seed).await;
    year.start().await;
    let first = year.real;
    let end = first + SignedDuration::from_hours(366 * 24);
    for (moment, change) in changes(&mut year.dice, first) {
        year.pass_until(moment).await;
        year.change(change).await;
    }
    year.pass_until(end).await;
    year.end_piece();

    let up = year.up.take().unwrap();
    let lines = runs(&up.host, 100_000).unwrap();
    assert!(lines.iter().all(|line| line.ended_at.is_some()), "seed {seed}: a run has no end");
    let mut total = 0;
    for job in fleet() {
        let delay = delay(&up.keeping, &job);
        for source in job.volumes {
            let what = format!("seed {seed}, `{source}`");
            let begun = year.history.runs(&job, source, delay);
            let mut want: Vec<_> = begun.iter().map(|run| run.shown).collect();
            let backups = lines.iter().filter(|line| line.source == *source && line.verb == "backup");
            let mut got: Vec<_> = backups.map(|line| line.began_at).collect();
            want.sort_unstable();
            got.sort_unstable();
            let first_odd = want.iter().zip(&got).find(|(want, got)| want != got);
            let same = first_odd.is_none() && want.len() == got.len();
            assert!(same, "{what}: {} runs began, not {}; first {first_odd:?}", got.len(), want.len());
            let want = year.history.lineage(&job, source, delay);
            let got = found(&year.world.store, &up.host, source).await;
            assert_eq!(got, want, "{what}");
            total += begun.len();
        }
    }
    let health = up.keeping.health().unwrap();
    assert!(health.iter().all(|health| !health.is_alarming()), "seed {seed}: {health:?}");
    let leftovers = year.world.docker.leftovers().await.unwrap();
    assert!(leftovers.is_empty(), "seed {seed}: {leftovers:?}");
    let uploads = year.world.store.open_uploads("").await.unwrap();
    assert!(uploads.is_empty(), "seed {seed}: {uploads:?}");
    let all = VerifyRequest { names: Vec::new(), quick: false };
    let report = verify(&up.host, &all, &Logged::new(Arc::default())).await.unwrap();
    assert!(report.damaged.is_empty(), "seed {seed}: {:?}", report.damaged);
    assert!(total > 1000, "seed {seed}: a dull year");
}

#[tokio::test]
async fn a_year_alone() {
    live_through(1).await;
}

#[tokio::test]
async fn another_year() {
    live_through(2).await;
}

#[tokio::test]
async fn one_more_year() {
    live_through(3).await;
}

#[tokio::test]
#[ignore = "takes as many minutes: for who changed schedules or retention"]
async fn a_score_of_years() {
    for seed in 4..24 {
        live_through(seed).await;
    }
}
