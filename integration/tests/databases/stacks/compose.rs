//! The compose files of the stacks, and what containers they ask for.
//!
//! Always true: whatever of the format a file uses and this does not know is an error, so nothing of a file is left out in
//! silence; and docker-compose itself understands each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::databases::container::Make;
use integration::databases::image::image;
use integration::databases::place::Place;
use serde::Deserialize;

/// How the images of `setup/images` are named there.
const IMAGES: &str = "backupd-test-";

/// By the library that docker-compose reads them with, which spares us one of our own.
const TO_JSON: &str = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compose {
    pub(crate) services: BTreeMap<String, Service>,
    /// None of them has settings.
    #[serde(default)]
    pub(crate) volumes: BTreeMap<String, Option<NoSettings>>,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoSettings {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    image: String,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    volumes_from: Vec<String>,
    #[serde(default)]
    restart: String,
    #[serde(default)]
    stop_signal: String,
    network_mode: NetworkMode,
}

/// Servers of tests have none.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NetworkMode {
    None,
}

/// Where a service has its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mount {
    /// In a volume of this name.
    Named(String),
    /// In the anonymous volume of this service, which serves nothing itself.
    Data(String),
    /// In this folder of the project.
    Folder(String),
}

fn file(stack: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks").join(format!("{stack}.yaml"))
}

impl Compose {
    /// That of a stack.
    #[track_caller]
    pub(crate) fn of(stack: &str) -> Self {
        let done = Command::new("/usr/bin/python3").args(["-c", TO_JSON]).arg(file(stack)).output().unwrap();
        assert!(done.status.success(), "{stack}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap_or_else(|why| panic!("{stack}: {why}"))
    }

    #[track_caller]
    fn service(&self, name: &str) -> &Service {
        self.services.get(name).unwrap_or_else(|| panic!("no service `{name}`"))
    }

    /// Where a service has its files, which is one place, and that one.
    #[track_caller]
    pub(crate) fn mount(&self, name: &str, at: &str) -> Mount {
        let service = self.service(name);
        if let [data] = &service.volumes_from[..] {
            assert_eq!(self.service(data).volumes, [at], "`{data}`");
            return Mount::Data(data.clone());
        }
        let [volume] = &service.volumes[..] else { panic!("`{name}` has {:?}", service.volumes) };
        let (from, to) = volume.split_once(':').unwrap();
        assert_eq!(to, at, "`{name}`");
        match from.strip_prefix("./") {
            Some(folder) => Mount::Folder(folder.to_owned()),
            None => Mount::Named(from.to_owned()),
        }
    }

    /// The container of a service, named by its project, with compose's labels; folders lie in this one.
    #[track_caller]
    pub(crate) fn make(&self, name: &str, place: &Place, folders: &Path) -> Make {
        let service = self.service(name);
        let of_tests = service.image.strip_prefix(IMAGES).unwrap();
        let label = |name: &str, value: &str| (format!("com.docker.compose.{name}"), value.to_owned());
        let mut make = Make {
            image: image(&place.docker, of_tests).unwrap(),
            name: place.called(name),
            program: service.entrypoint.clone(),
            arguments: service.command.clone(),
            environment: service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            volumes_from: service.volumes_from.iter().map(|other| place.called(other)).collect(),
            restart: service.restart.clone(),
            stop_signal: service.stop_signal.clone(),
            labels: vec![label("project", &place.name), label("service", name)],
            ..Make::default()
        };
        let NetworkMode::None = service.network_mode;
        for volume in &service.volumes {
            match volume.split_once(':') {
                None => make.anonymous.push(volume.clone()),
                Some((from, to)) => make.binds.push(match from.strip_prefix("./") {
                    Some(folder) => format!("{}:{to}", folders.join(folder).display()),
                    None => {
                        assert!(self.volumes.contains_key(from), "`{name}`: no volume `{from}`");
                        format!("{}:{to}", place.called(from))
                    }
                }),
            }
        }
        make
    }
}

#[test]
fn docker_compose_understands_the_files_of_all_stacks() {
    let folder = file("x").parent().unwrap().to_owned();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut services = BTreeMap::new();
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let done = Command::new("docker-compose")
            .args(["--file", path.to_str().unwrap(), "config", "--services"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{name}: {said}");
        let mut listed: Vec<String> =
            String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect();
        listed.sort();
        let ours: Vec<String> = Compose::of(&name).services.into_keys().collect();
        assert_eq!(listed, ours, "{name}");
        services.insert(name, ours.len());
    }
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["concertim", "monasca", "qis", "registry", "skyline"]);
}
