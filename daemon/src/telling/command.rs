//! A program of this host that is told something on its standard input.
//!
//! Always true: no shell reads the arguments; the program gets nothing of our environment, which may hold keys, but
//! the usual `PATH`; it is killed when its time is over.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs it to its end; dropping this kills it.
pub(crate) async fn run(words: &[String], input: &[u8]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("it is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("start it: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing ends as it likes: its status counts.
        stdin.write_all(input).await.ok();
    }
    let status = child.wait().await.map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn it_hears_what_is_told_and_nothing_of_our_environment() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("$(id) out");
        let script = "cat >\"$1\"; env >>\"$1\"";
        run(&words(&["/bin/sh", "-c", script, "sh", out.to_str().unwrap()]), b"{}\n").await.unwrap();
        let heard = std::fs::read_to_string(&out).unwrap();
        assert!(heard.starts_with("{}\n") && !heard.contains("CARGO"), "{heard}");
    }

    #[tokio::test]
    async fn how_it_ended_counts() {
        for (command, want) in
            [(&["/bin/true"][..], ""), (&["/bin/false"], "exit status: 1"), (&["/nowhere"], "start it: ")]
        {
            let got = run(&words(command), b"x").await;
            assert!(got.as_ref().err().map_or(want.is_empty(), |e| e.contains(want)), "{got:?}");
        }
    }
}
