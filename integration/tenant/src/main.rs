//! A service that lives on a volume: it writes a line to a file of its own twice a second, and ends well when
//! it is told to. What it wrote shows when it ran, and when it did not.
//!
//! `serve FILE WARM-UP LINGER` is the service; `ready` is its health check, which is well `WARM-UP`
//! milliseconds after the start. Told to end, it takes `LINGER` milliseconds, as databases do. `quiet FILE` and
//! `loud FILE` are hooks: what the first makes, the second removes, if it is there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval};

const BEAT: Duration = Duration::from_millis(500);

/// In the container's own file system, which a restore does not touch.
const READY: &str = "/ready";

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", file, warm_up, linger] => serve(file, millis(warm_up)?, millis(linger)?).await,
        ["ready"] => std::fs::metadata(READY).map(drop),
        ["quiet", file] => File::create(file).map(drop),
        ["loud", file] => match std::fs::remove_file(file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        },
        _ => Err(io::Error::other(format!("what is {words:?}?"))),
    }
}

fn millis(text: &str) -> io::Result<Duration> {
    let parsed =
        text.parse().map_err(|e: std::num::ParseIntError| io::Error::other(format!("`{text}`: {e}")));
    parsed.map(Duration::from_millis)
}

async fn serve(file: &str, warm_up: Duration, linger: Duration) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    // The container may have run before.
    drop(std::fs::remove_file(READY));
    let began = Instant::now();
    let mut beats = interval(BEAT);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            _ = terminate.recv() => {
                tokio::time::sleep(linger).await;
                return write(file, "end");
            }
            _ = beats.tick() => {}
        }
        write(file, &format!("beat {count}"))?;
        count += 1;
        if began.elapsed() >= warm_up && !Path::new(READY).exists() {
            File::create(READY)?;
        }
    }
}

/// Opened anew each time, so that it is in whatever lies there now.
fn write(file: &str, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{line}\n").as_bytes())
}
