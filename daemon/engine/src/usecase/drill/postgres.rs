//! PostgreSQL: a server of the same major version recovers the copy, `pg_amcheck` reads every table and index, a dump
//! reads every row, and after a clean stop the checksums of all pages are right, where there are any.
//!
//! That it is up, answers, and has right page checksums was so for most copies that were corrupt. So only
//! `pg_amcheck` and the dump decide; without the first, nothing is proven.

use std::time::Duration;

use super::shell::line;
use super::signs::Place;
use super::stage::{Answer, Asked, Ended, Found, Ready, Server, Stage, first_lines, last_line};
use crate::failure::{Class, Failure};
use crate::usecase::guest::Said;

/// A checkpoint of all that was recovered.
const STOP_GRACE: Duration = Duration::from_secs(120);

/// Lines of a checker that are told.
const LINES: usize = 3;

/// Arguments: where the programs are, the data folder, kilobytes of shared buffers, and those that this server needs.
///
/// The copy is alone: it archives nothing, follows nobody, waits for no standby, and takes nobody's word for who may
/// log in but that of its socket, which is where we look for it. What its settings name outside of the volume is not there.
const START: &str = "PATH=\"$1:$PATH\"; data=\"$2\"; buffers=\"$3\"; shift 3\n\
    cd \"$data\" && rm -f postmaster.pid standby.signal recovery.signal recovery.conf || exit\n\
    echo 'local all all trust' >/tmp/hba && : >/tmp/ident || exit\n\
    conf=\"$data/postgresql.conf\"; [ -f \"$conf\" ] || { conf=/tmp/postgresql.conf; : >\"$conf\"; }\n\
    exec postgres \"$@\" -D \"$data\" -c config_file=\"$conf\" -c data_directory=\"$data\" -c hba_file=/tmp/hba \\\n\
    -c ident_file=/tmp/ident -c external_pid_file=/tmp/external.pid -c archive_mode=off -c listen_addresses= -c port=5432 \\\n\
    -c unix_socket_directories=/tmp -c unix_socket_group= -c unix_socket_permissions=0777 -c lc_messages=C \\\n\
    -c ssl=off -c synchronous_standby_names= \\\n\
    -c logging_collector=off -c log_destination=stderr -c shared_buffers=\"$buffers\"kB -c huge_pages=off \\\n\
    -c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off\n";

/// Arguments: as above. Prints the name of the role that made the cluster, which may log in whatever else was changed.
const WHO: &str = "PATH=\"$1:$PATH\"; data=\"$2\"; buffers=\"$3\"; shift 3\n\
    cd \"$data\" && rm -f postmaster.pid standby.signal recovery.signal recovery.conf || exit\n\
    conf=\"$data/postgresql.conf\"; [ -f \"$conf\" ] || { conf=/tmp/postgresql.conf; : >\"$conf\"; }\n\
    echo 'SELECT rolname FROM pg_authid WHERE oid = 10' | postgres --single \"$@\" -D \"$data\" \\\n\
    -c config_file=\"$conf\" -c data_directory=\"$data\" -c archive_mode=off -c logging_collector=off \\\n\
    -c huge_pages=off -c shared_buffers=\"$buffers\"kB template1\n";

/// Runs a program of the server's own folder: where that is, the program, its arguments. What was set for a role or a
/// database counts more than what the server was started with, and less than this.
const PROGRAM: &str = "PATH=\"$1:$PATH\"; shift\n\
    export PGOPTIONS='-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0'\n\
    exec \"$@\"\n";

/// A cluster on the stage.
pub(super) struct Cluster<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) place: &'a Place,
    /// As in `PG_VERSION`.
    pub(super) version: String,
    /// Its folder in the trial.
    pub(super) data: String,
}

