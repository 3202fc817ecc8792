//! Redis 7: `redis-check-aof`, which also reads the base of a log of several files, or `redis-check-rdb`; and every number
//! asked for.

use std::io;

use super::container::Container;
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// How it keeps what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// In a log that is written anew whenever it has doubled, which is every moment.
    Rewritten,
    /// In a log that only grows.
    Appended,
    /// In one file, when it is told to.
    Saved,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Redis {
    /// Keys of 200 bytes that are written again and again.
    pub keys: u32,
    /// Its files.
    pub files: Files,
}

/// Gives how many of a range are missing.
const MISSING: &str = "local missing = 0 \
     for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do \
       if redis.call('HGET', 'numbers', n) ~= tostring(n) then missing = missing + 1 end \
     end \
     return missing";

impl Server for Redis {
    fn image(&self) -> &'static str {
        "redis"
    }

    fn at(&self) -> &'static str {
        "/data"
    }

    fn arguments(&self) -> Vec<String> {
        let settings = match self.files {
            Files::Rewritten => {
                "--appendonly yes --auto-aof-rewrite-percentage 100 --auto-aof-rewrite-min-size 1mb --save"
            }
            Files::Appended => "--appendonly yes --auto-aof-rewrite-percentage 0 --save",
            Files::Saved => "--appendonly no --save",
        };
        let mut settings: Vec<String> = settings.split(' ').map(str::to_owned).collect();
        settings.push(String::new());
        settings
    }

    fn serves(&self) -> &'static str {
        "[ \"$(redis-cli ping)\" = PONG ]"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        let keys = self.keys.to_string();
        let fill = ["redis-benchmark", "-t", "set", "-r", &keys, "-n", &keys, "-d", "200", "-q"];
        container.exec(&fill, "")?.good("fill the keys")?;
        // One that has saved nothing has an empty volume.
        let save: &[&str] = if self.files == Files::Saved { &["redis-cli", "SAVE"] } else { &["true"] };
        container.exec(save, "")?.good("save").map(drop)
    }

    fn client(&self) -> Client {
        Client {
            // Begun before the server is there, it would wait for ever.
            argv: ["bash", "-c", "[ \"$(redis-cli ping)\" = PONG ] && exec redis-cli"]
                .map(str::to_owned)
                .to_vec(),
            say: |n| {
                format!("EVAL \"redis.call('HSET', 'numbers', ARGV[1], ARGV[1]) return ARGV[1]\" 0 {n}\n")
            },
            lines: 1,
            heard: |line, n| line.trim_matches('"') == n.to_string(),
            pace: 0,
        }
    }

    fn noise(&self) -> Option<String> {
        let keys = self.keys;
        // Nothing would bound a log that only grows.
        (self.files != Files::Appended)
            .then(|| format!("exec redis-benchmark -t set -r {keys} -n 1000000000 -d 200 -c 1 -q"))
    }

    /// What was saved stays as it is: a later save puts another file in its place.
    fn hooks(&self) -> Option<&'static str> {
        let saved = r#"schedule = "0 2 * * *"
[consistency]
mode = "hooks"
before = ["sh", "-c", "[ \"$(redis-cli SAVE)\" = OK ]"]
"#;
        (self.files == Files::Saved).then_some(saved)
    }

    fn untouched(&self) -> &'static str {
        match self.files {
            Files::Rewritten => "redis-cli CONFIG GET auto-aof-rewrite-percentage | grep -qx 100",
            Files::Appended => "redis-cli CONFIG GET auto-aof-rewrite-percentage | grep -qx 0",
            Files::Saved => "redis-cli INFO persistence | grep -q rdb_bgsave_in_progress:0",
        }
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let checker = match self.files {
            // A rewrite would take away what is being checked.
            Files::Rewritten => {
                "redis-cli CONFIG SET auto-aof-rewrite-percentage 0 >/dev/null
                 until [ $(redis-cli INFO persistence | grep -c -e rewrite_in_progress:0 -e rewrite_scheduled:0) = 2 ]
                 do sleep 0.1; done
                 redis-check-aof /data/appendonlydir/appendonly.aof.manifest; status=$?
                 redis-cli CONFIG SET auto-aof-rewrite-percentage 100 >/dev/null; exit $status"
            }
            Files::Appended => "redis-check-aof /data/appendonlydir/appendonly.aof.manifest",
            Files::Saved => "redis-check-rdb /data/dump.rdb",
        };
        let said = container.shell(checker)?;
        if said.status != 0 {
            return Ok(said.verdict("redis-check"));
        }
        for range in ledger.ranges() {
            let (first, last) = (range.start().to_string(), range.end().to_string());
            let said = container.exec(&["redis-cli", "EVAL", MISSING, "0", &first, &last], "")?;
            if said.stdout.trim() != "0" {
                return Ok(Err(format!("of {first} to {last} are missing: {}{}", said.stdout, said.stderr)));
            }
        }
        let size = container.exec(&["redis-cli", "dbsize"], "")?;
        Ok(size.verdict("redis-cli dbsize"))
    }

    fn spoil(&self) -> Spoil {
        let file = match self.files {
            Files::Rewritten | Files::Appended => "ls appendonlydir/*.base.* | head -n 1",
            Files::Saved => "echo dump.rdb",
        };
        Spoil { file, at: 2000 }
    }
}
