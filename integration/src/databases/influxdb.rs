//! InfluxDB 1.6: every number counted, and a whole backup by itself. Debian leaves out its checker, `influx_inspect`.

use std::io;

use super::container::Container;
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Influxdb;

/// A request for each number, in plain bash: an answer of 204 says that it is in the log on disk.
const WRITE: &str = "while read -r n; do
  point=\"numbers value=${n}i $n\"
  exec 3<>/dev/tcp/127.0.0.1/8086
  printf 'POST /write?db=backupd&precision=s HTTP/1.0\\r\\nHost: influxdb\\r\\nContent-Length: %d\\r\\n\\r\\n%s' \\
    \"${#point}\" \"$point\" >&3
  read -r _ status _ <&3
  exec 3<&- 3>&-
  [ \"$status\" = 204 ] || exit 1
  echo \"$n\"
done";

impl Server for Influxdb {
    fn image(&self) -> &'static str {
        "influxdb"
    }

    fn at(&self) -> &'static str {
        "/var/lib/influxdb"
    }

    fn serves(&self) -> &'static str {
        "influx -execute 'SHOW DATABASES' >/dev/null"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        container
            .exec(&["influx", "-execute", "CREATE DATABASE backupd"], "")?
            .good("make a database")
            .map(drop)
    }

    fn client(&self) -> Client {
        Client {
            argv: ["bash", "-c", WRITE].map(str::to_owned).to_vec(),
            say: |n| format!("{n}\n"),
            lines: 1,
            heard: |line, n| line == n.to_string(),
            pace: 1,
        }
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let backup = container.shell("rm -rf /tmp/whole && influxd backup -portable /tmp/whole")?;
        if backup.status != 0 {
            return Ok(backup.verdict("influxd backup"));
        }
        for range in ledger.ranges() {
            let (first, last) = (range.start(), range.end());
            let count =
                format!("SELECT COUNT(value) FROM numbers WHERE time >= {first}s AND time <= {last}s");
            let said = container
                .exec(&["influx", "-database", "backupd", "-format", "csv", "-execute", &count], "")?;
            let found =
                said.stdout.lines().last().and_then(|line| line.rsplit(',').next()).unwrap_or_default();
            let wanted = last - first + 1;
            if found != wanted.to_string() {
                return Ok(Err(format!(
                    "`{found}` of the {wanted} numbers from {first} to {last} are there{}",
                    said.stderr
                )));
            }
        }
        Ok(Ok(()))
    }

    fn spoil(&self) -> Spoil {
        // A backup by itself moves the log into files of data.
        Spoil {
            file: "find data/backupd wal/backupd '(' -name '*.tsm' -o -name '*.wal' ')' -size +0 | head -n 1",
            at: 0,
        }
    }
}
