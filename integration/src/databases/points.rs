//! Graphite's whisper files, written as carbon does, and judged point by point.

use std::io;

use super::container::Container;
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Points;

impl Server for Points {
    fn image(&self) -> &'static str {
        "metrics"
    }

    fn at(&self) -> &'static str {
        "/opt/graphite/storage"
    }

    fn serves(&self) -> &'static str {
        "true"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        let said = container.exec(&["points.py", "make", "/opt/graphite/storage/whisper"], "")?;
        said.good("make the files").map(drop)
    }

    fn client(&self) -> Client {
        Client {
            argv: ["points.py", "write", "/opt/graphite/storage/whisper"].map(str::to_owned).to_vec(),
            say: |n| format!("{n}\n"),
            lines: 1,
            heard: |line, n| line == n.to_string(),
            pace: 2,
        }
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let info = container.shell(
            "set -e; for file in /opt/graphite/storage/whisper/*.wsp; do whisper-info \"$file\" >/dev/null; done",
        )?;
        if info.status != 0 {
            return Ok(info.verdict("whisper-info"));
        }
        let words = ledger.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let check = [&["points.py", "check", "/opt/graphite/storage/whisper"][..], &words[..]].concat();
        Ok(container.exec(&check, "")?.verdict("points.py check"))
    }

    fn spoil(&self) -> Spoil {
        // The header; a point in the middle may be one that nobody wrote.
        Spoil { file: "echo whisper/metric-03.wsp", at: 0 }
    }
}
