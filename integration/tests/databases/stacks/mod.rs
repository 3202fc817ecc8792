//! The stacks that policies are shipped for: brought up, written to, backed up as their policy says, destroyed with
//! containers and volumes, restored, started, judged.
//!
//! What they are stands in the compose files of `integration/stacks`. A few lines here start what these say, each stack
//! under a project name of its own; volumes and containers carry compose's labels.

mod compose;
mod concertim;
mod monasca;
mod qis;
mod registry;
mod skyline;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use integration::databases::Server;
use integration::databases::container::Container;
use integration::databases::ledger::Ledger;
use integration::databases::place::{Place, put_policy};
use integration::databases::writer::Writer;
use serde_json::Value;

use self::compose::{Compose, Mount};

/// So many numbers are acknowledged before a backup begins.
const BEFORE: u64 = 50;

/// A service with files worth keeping.
pub(crate) struct Part {
    pub(crate) service: &'static str,
    /// How it is filled, written to and judged.
    pub(crate) server: Box<dyn Server>,
    /// The shipped policy that has it.
    pub(crate) policy: &'static str,
    container: Option<Arc<Container>>,
    ledger: Ledger,
    next: u64,
}

impl Part {
    pub(crate) fn new(service: &'static str, server: impl Server + 'static, policy: &'static str) -> Self {
        let server = Box::new(server);
        Self { service, server, policy, container: None, ledger: Ledger::default(), next: 1 }
    }

    pub(crate) fn container(&self) -> &Arc<Container> {
        self.container.as_ref().unwrap()
    }
}

/// A project of services.
pub(crate) struct Stack {
    pub(crate) place: Place,
    compose: Compose,
    pub(crate) parts: Vec<Part>,
    /// The containers of all other services.
    others: BTreeMap<String, Container>,
}

