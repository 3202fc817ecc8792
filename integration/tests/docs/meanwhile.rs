//! A backup that is on while a block runs.

use std::io;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::Prepared;

const PATIENCE: Duration = Duration::from_secs(60);

/// The exit code of what was interrupted.
const INTERRUPTED: i32 = 130;

/// Killed with this, if it has not ended.
pub(crate) struct Meanwhile(Child);

impl Meanwhile {
    /// Of `shop-data`; gives the number of its run as well.
    pub(crate) fn begin(host: &Prepared) -> io::Result<(Self, String)> {
        let mut backup = host.program(&["backup", "shop-data"])?;
        let child = backup.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let meanwhile = Self(child);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let said = host.program(&["--json", "runs"])?.output()?;
            let runs: Value = serde_json::from_slice(&said.stdout)?;
            let mut live = runs.as_array().into_iter().flatten().filter(|run| run["live"] == true);
            if let Some(run) = live.find_map(|run| run["run"].as_str()) {
                return Ok((meanwhile, run.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::other("no backup began"))
    }

    /// Waits until it has ended, and fails if nobody asked it to.
    pub(crate) fn was_interrupted(mut self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.0.try_wait()? {
                Some(status) if status.code() == Some(INTERRUPTED) => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("it ended by itself: {status}"))),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Err(io::Error::other("it goes on"))
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
