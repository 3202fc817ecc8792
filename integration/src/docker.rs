//! The Docker engine as an outsider sees it: a few requests over its socket, with none of our adapters in
//! between, so that what a test prepares and finds does not depend on what it tests.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an engine may take to be done with a container whose maker was killed.
const SETTLES: Duration = Duration::from_secs(60);

/// An engine on this machine.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
}

impl Docker {
    /// At `DOCKER_HOST`, or where engines usually are. Only an engine whose files we can reach will do.
    pub fn of_environment() -> io::Result<Self> {
        let host = std::env::var_os("DOCKER_HOST").unwrap_or_default();
        let host = host.to_string_lossy();
        let socket = match host.strip_prefix("unix://") {
            Some(path) => path,
            None if host.is_empty() => "/var/run/docker.sock",
            None => return Err(io::Error::other(format!("`DOCKER_HOST={host}` is not on this machine"))),
        };
        Ok(Self::at(socket))
    }

    /// At this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Its address, as `DOCKER_HOST` would give it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Makes an empty volume and says where its files are.
    pub fn create_volume(&self, name: &str) -> io::Result<PathBuf> {
        let made = self.ask("POST", "/volumes/create", Some(&json!({ "Name": name })))?;
        let place = made["Mountpoint"].as_str().unwrap_or_default();
        if place.is_empty() {
            Err(io::Error::other("volume without a mount point"))
        } else {
            Ok(place.into())
        }
    }

    /// Where the files of a volume are; `None` if there is no such volume.
    pub fn volume(&self, name: &str) -> io::Result<Option<PathBuf>> {
        match self.ask("GET", &format!("/volumes/{name}"), None) {
            Ok(found) => Ok(found["Mountpoint"].as_str().map(PathBuf::from)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The names of all volumes.
    pub fn volumes(&self) -> io::Result<Vec<String>> {
        let listed = self.ask("GET", "/volumes", None)?;
        let volumes = listed["Volumes"].as_array().into_iter().flatten();
        Ok(volumes.filter_map(|volume| volume["Name"].as_str()).map(str::to_owned).collect())
    }

    /// Removes a volume; it may be gone already.
    pub fn remove_volume(&self, name: &str) -> io::Result<()> {
        match self.ask("DELETE", &format!("/volumes/{name}?force=true"), None) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Removes every container and every volume of a test: those with a name that begins so, and the containers
    /// that have such a volume. A program that was killed may have asked for a container that the engine lists
    /// only when it is made, and one that removes itself is in the way until it is gone: both are waited for.
    pub fn clear_away(&self, prefix: &str) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match self.clear_once(prefix) {
                Err(_) if began.elapsed() < SETTLES => std::thread::sleep(Duration::from_millis(100)),
                ended => return ended,
            }
        }
    }

    fn clear_once(&self, prefix: &str) -> io::Result<()> {
        let listed = self.ask("GET", "/containers/json?all=1", None)?;
        for container in listed.as_array().into_iter().flatten() {
            let names = container["Names"].as_array().into_iter().flatten();
            let mounts = container["Mounts"].as_array().into_iter().flatten();
            let mut words = names.chain(mounts.map(|mount| &mount["Name"])).filter_map(Value::as_str);
            if words.any(|word| word.trim_start_matches('/').starts_with(prefix)) {
                self.remove_container(container["Id"].as_str().unwrap_or_default())?;
            }
        }
        let volumes = self.volumes()?;
        volumes.iter().filter(|name| name.starts_with(prefix)).try_for_each(|name| self.remove_volume(name))
    }

    /// Kills and removes a container with its anonymous volumes; it may be gone.
    pub fn remove_container(&self, id: &str) -> io::Result<()> {
        match self.ask("DELETE", &format!("/containers/{id}?force=1&v=1"), None) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Process ids of the running containers that carry a label.
    pub fn processes_with_label(&self, label: &str) -> io::Result<Vec<u32>> {
        // Braces, brackets and quotes have to be escaped in a URL.
        let filter = format!("%7B%22label%22%3A%5B%22{label}%22%5D%7D");
        let listed = self.ask("GET", &format!("/containers/json?filters={filter}"), None)?;
        let ids = listed.as_array().into_iter().flatten().filter_map(|container| container["Id"].as_str());
        let mut found = Vec::new();
        for id in ids {
            // It may have ended since it was listed.
            let Ok(container) = self.ask("GET", &format!("/containers/{id}/json"), None) else { continue };
            let pid = container["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            found.extend(pid.filter(|pid| *pid > 0));
        }
        Ok(found)
    }

    /// Makes an image of a tarball and gives its id.
    pub fn import_image(&self, tarball: &[u8]) -> io::Result<String> {
        let told = self.send("POST", "/images/create?fromSrc=-", "application/x-tar", tarball)?;
        // It tells of its progress, a line each; the last one is the result.
        let last = told.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: Value = serde_json::from_str(last).map_err(io::Error::other)?;
        match last["status"].as_str() {
            Some(id) if id.starts_with("sha256:") => Ok(id.to_owned()),
            _ => Err(io::Error::other(format!("import an image: {last}"))),
        }
    }

    /// Asks anything of the engine's API.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let told = self.send(method, path, "application/json", body.as_bytes())?;
        if told.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&told).map_err(io::Error::other) }
    }

    /// One request of HTTP/1.0, so that the answer ends where the connection does.
    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        // Removing a volume of a million files takes an engine minutes.
        stream.set_read_timeout(Some(Duration::from_secs(600)))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        match status.chars().next() {
            Some('2' | '3') => Ok(body.to_owned()),
            _ if status == "404" => Err(io::Error::new(io::ErrorKind::NotFound, body.trim().to_owned())),
            _ => Err(io::Error::other(format!("{method} {path}: {status} {}", body.trim()))),
        }
    }
}
