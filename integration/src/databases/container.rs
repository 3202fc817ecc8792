//! A container of a server: made, asked, ended, gone with its handle. Every call is bounded.
//!
//! Programs inside are started with Docker's own command line, as people do it, and not with the code under test.

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Verdict;
use crate::docker::Docker;

/// No program that is asked for something takes longer.
const PATIENCE_SECONDS: u32 = 300;

/// No server takes longer to serve, or to end.
const START: Duration = Duration::from_secs(120);
const END_SECONDS: u32 = 120;

/// `docker` on this engine, ended after so many seconds.
pub(super) fn bounded(docker: &Docker, seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string(), "docker", "-H", &docker.host()]);
    command
}

/// What a program said that has ended.
#[derive(Debug)]
pub struct Said {
    /// How: 124 if it took too long.
    pub status: i32,
    /// On stdout.
    pub stdout: String,
    /// On stderr.
    pub stderr: String,
}

impl Said {
    /// What it said on stdout, if it ended well.
    pub fn good(self, what: &str) -> io::Result<String> {
        let Self { status, stdout, stderr } = self;
        if status == 0 {
            Ok(stdout)
        } else {
            Err(io::Error::other(format!("{what}: status {status}: {stderr}{stdout}")))
        }
    }

    /// As the word of a checker.
    pub fn verdict(self, checker: &str) -> Verdict {
        let end = |text: &str| {
            let skipped = text.chars().count().saturating_sub(1000);
            text.chars().skip(skipped).collect::<String>()
        };
        if self.status == 0 {
            return Ok(());
        }
        Err(format!("{checker}: status {}: {}{}", self.status, end(&self.stdout), end(&self.stderr)))
    }
}

/// Runs a program to its end, with this on its stdin.
pub(super) fn run(mut command: Command, input: &str) -> io::Result<Said> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // One that ends early does not hear all of it; its status says the rest.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = output.status.code().unwrap_or(-1);
    Ok(Said { status, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// How a container is made.
#[derive(Debug, Clone, Default)]
pub struct Make {
    /// Of what.
    pub image: String,
    /// Its name.
    pub name: String,
    /// `volume:/at` or `/folder:/at`.
    pub binds: Vec<String>,
    /// Where volumes without a name are mounted.
    pub anonymous: Vec<String>,
    /// Containers whose mounts it has too.
    pub volumes_from: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// After the image's entry point.
    pub arguments: Vec<String>,
    /// `name=value`.
    pub labels: Vec<(String, String)>,
    /// What asks it to end.
    pub stop_signal: String,
    /// `always` and the like; none if empty.
    pub restart: String,
    /// In place of the image's entry point, if it says anything.
    pub program: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Container {
    docker: Docker,
    // Another one may bear its name by the time this handle goes.
    id: String,
    /// Its name.
    pub name: String,
}

impl Container {
    /// Makes it, and does not start it.
    pub fn create(docker: &Docker, make: &Make) -> io::Result<Self> {
        let labels: serde_json::Map<String, Value> =
            make.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let anonymous: serde_json::Map<String, Value> =
            make.anonymous.iter().map(|at| (at.clone(), json!({}))).collect();
        let mut body = json!({
            "Image": make.image,
            "Cmd": make.arguments,
            "Env": make.environment,
            "Labels": labels,
            "Volumes": anonymous,
            "HostConfig": {
                "NetworkMode": "none",
                "Binds": make.binds,
                "VolumesFrom": make.volumes_from,
                "RestartPolicy": { "Name": make.restart },
            },
        });
        if !make.program.is_empty() {
            body["Entrypoint"] = json!(make.program);
        }
        if !make.stop_signal.is_empty() {
            body["StopSignal"] = json!(make.stop_signal);
        }
        let made = docker.ask("POST", &format!("/containers/create?name={}", make.name), Some(&body))?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        Ok(Self { docker: docker.clone(), id, name: make.name.clone() })
    }

    /// `start`, `pause`, `unpause`, `kill`.
    pub fn order(&self, what: &str) -> io::Result<()> {
        self.docker.ask("POST", &format!("/containers/{}/{what}", self.id), None).map(drop)
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&self) -> io::Result<()> {
        self.order(&format!("stop?t={END_SECONDS}"))
    }

    /// All that the engine knows.
    pub fn inspect(&self) -> io::Result<Value> {
        self.docker.ask("GET", &format!("/containers/{}/json", self.id), None)
    }

    /// `running`, `exited`, `paused`.
    pub fn status(&self) -> io::Result<String> {
        Ok(self.inspect()?["State"]["Status"].as_str().unwrap_or_default().to_owned())
    }

    /// Runs a program inside it to its end.
    pub fn exec(&self, argv: &[&str], input: &str) -> io::Result<Said> {
        let mut command = bounded(&self.docker, PATIENCE_SECONDS);
        command.args(["exec", "-i", &self.id]).args(argv);
        run(command, input)
    }

    /// The same for a line of its shell.
    pub fn shell(&self, line: &str) -> io::Result<Said> {
        self.exec(&["bash", "-c", line], "")
    }

    /// Starts a program inside it that is talked to. It ends with its container, or with its input.
    pub fn talk(&self, argv: &[&str]) -> io::Result<Child> {
        let mut command = Command::new("docker");
        command.args(["-H", &self.docker.host(), "exec", "-i", &self.id]).args(argv);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }

    /// Waits until this line ends well; a server that ends before, or never serves, is a bad verdict.
    pub fn serves(&self, line: &str) -> io::Result<Verdict> {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < START {
            let said = self.shell(line)?;
            if said.status == 0 {
                return Ok(Ok(()));
            }
            last = said.stderr;
            if self.status()? != "running" {
                return Ok(Err(format!("it ended instead of serving: {}", self.last_words()?)));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Err(format!("it does not serve: {last}{}", self.last_words()?)))
    }

    /// The end of what it logged.
    pub fn last_words(&self) -> io::Result<String> {
        let mut command = bounded(&self.docker, PATIENCE_SECONDS);
        command.args(["logs", "--tail", "15", &self.id]);
        let said = run(command, "")?;
        Ok(format!("{}{}", said.stdout, said.stderr))
    }

    /// Kills and removes it with its anonymous volumes; it may be gone.
    pub fn destroy(&self) -> io::Result<()> {
        self.docker.remove_container(&self.id)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // What cannot be removed here is named when its place is cleared.
        drop(self.destroy());
    }
}

/// Runs a line of a shell on a volume whose server is down.
pub fn at_rest(docker: &Docker, image: &str, bind: &str, line: &str) -> io::Result<Said> {
    let mut command = bounded(docker, PATIENCE_SECONDS);
    command.args(["run", "--rm", "--network", "none", "--log-driver", "none", "-v", bind]);
    command.args(["--entrypoint", "bash", image, "-c", line]);
    run(command, "")
}
