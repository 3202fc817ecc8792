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

/// `post POINTS`: points of random values, in the first days of 1970, as the numbers are, so that they lie in the same files;
/// it fails unless they are in the log on disk.
const POST: &str = "set -o pipefail
post() {
  begin=$(($(date +%s%6N) % 300000000000))
  points=$(paste -d ' ' <(shuf -r -n \"$1\" -i 1-4000000000 | sed 's/.*/noise value=&i/') <(seq \"$begin\" $((begin + $1 - 1))))
  exec 3<>/dev/tcp/127.0.0.1/8086
  printf 'POST /write?db=backupd&precision=u HTTP/1.0\\r\\nHost: influxdb\\r\\nContent-Length: %d\\r\\n\\r\\n%s' \\
    \"${#points}\" \"$points\" >&3
  read -r _ status _ <&3
  exec 3<&- 3>&-
  [ \"$status\" = 204 ]
}
";

/// Logs are made into files of data, and these into larger ones.
const NOISE: &str = "while post 1000; do sleep 0.1; done; exit 1";

/// Some MiB of them, so that a copy takes its time over them.
const LOAD: &str = "for turn in {1..20}; do post 20000 || exit 1; done";

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
        let make = ["influx", "-execute", "CREATE DATABASE backupd"];
        container.exec(&make, "")?.good("make a database")?;
        container.shell(&format!("{POST}{LOAD}"))?.good("write older points").map(drop)
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

    fn noise(&self) -> Option<String> {
        Some(format!("{POST}{NOISE}"))
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let backup = container.shell("rm -rf /tmp/whole && influxd backup -portable /tmp/whole")?;
        if backup.status != 0 {
            return Ok(backup.verdict("influxd backup"));
        }
        for range in ledger.ranges() {
            let wanted = range.end() - range.start() + 1;
            let found = numbers(
                container,
                "COUNT",
                &format!("time >= {}s AND time <= {}s", range.start(), range.end()),
            )?;
            if found != wanted {
                return Ok(Err(format!(
                    "{found} of the {wanted} numbers from {} to {} are there",
                    range.start(),
                    range.end()
                )));
            }
        }
        // Numbers are written one after the other, so what is there of later ones is of one moment if none is left out.
        let last = ledger.last();
        let later = format!("time > {last}s");
        let (found, newest) = (numbers(container, "COUNT", &later)?, numbers(container, "MAX", &later)?);
        if found != newest.saturating_sub(last) {
            return Ok(Err(format!(
                "{found} numbers are there from {last} to {newest}: it is of different moments"
            )));
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

/// What a function makes of the numbers of which this is true; 0 if there is none.
fn numbers(container: &Container, function: &str, of: &str) -> io::Result<u64> {
    let query = format!("SELECT {function}(value) FROM numbers WHERE {of}");
    let said =
        container.exec(&["influx", "-database", "backupd", "-format", "csv", "-execute", &query], "")?;
    let said = said.good(&query)?;
    let value = said.lines().last().and_then(|line| line.rsplit(',').next()).unwrap_or("0");
    value.trim().parse().map_err(|_no_number| io::Error::other(format!("{query}: `{said}`")))
}
