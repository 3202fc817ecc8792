//! MySQL and MariaDB: the server recovers the copy without a network and without asking for passwords, its own check
//! reads every table and index, a dump reads every row, and its log says nothing of corruption.

use std::time::Duration;

use super::shell::{first_of, line};
use super::signs::Place;
use super::stage::{Answer, Asked, Ended, Found, Ready, Server, Stage, first_lines, last_line};
use crate::failure::{Class, Failure};
use crate::usecase::guest::Said;

/// A slow shutdown writes all that is in memory.
const STOP_GRACE: Duration = Duration::from_secs(300);

/// Lines of a checker that are told.
const LINES: usize = 3;

/// Arguments: the data folder, bytes of the buffer pool, and those that this server needs, which come first: some count
/// only there.
///
/// A transaction that was being committed is settled by the binary log, and without it a server that had one does not start.
const START: &str = "data=\"$1\"; pool=\"$2\"; shift 2\n\
    log=--skip-log-bin; cd \"$data\" || exit\n\
    for index in *.index; do\n\
    case \"$index\" in *relay*|'*.index') ;; *) log=--log-bin=\"$data/${index%.index}\" ;; esac\n\
    done\n\
    if command -v mariadbd >/dev/null 2>&1; then server=mariadbd; set -- \"$@\" --skip-log-error; else server=mysqld; fi\n\
    exec \"$server\" \"$@\" --datadir=\"$data\" --skip-networking --skip-grant-tables \"$log\" --server-id=1 \\\n\
    --socket=/tmp/mysql.sock --pid-file=/tmp/mysql.pid --tmpdir=/tmp --innodb-buffer-pool-size=\"$pool\" \\\n\
    --innodb-force-recovery=0 --loose-mysqlx=OFF --loose-event-scheduler=OFF --loose-skip-slave-start\n";

/// What its log does not say of a copy that is whole.
const BAD_WORDS: [&str; 4] = ["corrupt", "in the future", "not applying", "marked as crashed"];

/// The server that a data folder belongs to.
pub(super) struct Database<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) place: &'a Place,
    /// As the data folder tells it, if it does.
    pub(super) version: Option<String>,
    /// Its folder in the trial.
    pub(super) data: String,
}

impl Database<'_> {
    /// Refuses another version before anything is fetched for it.
    pub(super) async fn prepare(&self) -> Result<(), Failure> {
        let ended = self.stage.ask_image(first_of(&["mariadbd", "mysqld"], &["--version"])).await?;
        let image = &self.stage.image_name;
        let other = "name an image of that version with `--image`, or `image` in `[drill]` of its policy";
        if ended.status != 0 {
            return Err(Failure::new(Class::NotFound, format!("image `{image}` has no server of MySQL"))
                .because(ended.why)
                .hint(other));
        }
        let (Some(of), Some(has)) = (self.version.as_deref().and_then(release), release(&ended.said)) else {
            return Ok(());
        };
        if of == has {
            return Ok(());
        }
        let what =
            format!("the snapshot is of release {of}, and image `{image}` has {}", last_line(&ended.said));
        Err(Failure::new(Class::Unsafe, what).hint(other))
    }

    /// Judges the restored data.
    pub(super) async fn judge(&self) -> Result<Found, Failure> {
        let pool = (self.stage.memory_bytes / 4).to_string();
        let mut start = line(START, &[&self.data, &pool]);
        start.extend_from_slice(&self.stage.arguments);
        let mut server = self.stage.server(start, &self.place.user()).await?;
        let ping = client(&["mariadb-admin", "mysqladmin"], &["ping"]);
        match server.ready(&ping, up).await? {
            Ready::Up => {}
            Ready::Down(why) | Ready::Refused(why) => return Ok(Found::Bad(why)),
        }
        let asked = self.ask(&mut server).await;
        // Its words are kept whatever was found.
        let stopped = server.stop(STOP_GRACE).await;
        let (asked, stopped) = (asked?, stopped?);
        match asked {
            Found::Good(good) => Ok(after(good, &stopped)),
            other @ (Found::Bad(_) | Found::Missing(_)) => Ok(other),
        }
    }

    async fn ask(&self, server: &mut Server<'_>) -> Result<Found, Failure> {
        let check = client(&["mariadb-check", "mysqlcheck"], &["--all-databases", "--extended"]);
        let check = match server.ask(&check).await? {
            Asked::Said(said) => said,
            Asked::Gone(why) => return Ok(Found::Bad(why)),
        };
        if check.status == 127 {
            return Ok(Found::Missing("the image has neither `mariadb-check` nor `mysqlcheck`".to_owned()));
        }
        if let Some(bad) = bad_table(&check) {
            return Ok(Found::Bad(bad));
        }
        let all =
            ["--all-databases", "--single-transaction", "--quick", "--hex-blob", "--result-file=/dev/null"];
        let dump = match server.ask(&client(&["mariadb-dump", "mysqldump"], &all)).await? {
            Asked::Said(said) => said,
            Asked::Gone(why) => return Ok(Found::Bad(why)),
        };
        Ok(match dump.status {
            0 => Found::Good("every table was checked, and every row could be dumped".to_owned()),
            127 => Found::Missing("the image has neither `mariadb-dump` nor `mysqldump`".to_owned()),
            _ => Found::Bad(format!("dump: {}", dump.last_words)),
        })
    }
}