impl Cluster<'_> {
    /// Refuses another major version before anything is fetched for it.
    pub(super) async fn prepare(&self) -> Result<(), Failure> {
        let ended = self.stage.ask_image(self.program(&["postgres", "--version"])).await?;
        let image = &self.stage.image_name;
        let other = "name an image of that version with `--image`, or `image` in `[drill]` of its policy";
        if ended.status != 0 {
            return Err(Failure::new(
                Class::NotFound,
                format!("image `{image}` has no server of PostgreSQL"),
            )
            .because(ended.why)
            .hint(other));
        }
        let has = major(&ended.said).unwrap_or_default();
        if has != self.version {
            let what = format!(
                "the snapshot is of PostgreSQL {}, and image `{image}` has {}",
                self.version,
                last_line(&ended.said)
            );
            return Err(Failure::new(Class::Unsafe, what).hint(other));
        }
        Ok(())
    }

    /// Judges the restored cluster.
    pub(super) async fn judge(&self) -> Result<Found, Failure> {
        let (mut server, role) = match self.start("postgres").await? {
            Started::Up(server) => (server, "postgres".to_owned()),
            Started::Down(why) => return Ok(Found::Bad(why)),
            Started::NoRole => {
                let Some(role) = self.who().await? else {
                    return Ok(Found::Bad(
                        "nobody can log in: the role that made the cluster is gone".to_owned(),
                    ));
                };
                match self.start(&role).await? {
                    Started::Up(server) => (server, role),
                    Started::Down(why) => return Ok(Found::Bad(why)),
                    Started::NoRole => return Ok(Found::Bad(format!("role `{role}` cannot log in"))),
                }
            }
        };
        let asked = self.ask(&mut server, &role).await;
        // Its words are kept whatever was found.
        let stopped = server.stop(STOP_GRACE).await;
        let (asked, stopped) = (asked?, stopped?);
        match asked {
            Found::Good(_) => self.after(stopped).await,
            other @ (Found::Bad(_) | Found::Missing(_)) => Ok(other),
        }
    }

    fn bin(&self) -> String {
        format!("/usr/lib/postgresql/{0}/bin:/usr/pgsql-{0}/bin", self.version)
    }

    fn program(&self, words: &[&str]) -> Vec<String> {
        let bin = self.bin();
        let words: Vec<&str> = std::iter::once(bin.as_str()).chain(words.iter().copied()).collect();
        line(PROGRAM, &words)
    }

    fn script(&self, script: &str) -> Vec<String> {
        let buffers = (self.stage.memory_bytes / 8 / 1024).clamp(1024, 128 << 10).to_string();
        let mut argv = line(script, &[&self.bin(), &self.data, &buffers]);
        argv.extend_from_slice(&self.stage.arguments);
        argv
    }

    async fn start(&self, role: &str) -> Result<Started<'_>, Failure> {
        let mut server = self.stage.server(self.script(START), &self.place.user()).await?;
        let question = ["-d", "template1", "-XAtqc", "SELECT pg_is_in_recovery()"];
        let asked = self.program(&with("psql", role, &question));
        Ok(match server.ready(&asked, up).await? {
            Ready::Up => Started::Up(Box::new(server)),
            Ready::Down(why) => Started::Down(why),
            Ready::Refused(_) => {
                server.stop(STOP_GRACE).await?;
                Started::NoRole
            }
        })
    }

    /// The role that made the cluster, as the server alone tells it.
    async fn who(&self) -> Result<Option<String>, Failure> {
        let ended = self.stage.once(self.script(WHO), &self.place.user()).await?;
        Ok(role_in(&ended.said))
    }

    async fn ask(&self, server: &mut Server<'_>, role: &str) -> Result<Found, Failure> {
        let all = ["--all", "--maintenance-db=template1", "--install-missing", "--heapallindexed"];
        let amcheck = match server.ask(&self.program(&with("pg_amcheck", role, &all))).await? {
            Asked::Said(said) => said,
            Asked::Gone(why) => return Ok(Found::Bad(why)),
        };
        if amcheck.status == 127 {
            let why = "the image has no `pg_amcheck`, which comes with PostgreSQL 14";
            return Ok(Found::Missing(why.to_owned()));
        }
        if amcheck.last_words.contains("extension control file") {
            return Ok(Found::Missing("the image has no extension `amcheck`".to_owned()));
        }
        if amcheck.status != 0 {
            return Ok(Found::Bad(format!("pg_amcheck: {}", told(&amcheck))));
        }
        // It would have what it wrote brought to the disk, which cannot be done there.
        let nowhere = ["--file=/dev/null", "--no-sync"];
        let dump = match server.ask(&self.program(&with("pg_dumpall", role, &nowhere))).await? {
            Asked::Said(said) => said,
            Asked::Gone(why) => return Ok(Found::Bad(why)),
        };
        if dump.status != 0 {
            return Ok(Found::Bad(format!("pg_dumpall: {}", told(&dump))));
        }
        Ok(Found::Good(String::new()))
    }

    /// It must end as it was told to, and what it leaves must have right checksums.
    async fn after(&self, stopped: Ended) -> Result<Found, Failure> {
        if stopped.status != 0 {
            let why =
                format!("the server did not stop cleanly: {}: {}", stopped.why, last_line(&stopped.said));
            return Ok(Found::Bad(why));
        }
        let good = "pg_amcheck found nothing wrong in any database, and every row could be dumped";
        let argv = self.program(&["pg_checksums", "--check", "-D", &self.data]);
        let sums = self.stage.once(argv, &self.place.user()).await?;
        Ok(match sums.status {
            0 => Found::Good(format!("{good}; all page checksums are right")),
            // There are none, or the program is older than them.
            127 => Found::Good(good.to_owned()),
            _ if sums.said.contains("not enabled") => {
                Found::Good(format!("{good}; it has no page checksums"))
            }
            _ => Found::Bad(format!("pg_checksums: {}", first_lines(&sums.said, LINES))),
        })
    }
}

