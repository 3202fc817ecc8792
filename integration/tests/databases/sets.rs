//! Two servers frozen at one moment: what somebody writes into both in turns is of one moment after the restore; and two
//! containers that write to one volume.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use integration::databases::container::{Container, Make};
use integration::databases::cycle::Subject;
use integration::databases::image::image;
use integration::databases::place::Place;
use integration::databases::postgres::Postgres;
use integration::databases::redis::{Files, Redis};
use integration::databases::segments::Segments;
use integration::databases::{Client, Server};

/// Somebody who says numbers to one server.
struct Pen {
    client: Client,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Pen {
    fn of(subject: &Subject<'_>, server: &dyn Server) -> Self {
        let client = server.client();
        let argv: Vec<&str> = client.argv.iter().map(String::as_str).collect();
        let mut child = subject.container().talk(&[&["stdbuf", "-oL"][..], &argv[..]].concat()).unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { client, child, to, from: BufReader::new(from) }
    }

    /// Returns once it is acknowledged.
    fn write(&mut self, number: u64) {
        self.to.write_all((self.client.say)(number).as_bytes()).unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert!((self.client.heard)(line.trim(), number), "{line}");
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        // It may have ended with its container.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The highest number of a server.
fn highest(subject: &Subject<'_>, line: &str) -> u64 {
    let said = subject.container().shell(line).unwrap().good("ask for the highest").unwrap();
    said.trim().parse().unwrap()
}

#[test]
fn two_servers_are_of_one_moment() {
    let place = Place::new().unwrap();
    let policy = "schedule = \"0 2 * * *\"\n[consistency]\nmode = \"pause\"\nset = true\n";
    place.write("policies/pair.toml", policy).unwrap();
    let labels = [("backupd.policy", "pair"), ("com.docker.compose.project", place.name.as_str())];
    let (first, second) = (Postgres { scale: 1 }, Redis { keys: 5_000, files: Files::Rewritten });
    let mut postgres = Subject::new(&place, &first, &labels).unwrap();
    let mut redis = Subject::new(&place, &second, &labels).unwrap();

    let (said, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let (before, backed_up) = std::thread::scope(|scope| {
        let (mut one, mut other) = (Pen::of(&postgres, &first), Pen::of(&redis, &second));
        let (said, ends) = (&said, &ends);
        scope.spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                let number = said.load(Ordering::SeqCst) + 1;
                one.write(number);
                other.write(number);
                said.store(number, Ordering::SeqCst);
            }
        });
        let wait = |more: u64| {
            let (began, from) = (Instant::now(), said.load(Ordering::SeqCst));
            while said.load(Ordering::SeqCst) < from + more && began.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait(50);
        let before = said.load(Ordering::SeqCst);
        let backed_up = place.run(&["backup", "--policy", "pair"]);
        wait(50);
        ends.store(true, Ordering::SeqCst);
        (before, backed_up.unwrap())
    });
    let after = said.load(Ordering::SeqCst);
    let set = backed_up.done().unwrap()["set"].as_str().unwrap().to_owned();
    assert!(after >= before + 50, "nobody wrote during the backup: {before} to {after}");

    postgres.destroy().unwrap();
    redis.destroy().unwrap();
    place.run(&["restore", "--set", &set, "--yes"]).unwrap().done().unwrap();
    assert_eq!(postgres.start_and_check().unwrap(), Ok(()));
    assert_eq!(redis.start_and_check().unwrap(), Ok(()));
    let one = highest(&postgres, "psql -U postgres -Atc 'SELECT max(n) FROM numbers'");
    let other = highest(&redis, "redis-cli HLEN numbers");
    assert!(one >= before && one <= after, "{one} of {before} to {after}");
    assert!(one == other || one == other + 1, "they are of two moments: {one} and {other}");
}

/// Whoever writes to a volume is held, not only the one that it was made for.
#[test]
fn two_containers_that_write_to_one_volume_are_both_held() {
    let place = Place::new().unwrap();
    let mut subject = Subject::new(&place, &Segments { at: "/data" }, &[]).unwrap();
    let line = "i=0; while :; do i=$((i+1)); echo $i >>/other/a; echo $i >>/other/b; sleep 0.002; done";
    let make = Make {
        image: image(&place.docker, "metrics").unwrap(),
        name: place.called("other"),
        binds: vec![format!("{}:/other", subject.volume)],
        arguments: ["bash", "-c", line].map(str::to_owned).to_vec(),
        ..Make::default()
    };
    let other = Container::create(&place.docker, &make).unwrap();
    other.order("start").unwrap();
    other.serves("[ -s /other/b ]").unwrap().unwrap();
    let writer = subject.write().unwrap();
    let (done, before) = subject.back_up(&writer, &["--consistency", "pause"]).unwrap();
    assert_eq!(done["consistency"], "paused");
    writer.go_on(1).unwrap();
    assert_eq!(other.status().unwrap(), "running");
    subject.end(writer, before);
    other.destroy().unwrap();
    subject.destroy().unwrap();
    subject.restore().unwrap();
    assert_eq!(subject.start_and_check().unwrap(), Ok(()));
    let lines = |name: &str| {
        let text = std::fs::read_to_string(place.files(&subject.volume).unwrap().join(name)).unwrap();
        text.lines().count()
    };
    assert!(lines("a") == lines("b") || lines("a") == lines("b") + 1, "{} and {}", lines("a"), lines("b"));
}