fn client(programs: &[&str], more: &[&str]) -> Vec<String> {
    first_of(programs, &[&["--no-defaults", "--socket=/tmp/mysql.sock", "--user=root"][..], more].concat())
}

fn up(said: &Said) -> Answer {
    if said.status == 0 { Answer::Ready } else { Answer::NotYet }
}

/// What the check says of a table that is not fine. Its status is zero whatever it found.
fn bad_table(check: &Said) -> Option<String> {
    let bad = |line: &&str| {
        let line = line.trim().to_lowercase();
        line.starts_with("error") || BAD_WORDS.iter().any(|word| line.contains(word))
    };
    let mut table = "";
    for line in check.stdout.lines() {
        if bad(&line) {
            return Some(format!("check of {}: {}", table.trim(), line.trim()));
        }
        if !line.starts_with(' ') && !line.contains(" : ") {
            table = line.split_whitespace().next().unwrap_or(table);
        }
    }
    let broke = || format!("check: {} {}", first_lines(&check.stdout, LINES), check.last_words);
    (check.status != 0).then(broke)
}

fn after(good: String, stopped: &Ended) -> Found {
    let low = |line: &&str| BAD_WORDS.iter().any(|word| line.to_lowercase().contains(word));
    if let Some(line) = stopped.said.lines().find(low) {
        return Found::Bad(format!("the server's log: {}", line.trim()));
    }
    if stopped.status != 0 {
        let why = format!("the server did not stop cleanly: {}: {}", stopped.why, last_line(&stopped.said));
        return Found::Bad(why);
    }
    Found::Good(good)
}

/// `10.11` of `10.11.6-MariaDB`, and of what a server says of itself.
fn release(said: &str) -> Option<String> {
    let mut words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    let number = words
        .find(|word| word.matches('.').count() >= 2 && word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_files_and_programs() {
        for (said, want) in [
            ("10.11.6-MariaDB", Some("10.11")),
            (
                "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Some("10.11"),
            ),
            ("/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", Some("8.0")),
            ("nothing", None),
        ] {
            assert_eq!(release(said).as_deref(), want, "{said}");
        }
    }

    fn check(stdout: &str, status: i64) -> Option<String> {
        bad_table(&Said { status, stdout: stdout.to_owned(), last_words: "gone".to_owned() })
    }

    #[test]
    fn a_table_that_is_not_fine_is_named() {
        let fine = "mysql.db                     OK\nmysql.log\n\
                    note     : The storage engine for the table doesn't support check\nshop.orders   OK\n";
        assert_eq!(check(fine, 0), None);
        assert_eq!(check(fine, 2).unwrap().split(' ').next_back(), Some("gone"));
        let bad = "mysql.db      OK\nshop.orders\nWarning  : InnoDB: The B-tree of index PRIMARY is corrupted.\n\
                   error    : Corrupt\n";
        let want = "check of shop.orders: Warning  : InnoDB: The B-tree of index PRIMARY is corrupted.";
        assert_eq!(check(bad, 0).as_deref(), Some(want));
    }

    #[test]
    fn a_log_that_speaks_of_corruption_is_no_good_end() {
        let ended = |said: &str, status| Ended { status, why: "it ended".to_owned(), said: said.to_owned() };
        assert_eq!(after("good".into(), &ended("InnoDB: ready\n", 0)), Found::Good("good".into()));
        let future =
            ended("x\n[ERROR] InnoDB: Page [page id: space=0] log sequence number is in the future!\n", 0);
        assert!(matches!(after("good".into(), &future), Found::Bad(why) if why.contains("in the future")));
        assert!(matches!(after("good".into(), &ended("", 137)), Found::Bad(_)));
    }
}
