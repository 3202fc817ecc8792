//! The stacks that policies are shipped for: brought up, written to, backed up as their policy says, destroyed with
//! containers and volumes, restored, started, judged.
//!
//! A few lines here start what a compose file would; volumes and containers carry compose's labels.

mod concertim;
mod monasca;
mod qis;
mod registry;
mod skyline;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use integration::databases::Server;
use integration::databases::container::{Container, Make};
use integration::databases::image::image;
use integration::databases::ledger::Ledger;
use integration::databases::place::{Place, put_policy};
use integration::databases::writer::Writer;
use serde_json::Value;

/// So many numbers are acknowledged before a backup begins.
const BEFORE: u64 = 50;

/// Where a service has its files.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mount {
    /// In a volume of this name.
    Named(&'static str),
    /// In the anonymous volume of a container that never runs, by `--volumes-from`.
    Data,
    /// In a folder of the host.
    Folder,
}

/// A service with files worth keeping.
pub(crate) struct Part {
    pub(crate) service: &'static str,
    pub(crate) server: Box<dyn Server>,
    pub(crate) mount: Mount,
    /// The shipped policy that has it.
    pub(crate) policy: &'static str,
    container: Option<Arc<Container>>,
    data: Option<Container>,
    ledger: Ledger,
    next: u64,
}

impl Part {
    pub(crate) fn new(
        service: &'static str,
        server: impl Server + 'static,
        mount: Mount,
        policy: &'static str,
    ) -> Self {
        let server = Box::new(server);
        Self {
            service,
            server,
            mount,
            policy,
            container: None,
            data: None,
            ledger: Ledger::default(),
            next: 1,
        }
    }

    pub(crate) fn container(&self) -> &Arc<Container> {
        self.container.as_ref().unwrap()
    }
}

/// A project of services.
pub(crate) struct Stack {
    pub(crate) place: Place,
    pub(crate) parts: Vec<Part>,
}

impl Stack {
    /// With all shipped policies, as a host may have them.
    pub(crate) fn new(project: &str, parts: Vec<Part>) -> Self {
        let place = Place::named(project).unwrap();
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
        Self { place, parts }
    }

    /// The folder of a service that has one.
    pub(crate) fn folder(&self, service: &str) -> PathBuf {
        self.place.at("srv").join(service)
    }

    /// Labels of compose.
    pub(crate) fn labels(&self, service: &str) -> Vec<(String, String)> {
        let label = |name: &str, value: &str| (format!("com.docker.compose.{name}"), value.to_owned());
        vec![label("project", &self.place.name), label("service", service)]
    }

    /// Makes a volume as compose does.
    pub(crate) fn volume(&self, name: &str) -> String {
        let labels =
            [("com.docker.compose.project", self.place.name.as_str()), ("com.docker.compose.volume", name)];
        self.place.volume(name, &labels).unwrap()
    }

    /// Makes the container of a service, and that of its data, and starts neither.
    pub(crate) fn create(&mut self, number: usize) {
        let part = &self.parts[number];
        let (server, service) = (&part.server, part.service);
        let image = image(&self.place.docker, server.image()).unwrap();
        let mut make = Make {
            image,
            name: self.place.called(service),
            environment: server.environment(),
            arguments: server.arguments(),
            stop_signal: server.stop_signal().to_owned(),
            labels: self.labels(service),
            restart: "unless-stopped".to_owned(),
            ..Make::default()
        };
        let mut data = None;
        match part.mount {
            Mount::Named(volume) => make.binds.push(format!("{}:{}", self.place.called(volume), server.at())),
            Mount::Folder => {
                fs::create_dir_all(self.folder(service)).unwrap();
                make.binds.push(format!("{}:{}", self.folder(service).display(), server.at()));
            }
            Mount::Data => {
                let of_data = Make {
                    image: make.image.clone(),
                    name: self.place.called(&format!("{service}-data")),
                    anonymous: vec![server.at().to_owned()],
                    ..Make::default()
                };
                make.volumes_from.push(of_data.name.clone());
                data = Some(Container::create(&self.place.docker, &of_data).unwrap());
            }
        }
        let container = Container::create(&self.place.docker, &make).unwrap();
        let part = &mut self.parts[number];
        part.data = data;
        part.container = Some(Arc::new(container));
    }

