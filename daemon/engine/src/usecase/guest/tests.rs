//! Programs that answer, fail, hang, end early or say too much, on the twin.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::*;
use crate::adapter::clock::SystemClock;
use crate::port::docker::{ContainerState, Health};
use crate::testing::fake_docker::{Calls, FakeDocker, Program, real_jobs};

const PATIENCE: Duration = Duration::from_secs(20);

fn container() -> Container {
    Container {
        id: "c1".to_owned(),
        name: "db".to_owned(),
        image: String::new(),
        image_id: String::new(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Timestamp::UNIX_EPOCH),
        restart_policy: "no".to_owned(),
        labels: std::collections::BTreeMap::new(),
        mounts: Vec::new(),
        auto_remove: false,
        has_us: false,
        versions: std::collections::BTreeMap::new(),
    }
}

fn ended(status: i64, last_words: &str) -> ExecEnd {
    ExecEnd { status, last_words: last_words.to_owned() }
}

/// Answers each line, and obeys some.
fn client() -> Program {
    Arc::new(|spec, input, output| {
        let mut say = |text: &str| output.write_all(text.as_bytes()).is_ok();
        if spec.argv[0] == "missing" {
            say("OCI runtime exec failed: \u{1b}no `missing` in $PATH\r\n");
            return ended(127, "");
        }
        if spec.argv[0] == "chatty" {
            say(&"x".repeat(3 << 20));
            return ended(0, "");
        }
        for line in input.lines().map_while(Result::ok) {
            let answer = match line.as_str() {
                "die" => return ended(3, "ERROR 1045: access denied"),
                "hang" => {
                    std::thread::park_timeout(PATIENCE);
                    String::new()
                }
                "shout" => "y\n".repeat(1 << 20),
                "mumble" => "z".repeat(2 << 20),
                "who" => format!("{:?}\n", spec.user),
                other => format!("heard {other}\n"),
            };
            say(&answer);
        }
        say("bye\n");
        ended(0, "")
    })
}

fn engine() -> (FakeDocker, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let docker = FakeDocker::new(folder.path().to_owned(), real_jobs(), Calls::new().script());
    docker.put_container(container());
    docker.install(client());
    (docker, folder)
}

#[tokio::test]
async fn a_program_is_run_to_its_end() {
    let (docker, _folder) = engine();
    let clock = SystemClock::start();
    let guest = Guest::new(&docker, &clock, &container());
    let said = guest.run(&["client"], Some("70"), b"one\nwho\n", PATIENCE).await.unwrap();
    let stdout = "heard one\nSome(\"70\")\nbye\n".to_owned();
    assert_eq!(said, Said { status: 0, stdout, last_words: String::new() });

    let said = guest.run(&["client"], None, b"die\n", PATIENCE).await.unwrap();
    assert_eq!((said.status, said.stdout.as_str(), said.was_not_started()), (3, "", false));
    assert_eq!(said.ending(), "it ended with status 3: ERROR 1045: access denied");

    // The engine says in the output why there is none.
    let said = guest.run(&["missing"], None, b"", PATIENCE).await.unwrap();
    assert!(said.was_not_started());
    assert_eq!(said.last_words, "OCI runtime exec failed: no `missing` in $PATH");

    let said = guest.run(&["chatty"], None, b"", PATIENCE).await.unwrap();
    assert_eq!((said.status, said.stdout.len()), (0, ANSWER_BYTES_MAX));
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let (docker, _folder) = engine();
    let clock = SystemClock::start();
    let guest = Guest::new(&docker, &clock, &container());
    let began = Instant::now();
    let late = guest.run(&["client"], None, b"hang\n", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late.to_string(), "run `client` in container `db`: that takes longer than 1s");
    let mut talk = guest.talk(&["client"], None).await.unwrap();
    let late = talk.ask("hang\nmark\n", "heard mark", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late.to_string(), "run `client` in container `db`: that takes longer than 1s");
    assert!(talk.end(Duration::from_secs(1)).await.is_err());
    assert!(began.elapsed() < PATIENCE);
    docker.drop_container("c1");
    let gone = guest.run(&["client"], None, b"", PATIENCE).await.unwrap_err();
    assert!(gone.to_string().starts_with("run `client` in container `db`: "), "{gone}");
}

#[tokio::test]
async fn a_talk_goes_line_by_line() {
    let (docker, _folder) = engine();
    let clock = SystemClock::start();
    let guest = Guest::new(&docker, &clock, &container());
    let mut talk = guest.talk(&["client"], None).await.unwrap();
    let heard = talk.ask("one\ntwo\nmark\n", "heard mark", PATIENCE).await.unwrap();
    assert_eq!(heard, ["heard one", "heard two"]);
    assert_eq!(talk.ask("mark\n", "heard mark", PATIENCE).await.unwrap(), [""; 0]);
    // What was said beyond a mark is the beginning of the next answer.
    talk.ask("mark\nlate\n", "heard mark", PATIENCE).await.unwrap();
    assert_eq!(talk.ask("mark\n", "heard mark", PATIENCE).await.unwrap(), ["heard late"]);
    let said = talk.end(PATIENCE).await.unwrap();
    assert_eq!((said.status, said.stdout.as_str()), (0, "bye\n"));

    let mut talk = guest.talk(&["client"], None).await.unwrap();
    let died = talk.ask("one\ndie\nmark\n", "heard mark", PATIENCE).await.unwrap_err();
    let want = "run `client` in container `db`: it ended with status 3: ERROR 1045: access denied";
    assert_eq!(died.to_string(), want);
    for much in ["shout\n", "mumble\n"] {
        let mut talk = guest.talk(&["client"], None).await.unwrap();
        let much = talk.ask(much, "heard mark", PATIENCE).await.unwrap_err();
        assert!(much.to_string().ends_with("longer than 1048576 bytes"), "{much}");
    }
}

/// What holds a session ends it by dropping it.
#[tokio::test]
async fn a_talk_that_is_dropped_ends_the_programs_input() {
    let (docker, _folder) = engine();
    let (ended, mut hear) = tokio::sync::mpsc::unbounded_channel();
    docker.install(Arc::new(move |_spec, input: &mut dyn BufRead, output: &mut dyn Write| {
        let lines = input.lines().map_while(Result::ok).count();
        output.flush().ok();
        ended.send(lines).ok();
        ExecEnd { status: 0, last_words: String::new() }
    }));
    let clock = SystemClock::start();
    let guest = Guest::new(&docker, &clock, &container());
    let talk = guest.talk(&["client"], None).await.unwrap();
    drop(talk);
    let heard = tokio::time::timeout(PATIENCE, hear.recv()).await;
    assert_eq!(heard.unwrap(), Some(0));
}
