//! PostgreSQL: `pg_amcheck` and `pg_checksums`, the sums that its benchmark keeps equal, and a whole logical dump.

use std::io;

use super::container::{Container, Said};
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Postgres {
    /// Of the benchmark's tables: 15 MB each.
    pub scale: u32,
}

/// Also the superuser of the image.
const PSQL: &[&str] = &["psql", "-U", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"];

const WITH_PASSWORD: &str = "POSTGRES_PASSWORD=test-password-7";

/// What each of its transactions leaves as it was.
const SUMS: &str = "SELECT a.s = t.s AND t.s = b.s AND b.s = h.s FROM \
     (SELECT sum(abalance) s FROM pgbench_accounts) a, (SELECT sum(tbalance) s FROM pgbench_tellers) t, \
     (SELECT sum(bbalance) s FROM pgbench_branches) b, (SELECT coalesce(sum(delta), 0) s FROM pgbench_history) h";

impl Server for Postgres {
    fn image(&self) -> &'static str {
        "postgres"
    }

    fn at(&self) -> &'static str {
        "/var/lib/postgresql/data"
    }

    /// Small memory and frequent checkpoints: files change all the time, and far from each other.
    fn arguments(&self) -> Vec<String> {
        let settings = [
            "shared_buffers=16MB",
            "checkpoint_timeout=30s",
            "max_wal_size=48MB",
            "min_wal_size=32MB",
            "listen_addresses=",
        ];
        settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect()
    }

    fn environment(&self) -> Vec<String> {
        vec![WITH_PASSWORD.to_owned()]
    }

    fn stop_signal(&self) -> &'static str {
        "SIGINT"
    }

    fn serves(&self) -> &'static str {
        "[ \"$(psql -U postgres -Atc 'SELECT pg_is_in_recovery()')\" = f ]"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        sql(container, "CREATE TABLE numbers (n bigint PRIMARY KEY, text text NOT NULL)")?
            .good("make a table")?;
        let scale = self.scale.to_string();
        let fill = ["pgbench", "-U", "postgres", "-q", "-i", "-s", &scale, "postgres"];
        container.exec(&fill, "")?.good("fill the tables").map(drop)
    }

    fn client(&self) -> Client {
        Client {
            argv: PSQL.iter().map(|word| (*word).to_owned()).collect(),
            say: |n| format!("INSERT INTO numbers VALUES ({n}, repeat(md5('{n}'), 10)) RETURNING n;\n"),
            lines: 1,
            heard: |line, n| line == n.to_string(),
            pace: 0,
        }
    }

    fn noise(&self) -> Option<String> {
        Some("exec pgbench -U postgres -n -c 2 -T 3600 postgres".to_owned())
    }

    /// All that write but the first process, which a signal from within does not stop, and which then starts nobody.
    fn hooks(&self) -> Option<&'static str> {
        Some(
            r#"schedule = "0 2 * * *"
[consistency]
mode = "hooks"
before = ["bash", "-c", "psql -qU postgres -c CHECKPOINT && pkill -STOP -x postgres"]
after = ["pkill", "-CONT", "-x", "postgres"]
"#,
        )
    }

    fn untouched(&self) -> &'static str {
        "[ \"$(psql -U postgres -Atc \"SELECT (SELECT count(*) FROM pg_replication_slots), \
         (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backupd%' OR query LIKE '%pg_backup_start%' \
         AND pid <> pg_backend_pid())\")\" = '0|0' ]"
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let amcheck = ["pg_amcheck", "-U", "postgres", "--all", "--install-missing", "--heapallindexed"];
        let said = container.exec(&amcheck, "")?;
        if said.status != 0 {
            return Ok(said.verdict("pg_amcheck"));
        }
        for range in ledger.ranges() {
            let (first, last) = (range.start(), range.end());
            let count = format!(
                "SELECT count(*) FROM numbers WHERE n BETWEEN {first} AND {last} AND text = repeat(md5(n::text), 10)"
            );
            let said = sql(container, &count)?;
            if said.status != 0 {
                return Ok(said.verdict("psql"));
            }
            let (found, wanted) = (said.stdout.trim().to_owned(), last - first + 1);
            if found != wanted.to_string() {
                return Ok(Err(format!("{found} of the {wanted} numbers from {first} to {last} are there")));
            }
        }
        let said = sql(container, SUMS)?;
        if said.status != 0 || said.stdout.trim() != "t" {
            return Ok(Err(format!("its sums differ: {said:?}")));
        }
        let dump = container.shell("pg_dumpall -U postgres >/dev/null")?;
        Ok(dump.verdict("pg_dumpall"))
    }

    fn check_at_rest(&self) -> Option<&'static str> {
        Some(
            "setpriv --reuid 999 --regid 999 --clear-groups pg_checksums --check -D /var/lib/postgresql/data",
        )
    }

    fn spoil(&self) -> Spoil {
        // The first database that people make has a number of its own; `postgres` is always 5.
        Spoil { file: "ls -S base/5/* | head -n 1", at: 3 * 8192 }
    }
}

/// Runs a statement, and gives the rows without ornament.
fn sql(container: &Container, statement: &str) -> io::Result<Said> {
    container.exec(&[PSQL, &["-c", statement]].concat(), "")
}
