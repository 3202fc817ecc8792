//! What a command costs: wall time, and the most memory that its processes held.
//!
//! Memory is the sum, over all processes that the command started and all helper containers that ran
//! meanwhile, of the most that each held at any time (`VmHWM`). The kernel keeps that figure, so looking now
//! and then misses nothing but processes that live for less than a look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::docker::Docker;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often a look is taken for something that is to happen.
const WATCH_EVERY: Duration = Duration::from_millis(2);

/// A whole command takes no longer, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What one command cost.
#[derive(Debug, Clone)]
pub struct Cost {
    /// From its start to its end.
    pub wall: Duration,
    /// The sum of peaks.
    pub peak_bytes: u64,
    /// Its standard output.
    pub out: String,
}

/// Runs a command to its end; an exit status other than zero is an error with what it said.
pub fn run(command: &mut Command, docker: Option<&Docker>) -> io::Result<Cost> {
    let shown = shown(command);
    if !Path::new("/proc/thread-self/children").exists() {
        return Err(io::Error::other("this kernel does not tell who started whom (CONFIG_PROC_CHILDREN)"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let child = command.spawn()?;
    let pid = child.id();
    // Its output is read aside, so that a full pipe never stops it.
    let ended = thread::spawn(move || finish(child));
    let mut peaks = Peaks::default();
    while !ended.is_finished() {
        peaks.look(pid, docker);
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{shown}: still not done after half an hour")));
        }
        thread::sleep(LOOK_EVERY);
    }
    let (output, wall) =
        ended.join().map_err(|_panic| io::Error::other("BUG: waiting for a command panicked"))??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{shown}: {}: {}", output.status, said.trim())));
    }
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Cost { wall, peak_bytes: peaks.sum(), out })
}

/// How long it is from the start of a command until `happened`. What it does after that is interrupted, and what it cleans up
/// then is waited for. A command that ends before is an error with what it said.
pub fn until(command: &mut Command, mut happened: impl FnMut() -> bool) -> io::Result<Duration> {
    let shown = shown(command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let (took, ended) = loop {
        // In this order: it may have happened at the very end.
        let ended = child.try_wait()?.is_some();
        if happened() {
            break (Some(began.elapsed()), ended);
        }
        if ended || began.elapsed() > PATIENCE {
            break (None, ended);
        }
        thread::sleep(WATCH_EVERY);
    };
    match took {
        _ if ended => {}
        Some(_) => kill_process(Pid::from_child(&child), Signal::INT)?,
        None => child.kill()?,
    }
    let output = child.wait_with_output()?;
    took.ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("{shown}: {}, and nothing happened: {}", output.status, said.trim()))
    })
}

/// The program and its arguments; the environment holds keys.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn finish(child: Child) -> io::Result<(Output, Duration)> {
    let began = Instant::now();
    let output = child.wait_with_output()?;
    Ok((output, began.elapsed()))
}

/// The most that each process held, by its id.
#[derive(Debug, Default)]
struct Peaks {
    bytes: BTreeMap<u32, u64>,
    looks: u32,
    has_helper: bool,
}

impl Peaks {
    fn look(&mut self, root: u32, docker: Option<&Docker>) {
        let mut pids = descendants(root);
        // Asking the engine costs more than reading /proc, and takes from what is measured. A second helper is rare.
        if self.looks.is_multiple_of(if self.has_helper { 50 } else { 5 }) {
            // An engine that is too busy to answer now is asked again soon.
            let helpers = docker.and_then(|d| d.processes_with_label("backupd.run").ok()).unwrap_or_default();
            self.has_helper |= !helpers.is_empty();
            pids.extend(helpers);
        }
        pids.extend(self.bytes.keys().copied());
        for pid in pids {
            if let Some(peak) = peak_of(pid) {
                let known = self.bytes.entry(pid).or_default();
                *known = peak.max(*known);
            }
        }
        self.looks += 1;
    }

    fn sum(&self) -> u64 {
        self.bytes.values().sum()
    }
}

/// A process and all that it started, directly or not.
fn descendants(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        if found.insert(pid) {
            left.extend(children(pid));
        }
    }
    found
}

/// What the threads of a process started. One that has ended has nothing to tell.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_and_memory_of_a_whole_tree_are_seen() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; head -c 50m /dev/zero | tail -c 50m | sleep 0.3"]);
        let cost = run(&mut command, None).unwrap();
        assert_eq!(cost.out, "out\n");
        assert!(cost.wall >= Duration::from_millis(300), "{cost:?}");
        assert!(cost.peak_bytes > 40 << 20, "`tail` holds fifty million bytes: {}", cost.peak_bytes);
    }

    #[test]
    fn what_happens_is_timed_and_the_rest_is_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let began = Instant::now();
        // A shell cannot trap what whoever started the tests in the background has it ignore.
        let mut command = Command::new("env");
        command.args([
            "--default-signal=INT",
            "sh",
            "-c",
            "trap 'rm \"$0\"; exit' INT; sleep 0.2; echo > \"$0\"; for i in $(seq 600); do sleep 0.1; done",
        ]);
        let took = until(command.arg(&file), || file.exists()).unwrap();
        assert!(took >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(30), "{took:?}");
        assert!(!file.exists(), "its cleaning up was waited for");
        let mut command = Command::new("sh");
        let why = until(command.args(["-c", "echo no >&2; exit 3"]), || false).unwrap_err().to_string();
        assert!(why.contains("exit status: 3, and nothing happened: no"), "{why}");
    }

    #[test]
    fn a_command_that_fails_is_an_error_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no >&2; exit 3"]);
        let why = run(&mut command, None).unwrap_err().to_string();
        assert!(why.contains("exit status: 3: no"), "{why}");
    }
}