enum Started<'a> {
    Up(Box<Server<'a>>),
    Down(String),
    /// It has no role of that name.
    NoRole,
}

/// A client program with what all of them are told.
fn with<'a>(program: &'a str, role: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[program, "-h", "/tmp", "-p", "5432", "-U", role][..], more].concat()
}

/// It is up when it has recovered.
fn up(said: &Said) -> Answer {
    match said.stdout.trim() {
        "f" if said.status == 0 => Answer::Ready,
        _ if said.last_words.contains("role \"") && said.last_words.contains("does not exist") => {
            Answer::Never
        }
        _ => Answer::NotYet,
    }
}

fn told(said: &Said) -> String {
    let words = first_lines(&said.stdout, LINES);
    if words.is_empty() { said.last_words.clone() } else { words }
}

/// `15` of `postgres (PostgreSQL) 15.5 (Debian …)`, `9.6` of a version that old.
fn major(said: &str) -> Option<String> {
    let after = said.split("(PostgreSQL) ").nth(1)?;
    let digits: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let mut parts = digits.split('.');
    match (parts.next()?, parts.next()) {
        (first, Some(second)) if first.parse::<u32>().ok()? < 10 => Some(format!("{first}.{second}")),
        (first, _) => Some(first.to_owned()),
    }
}

/// `app` of `1: rolname = "app" (typeid = 19, …)`, as the server prints it when it is alone.
fn role_in(said: &str) -> Option<String> {
    let name = said.split("rolname = \"").nth(1)?.split('"').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_major_part() {
        for (said, want) in [
            ("postgres (PostgreSQL) 15.5 (Debian 15.5-1.pgdg120+1)\n", Some("15")),
            ("postgres (PostgreSQL) 9.6.24\n", Some("9.6")),
            ("postgres (PostgreSQL) 17beta1\n", Some("17")),
            ("sh: postgres: not found", None),
        ] {
            assert_eq!(major(said).as_deref(), want, "{said}");
        }
    }

    #[test]
    fn the_role_is_read_from_what_the_server_prints_when_alone() {
        let said = "PostgreSQL stand-alone backend 15.5\nbackend> \t 1: rolname\t(typeid = 19)\n\t----\n\
                    \t 1: rolname = \"shop app\"\t(typeid = 19, len = 64)\n";
        assert_eq!(role_in(said).as_deref(), Some("shop app"));
        assert_eq!(role_in("FATAL: could not read"), None);
    }

    #[test]
    fn a_server_is_up_when_it_has_recovered() {
        let said = |status, stdout: &str, last_words: &str| Said {
            status,
            stdout: stdout.to_owned(),
            last_words: last_words.to_owned(),
        };
        assert!(matches!(up(&said(0, "f\n", "")), Answer::Ready));
        assert!(matches!(up(&said(0, "t\n", "")), Answer::NotYet));
        let starting = "FATAL: the database system is starting up";
        assert!(matches!(up(&said(2, "", starting)), Answer::NotYet));
        assert!(matches!(up(&said(2, "", "FATAL: role \"postgres\" does not exist")), Answer::Never));
    }
}
