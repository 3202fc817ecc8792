//! Logs in segments with mapped indexes, in the place of Kafka, which Debian does not carry: a program of `setup` writes
//! in its pattern and checks as its tools do.

use std::io;

use super::container::Container;
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Segments {
    /// Where its folder is.
    pub at: &'static str,
}

impl Server for Segments {
    fn image(&self) -> &'static str {
        "metrics"
    }

    fn at(&self) -> &'static str {
        self.at
    }

    fn serves(&self) -> &'static str {
        "true"
    }

    /// Its files are made by the first number.
    fn load(&self, container: &Container) -> io::Result<()> {
        container.exec(&["segments.py", "write", self.at], "")?.good("make the folder").map(drop)
    }

    fn client(&self) -> Client {
        Client {
            argv: ["segments.py", "write", self.at].map(str::to_owned).to_vec(),
            say: |n| format!("{n}\n"),
            lines: 1,
            heard: |line, n| line == n.to_string(),
            pace: 1,
        }
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let words = ledger.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let check = [&["segments.py", "check", self.at][..], &words[..]].concat();
        Ok(container.exec(&check, "")?.verdict("segments.py check"))
    }

    fn spoil(&self) -> Spoil {
        Spoil { file: "ls *.log | head -n 1", at: 2000 }
    }
}
