//! RRD files behind rrdcached: every file read whole by rrdtool, of the size that its definition gives, and every number
//! in the row of its own second.

use std::collections::BTreeMap;
use std::io;

use super::container::{Container, Said};
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Rrd {
    /// Through rrdcached, which holds updates back; else rrdtool writes by itself.
    pub cached: bool,
}

/// The second that belongs to the number 0.
const BEGIN: u64 = 1_000_000_000;

/// As many as a name counts to.
const FILES: u32 = 5;

/// A row a second for more numbers than a test says, and hours of averages beside them; the gap after a restore is
/// no reason to forget a value.
const DEFINITION: &str =
    "--start 999999999 --step 1 DS:n:GAUGE:1000000000:U:U RRA:LAST:0.5:1:60000 RRA:AVERAGE:0.5:60:2000";

const DAEMON: &str = "RRDCACHED_ADDRESS=unix:/run/rrdcached.sock";

impl Server for Rrd {
    fn image(&self) -> &'static str {
        "metrics"
    }

    fn at(&self) -> &'static str {
        "/data"
    }

    fn arguments(&self) -> Vec<String> {
        vec![if self.cached { "rrdcached" } else { "wait" }.to_owned()]
    }

    fn environment(&self) -> Vec<String> {
        if self.cached { vec![DAEMON.to_owned()] } else { Vec::new() }
    }

    fn serves(&self) -> &'static str {
        "[ -z \"${RRDCACHED_ADDRESS:-}\" ] || [ -S /run/rrdcached.sock ]"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        // Without the daemon: it makes files only on its own terms.
        let line = format!(
            "unset RRDCACHED_ADDRESS; set -e; mkdir -p /data/rrd
             for i in $(seq 0 {}); do rrdtool create /data/rrd/metric-$i.rrd {DEFINITION}; done",
            FILES - 1
        );
        container.shell(&line)?.good("make the files").map(drop)
    }

    fn client(&self) -> Client {
        Client {
            argv: vec!["rrdtool".to_owned(), "-".to_owned()],
            // The same point everywhere: files of different moments show it.
            say: |n| {
                let at = BEGIN + n;
                (0..FILES).map(|i| format!("update /data/rrd/metric-{i}.rrd {at}:{n}\n")).collect()
            },
            lines: FILES,
            heard: |line, _n| line.starts_with("OK"),
            pace: 2,
        }
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        // What the daemon found in its journal is in the files after this, as it would be after a while.
        let line = format!(
            "set -e; if [ -n \"${{RRDCACHED_ADDRESS:-}}\" ]; then rrdtool flushcached /data/rrd/*.rrd; fi
             unset RRDCACHED_ADDRESS; rrdtool create /tmp/like.rrd {DEFINITION}; wanted=$(stat -c %s /tmp/like.rrd)
             for file in /data/rrd/*.rrd; do
               [ \"$(stat -c %s \"$file\")\" = \"$wanted\" ] || {{ echo \"$file has a wrong size\" >&2; exit 1; }}
               rrdtool dump \"$file\" >/dev/null; rrdtool lastupdate \"$file\" >/dev/null
             done
             [ \"$(ls /data/rrd/*.rrd | wc -l)\" = {FILES} ]"
        );
        let said = container.shell(&line)?;
        if said.status != 0 {
            return Ok(said.verdict("rrdtool"));
        }
        for range in ledger.ranges() {
            let (first, last) = (*range.start(), *range.end());
            for file in 0..FILES {
                let rows = rows(&fetch(container, file, first, last)?);
                if let Some(number) = (first..=last).find(|n| rows.get(n) != Some(n)) {
                    let found = rows.get(&number);
                    return Ok(Err(format!("metric-{file}: the row of {number} is {found:?}")));
                }
            }
        }
        Ok(Ok(()))
    }

    fn spoil(&self) -> Spoil {
        // The header, of which the size and the places of all rows follow.
        Spoil { file: "echo rrd/metric-0.rrd", at: 0 }
    }
}

fn fetch(container: &Container, file: u32, first: u64, last: u64) -> io::Result<Said> {
    // What is fetched begins after the first second that is asked for.
    let (start, end) = ((BEGIN + first - 1).to_string(), (BEGIN + last).to_string());
    let path = format!("/data/rrd/metric-{file}.rrd");
    let program = ["env", "-u", "RRDCACHED_ADDRESS", "rrdtool", "fetch", &path, "LAST"];
    container.exec(&[&program[..], &["-r", "1", "-s", &start, "-e", &end]].concat(), "")
}

/// Numbers by their rows: `1000000001: 1.0000000000e+00`.
fn rows(said: &Said) -> BTreeMap<u64, u64> {
    let row = |line: &str| {
        let (at, value) = line.split_once(": ")?;
        let number = at.trim().parse::<u64>().ok()?.checked_sub(BEGIN)?;
        let value: f64 = value.trim().parse().ok()?;
        whole(value).map(|value| (number, value))
    };
    said.stdout.lines().filter_map(row).collect()
}

/// A value that is a number that was said; `None` for an unknown one, and for an average of two.
fn whole(value: f64) -> Option<u64> {
    format!("{value:.0}").parse().ok().filter(|_| value.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_those_without_a_value_are_not() {
        let stdout = "                      n\n\n1000000001: 1.0000000000e+00\n1000000002: -nan\n1000000003: 2.5e+00\n\
                      1000012345: 1.2345000000e+04\n";
        let said = Said { status: 0, stdout: stdout.to_owned(), stderr: String::new() };
        assert_eq!(rows(&said), BTreeMap::from([(1, 1), (12345, 12345)]));
    }
}