impl Stack {
    /// That of the compose file of this name, with all shipped policies, as a host may have them.
    pub(crate) fn new(name: &str, parts: Vec<Part>) -> Self {
        let (place, compose) = (Place::named(name).unwrap(), Compose::of(name));
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
        for entry in fs::read_dir(shipped).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "toml") && !path.ends_with("Cargo.toml") {
                put_policy(&place, &path).unwrap();
            }
        }
        let folders = place.at("srv");
        fs::create_dir(&folders).unwrap();
        place.write("backupd.toml", &format!("folders = [\"{}\"]\n", folders.display())).unwrap();
        Self { place, compose, parts, others: BTreeMap::new() }
    }

    /// Where the folders of the project are.
    fn folders(&self) -> PathBuf {
        self.place.at("srv")
    }

    fn mount(&self, part: &Part) -> Mount {
        self.compose.mount(part.service, part.server.at())
    }

    /// Makes a volume as compose does, which leaves one that is there as it is.
    fn volume(&self, name: &str) {
        let labels =
            [("com.docker.compose.project", self.place.name.as_str()), ("com.docker.compose.volume", name)];
        self.place.volume(name, &labels).unwrap();
    }

    /// The container of a service that is no part. It stays as it was made.
    fn create_other(&mut self, service: &str) {
        let make = self.compose.make(service, &self.place, &self.folders());
        let container = Container::create(&self.place.docker, &make).unwrap();
        self.others.insert(service.to_owned(), container);
    }

    /// One of those.
    #[track_caller]
    pub(crate) fn other(&self, service: &str) -> &Container {
        &self.others[service]
    }

    /// Those that have no container at this moment.
    fn missing_others(&self) -> Vec<String> {
        let is_other = |service: &&String| self.parts.iter().all(|part| part.service != **service);
        let services = self.compose.services.keys().filter(is_other);
        services.filter(|service| !self.others.contains_key(*service)).cloned().collect()
    }

    /// Makes the container of a part, and that of its data if there is none, and starts neither.
    pub(crate) fn create(&mut self, number: usize) {
        let part = &self.parts[number];
        let service = part.service;
        match self.mount(part) {
            Mount::Named(_) => {}
            Mount::Folder(folder) => fs::create_dir_all(self.folders().join(folder)).unwrap(),
            Mount::Data(data) if self.others.contains_key(&data) => {}
            Mount::Data(data) => self.create_other(&data),
        }
        let make = self.compose.make(service, &self.place, &self.folders());
        let container = Container::create(&self.place.docker, &make).unwrap();
        self.parts[number].container = Some(Arc::new(container));
    }

    /// Everything runs, or has run that ends at once, and is loaded.
    pub(crate) fn up(&mut self) {
        self.compose.volumes.keys().for_each(|volume| self.volume(volume));
        self.start_others();
        for number in 0..self.parts.len() {
            self.create(number);
            let part = &self.parts[number];
            part.container().order("start").unwrap();
            part.container().serves(part.server.serves()).unwrap().unwrap();
            part.server.load(part.container()).unwrap();
        }
    }

    fn start_others(&mut self) {
        for service in self.missing_others() {
            self.create_other(&service);
            self.other(&service).order("start").unwrap();
        }
    }

    /// The sources of this project, as `backupctl volumes` lists them.
    pub(crate) fn listed(&self) -> Vec<Value> {
        let listed = self.place.run(&["volumes"]).unwrap();
        let rows = listed.events.first().and_then(Value::as_array).cloned().unwrap_or_default();
        let ours =
            |row: &Value| row["source"].as_str().is_some_and(|name| name.starts_with(&self.place.name));
        rows.into_iter().filter(ours).collect()
    }

    /// The source that this policy protects.
    #[track_caller]
    pub(crate) fn source(&self, part: &Part) -> String {
        let rows = self.listed();
        let at = match self.mount(part) {
            Mount::Named(volume) => self.place.called(&volume),
            Mount::Data(_) | Mount::Folder(_) => format!(":{}", part.server.at()),
        };
        let is_it = |row: &&Value| {
            row["policy"] == part.policy && row["source"].as_str().is_some_and(|name| name.ends_with(&at))
        };
        let row =
            rows.iter().find(is_it).unwrap_or_else(|| panic!("no source for `{}`: {rows:?}", part.policy));
        assert_eq!(row["verdict"], "protected", "{row}");
        row["source"].as_str().unwrap().to_owned()
    }

    /// What snapshots of this policy call themselves.
    fn consistency(&self, policy: &str) -> String {
        let shown = self.place.run(&["policy", "show", policy]).unwrap();
        match shown.events[0]["mode"].as_str().unwrap() {
            "pause" => "paused".to_owned(),
            "stop" => "stopped".to_owned(),
            mode => mode.to_owned(),
        }
    }

    /// Each by its policy, while all are written to.
    pub(crate) fn back_up(&mut self) {
        self.while_written(Self::one_by_one);
    }

    /// All of them at one moment, as the policy that they share says.
    pub(crate) fn back_up_set(&mut self) {
        self.while_written(Self::by_project);
        self.assert_one_set();
    }

    /// Writes to all while they are backed up, which gives what was acknowledged before; nobody writes afterwards.
    fn while_written(&mut self, back_up: impl FnOnce(&Self, &[Writer]) -> Vec<Ledger>) {
        let write = |part: &Part| {
            Writer::start(&*part.server, part.container().clone(), part.ledger.clone(), part.next)
        };
        let writers: Vec<Writer> = self.parts.iter().map(write).collect();
        writers.iter().for_each(|writer| writer.go_on(BEFORE).unwrap());
        let ledgers = back_up(self, &writers);
        for writer in &writers {
            writer.go_on(1).unwrap();
        }
        for ((part, writer), ledger) in self.parts.iter_mut().zip(writers).zip(ledgers) {
            part.next = writer.end() + 1;
            part.ledger = ledger;
        }
    }

    fn one_by_one(&self, writers: &[Writer]) -> Vec<Ledger> {
        let mut ledgers = Vec::new();
        for (part, writer) in self.parts.iter().zip(writers) {
            ledgers.push(writer.ledger());
            let ran = self.place.run(&["backup", &self.source(part)]).unwrap();
            assert_eq!(ran.done().unwrap()["consistency"], self.consistency(part.policy), "{ran}");
        }
        ledgers
    }

    /// Not by the name of the policy: on this engine it may have sources of others too, and those are not ours to hold.
    fn by_project(&self, writers: &[Writer]) -> Vec<Ledger> {
        let ledgers = writers.iter().map(Writer::ledger).collect();
        self.place.run(&["backup", "--project", &self.place.name]).unwrap().done().unwrap();
        ledgers
    }

    /// There is one snapshot of each part and no other, and they are of one set.
    #[track_caller]
    fn assert_one_set(&self) {
        let listed = self.place.run(&["snapshots"]).unwrap();
        let rows = listed.events[0].as_array().unwrap();
        assert_eq!(rows.len(), self.parts.len(), "{rows:?}");
        let set = rows[0]["set"].as_str().unwrap();
        for part in &self.parts {
            let source = self.source(part);
            let row = rows.iter().find(|row| row["source"] == source.as_str()).unwrap();
            assert_eq!(row["set"], set, "{rows:?}");
            assert_eq!(row["consistency"], self.consistency(part.policy), "{row}");
        }
    }

    /// Containers, volumes and folders are gone.
    pub(crate) fn destroy(&mut self) {
        for number in 0..self.parts.len() {
            self.destroy_one(number);
        }
        std::mem::take(&mut self.others).values().for_each(|other| other.destroy().unwrap());
        let left = self.place.docker.volumes().unwrap();
        let left = left.into_iter().filter(|name| name.starts_with(&self.place.name));
        let volumes: Vec<String> = self.compose.volumes.keys().map(|name| self.place.called(name)).collect();
        let (of_others, left): (Vec<_>, Vec<_>) = left.partition(|name| volumes.contains(name));
        of_others.iter().for_each(|volume| self.place.docker.remove_volume(volume).unwrap());
        assert!(left.is_empty(), "{left:?}");
    }

    /// The same for one part.
    pub(crate) fn destroy_one(&mut self, number: usize) {
        let mount = self.mount(&self.parts[number]);
        self.parts[number].container.take().unwrap().destroy().unwrap();
        match mount {
            Mount::Named(volume) => self.place.docker.remove_volume(&self.place.called(&volume)).unwrap(),
            // With its anonymous volume.
            Mount::Data(data) => self.others.remove(&data).unwrap().destroy().unwrap(),
            Mount::Folder(folder) => fs::remove_dir_all(self.folders().join(folder)).unwrap(),
        }
    }

    /// Containers again, and in their volumes what was backed up.
    pub(crate) fn restore(&mut self) {
        for number in 0..self.parts.len() {
            match self.mount(&self.parts[number]) {
                // The volume comes back as it was made; a container would make another one.
                Mount::Named(volume) => {
                    let volume = self.place.called(&volume);
                    self.place.run(&["restore", &volume, "--yes"]).unwrap().done().unwrap();
                    self.create(number);
                }
                Mount::Data(_) | Mount::Folder(_) => {
                    self.create(number);
                    let source = self.source(&self.parts[number]);
                    self.place.run(&["restore", &source, "--yes"]).unwrap().done().unwrap();
                }
            }
        }
    }

    /// Everything starts, with new volumes where no policy keeps what was in them, and every checker is content.
    pub(crate) fn start_and_check(&mut self) {
        self.compose.volumes.keys().for_each(|volume| self.volume(volume));
        self.start_others();
        for part in &self.parts {
            part.container().order("start").unwrap();
        }
        for number in 0..self.parts.len() {
            self.check(number);
        }
    }

    /// One that was started.
    pub(crate) fn check(&self, number: usize) {
        let part = &self.parts[number];
        part.container().serves(part.server.serves()).unwrap().unwrap();
        let verdict = part.server.check(part.container(), &part.ledger).unwrap();
        assert_eq!(verdict, Ok(()), "`{}` of `{}`", part.service, self.place.name);
        assert!(part.ledger.count() >= BEFORE, "{}", part.ledger);
    }

    /// All of it.
    pub(crate) fn prove(&mut self) {
        self.back_up();
        self.come_back();
    }

    /// What was backed up is destroyed, and comes back.
    pub(crate) fn come_back(&mut self) {
        self.destroy();
        self.restore();
        self.start_and_check();
        assert_eq!(self.place.helpers().unwrap(), Vec::<u32>::new());
    }
}

impl Drop for Stack {
    /// Containers before what they have mounted.
    fn drop(&mut self) {
        self.parts.iter_mut().for_each(|part| part.container = None);
        self.others.clear();
    }
}
