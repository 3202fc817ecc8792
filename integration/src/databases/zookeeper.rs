//! ZooKeeper 3.8: checksums of all logs and snapshots, the newest of them read by its own tools; every number, each of
//! which names the one before it; and accounts whose sum stays.

use std::io;

use super::container::Container;
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Zookeeper;

impl Server for Zookeeper {
    fn image(&self) -> &'static str {
        "zookeeper"
    }

    fn at(&self) -> &'static str {
        "/data"
    }

    fn serves(&self) -> &'static str {
        "zookeeper.py serves"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        container.exec(&["zookeeper.py", "make"], "")?.good("make the accounts").map(drop)
    }

    fn client(&self) -> Client {
        Client {
            argv: ["zookeeper.py", "write"].map(str::to_owned).to_vec(),
            say: |n| format!("{n}\n"),
            lines: 1,
            heard: |line, n| line == n.to_string(),
            pace: 1,
        }
    }

    fn noise(&self) -> Option<String> {
        Some("exec zookeeper.py noise".to_owned())
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let words = ledger.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let check = [&["zookeeper.py", "check"][..], &words[..]].concat();
        Ok(container.exec(&check, "")?.verdict("zookeeper.py check"))
    }

    fn spoil(&self) -> Spoil {
        // Found by its checksum: a server takes the one before it, and says nothing.
        Spoil { file: "ls -S snapshots/version-2/snapshot.* | head -n 1", at: 2000 }
    }
}
