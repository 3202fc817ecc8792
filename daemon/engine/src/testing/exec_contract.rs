//! What every container engine behind the Docker port does alike where programs are started inside containers.
//!
//! The suite needs one program in the container, in words of its own; [`words`] is that program for the twin. `cat FILE`
//! gives back what it is told, and at the end of input makes the file and ends with 0; `look FILE` ends with 0 if the
//! file is there, else with 1; `flood BYTES` says so many bytes; `fail` complains on standard error and ends with 3.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::port::docker::{Docker, DockerErrorKind as Kind};
use crate::port::exec::{Exec, ExecEnd, ExecSpec};
use crate::testing::fake_docker::Program;

const PATIENCE: Duration = Duration::from_secs(20);

/// More than all buffers on the way hold.
const FLOOD_BYTES: usize = 32 << 20;

/// The program of this suite, for the twin.
pub fn words() -> Program {
    let files = Mutex::new(BTreeSet::new());
    Arc::new(move |spec, input, output| {
        let argv: Vec<&str> = spec.argv.iter().map(String::as_str).collect();
        let files = || files.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match argv[..] {
            ["words", "cat", file] => {
                copy(input, output).map(|()| i64::from(!files().insert(file.to_owned())))
            }
            ["words", "look", file] => Ok(i64::from(!files().contains(file))),
            ["words", "flood", bytes] => flood(bytes, output).map(|()| 0),
            ["words", "fail"] => Ok(3),
            _ => Ok(127),
        };
        // Whoever does not listen to the end ends the program.
        let status = status.unwrap_or(1);
        let last_words = match status {
            3 => "cannot do it",
            127 => "no such program",
            _ => "",
        };
        ExecEnd { status, last_words: last_words.to_owned() }
    })
}

fn copy(input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    io::copy(input, output).map(drop)
}

fn flood(bytes: &str, output: &mut dyn Write) -> io::Result<()> {
    let bytes = bytes.parse().map_err(io::Error::other)?;
    io::copy(&mut io::repeat(7).take(bytes), output).map(drop)
}

async fn exec(docker: &dyn Docker, id: &str, program: &[&str], more: &[&str]) -> Exec {
    docker.exec(&spec(id, program, more)).await.expect("start a program")
}

fn spec(id: &str, program: &[&str], more: &[&str]) -> ExecSpec {
    let argv = [program, more].concat().into_iter().map(str::to_owned).collect();
    ExecSpec { container: id.to_owned(), argv, user: None }
}

/// All that it says to its end, and how it ends.
async fn end(exec: Exec) -> (Vec<u8>, ExecEnd) {
    let Exec { to, mut from, mut life } = exec;
    drop(to);
    let mut said = Vec::new();
    tokio::time::timeout(PATIENCE, from.read_to_end(&mut said)).await.expect("in time").expect("listen");
    let end = life.ended(PATIENCE).await.expect("ask for its end").expect("it ends");
    (said, end)
}

/// `id` runs, and `program` is what stands before the words of the suite there.
pub async fn programs_are_started_heard_and_ended(docker: &dyn Docker, id: &str, program: &[&str]) {
    let mut cat = exec(docker, id, program, &["cat", "/said"]).await;
    let sent: Vec<u8> = (0..3_u64 << 20).map(|i| ((i * i) >> 7).to_le_bytes()[0]).collect();
    let mut got = vec![0; sent.len()];
    let send = async {
        cat.to.write_all(&sent).await.expect("speak");
        cat.to.flush().await.expect("speak");
    };
    let ((), read) = tokio::join!(send, cat.from.read_exact(&mut got));
    read.expect("listen");
    assert!(got == sent, "bytes changed on the way");
    assert_eq!(cat.life.ended(Duration::from_millis(50)).await.expect("ask"), None, "it was not told to end");
    let words = spec(id, program, &["cat", "/said"]).argv;
    let runs = async |id: &str, words: &[String]| docker.exec_runs(id, words).await.expect("look");
    assert!(runs(id, &words).await && !runs(id, &words[1..]).await && !runs("backupd-no-such", &words).await);
    let fine = ExecEnd { status: 0, last_words: String::new() };
    assert_eq!(end(cat).await, (Vec::new(), fine.clone()));
    assert!(!runs(id, &words).await, "it has ended");

    let (said, failed) = end(exec(docker, id, program, &["fail"]).await).await;
    assert_eq!((said.as_slice(), failed.status), (&b""[..], 3));
    assert_eq!(failed.last_words, "cannot do it");

    // Who does not listen makes it wait, and loses nothing.
    let bytes = FLOOD_BYTES.to_string();
    let mut flood = exec(docker, id, program, &["flood", &bytes]).await;
    assert_eq!(flood.life.ended(Duration::from_millis(300)).await.expect("ask"), None, "who heard all that?");
    let (said, ended) = end(flood).await;
    assert_eq!((said.len(), ended), (FLOOD_BYTES, fine));
}

/// Dropping all of it ends a program that reads its input.
pub async fn a_program_that_was_dropped_hears_the_end_of_its_input(
    docker: &dyn Docker,
    id: &str,
    program: &[&str],
) {
    let look = async || end(exec(docker, id, program, &["look", "/dropped"]).await).await.1.status;
    let cat = exec(docker, id, program, &["cat", "/dropped"]).await;
    assert_eq!(look().await, 1);
    drop(cat);
    let heard = async {
        while look().await != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("it hears that its input has ended");
}

/// What is not there, does not run, or stands still.
pub async fn programs_are_started_only_where_something_runs(docker: &dyn Docker, id: &str, program: &[&str]) {
    let (said, ended) = end(exec(docker, id, &["/no/such/program"], &[]).await).await;
    assert!(matches!(ended.status, 126 | 127), "{ended:?}");
    assert!(!said.is_empty() || !ended.last_words.is_empty(), "it does not say why");
    let refused = async |id: &str| match docker.exec(&spec(id, program, &["fail"])).await {
        Ok(_) => panic!("a program was started in `{id}`"),
        Err(e) => e.kind,
    };
    assert_eq!(refused("backupd-no-such").await, Kind::NotFound);
    docker.pause(id).await.expect("pause");
    assert_eq!(refused(id).await, Kind::Conflict);
    docker.unpause(id).await.expect("unpause");
    docker.stop(id, Duration::from_secs(1)).await.expect("stop");
    assert_eq!(refused(id).await, Kind::Conflict);
    docker.start(id).await.expect("start");
    assert_eq!(end(exec(docker, id, program, &["fail"]).await).await.1.status, 3);
}