    /// Everything runs and is loaded.
    pub(crate) fn up(&mut self) {
        for number in 0..self.parts.len() {
            if let Mount::Named(volume) = self.parts[number].mount {
                self.volume(volume);
            }
            self.create(number);
            let part = &self.parts[number];
            part.container().order("start").unwrap();
            part.container().serves(part.server.serves()).unwrap().unwrap();
            part.server.load(part.container()).unwrap();
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
        let at = match part.mount {
            Mount::Named(volume) => self.place.called(volume),
            Mount::Data | Mount::Folder => format!(":{}", part.server.at()),
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

    /// Writes to all, and backs up each by its policy meanwhile; nobody writes afterwards.
    pub(crate) fn back_up(&mut self) {
        let write = |part: &Part| {
            Writer::start(&*part.server, part.container().clone(), part.ledger.clone(), part.next)
        };
        let writers: Vec<Writer> = self.parts.iter().map(write).collect();
        writers.iter().for_each(|writer| writer.go_on(BEFORE).unwrap());
        let mut ledgers = Vec::new();
        for (part, writer) in self.parts.iter().zip(&writers) {
            ledgers.push(writer.ledger());
            let ran = self.place.run(&["backup", &self.source(part)]).unwrap();
            assert_eq!(ran.done().unwrap()["consistency"], self.consistency(part.policy), "{ran}");
        }
        for writer in &writers {
            writer.go_on(1).unwrap();
        }
        for ((part, writer), ledger) in self.parts.iter_mut().zip(writers).zip(ledgers) {
            part.next = writer.end() + 1;
            part.ledger = ledger;
        }
    }

    /// Containers, volumes and folders are gone.
    pub(crate) fn destroy(&mut self) {
        for number in 0..self.parts.len() {
            self.destroy_one(number);
        }
        let left = self.place.docker.volumes().unwrap();
        let left: Vec<_> = left.iter().filter(|name| name.starts_with(&self.place.name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// The same for one service.
    pub(crate) fn destroy_one(&mut self, number: usize) {
        let folder = self.folder(self.parts[number].service);
        let part = &mut self.parts[number];
        part.container.take().unwrap().destroy().unwrap();
        match part.mount {
            Mount::Named(volume) => self.place.docker.remove_volume(&self.place.called(volume)).unwrap(),
            // With its anonymous volume.
            Mount::Data => part.data.take().unwrap().destroy().unwrap(),
            Mount::Folder => fs::remove_dir_all(folder).unwrap(),
        }
    }

    /// Containers again, and in their volumes what was backed up.
    pub(crate) fn restore(&mut self) {
        for number in 0..self.parts.len() {
            match self.parts[number].mount {
                // The volume comes back as it was made; a container would make another one.
                Mount::Named(volume) => {
                    let volume = self.place.called(volume);
                    self.place.run(&["restore", &volume, "--yes"]).unwrap().done().unwrap();
                    self.create(number);
                }
                Mount::Data | Mount::Folder => {
                    self.create(number);
                    let source = self.source(&self.parts[number]);
                    self.place.run(&["restore", &source, "--yes"]).unwrap().done().unwrap();
                }
            }
        }
    }

    /// Everything starts, and every checker is content.
    pub(crate) fn start_and_check(&self) {
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
        self.destroy();
        self.restore();
        self.start_and_check();
        assert_eq!(self.place.helpers().unwrap(), Vec::<u32>::new());
    }
}

impl Drop for Stack {
    /// Containers before what they have mounted.
    fn drop(&mut self) {
        for part in &mut self.parts {
            part.container = None;
            part.data = None;
        }
    }
}
