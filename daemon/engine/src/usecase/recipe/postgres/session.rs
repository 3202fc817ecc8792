//! A session with a PostgreSQL server, through the client in its container: backup mode lasts as long as it does.
//!
//! Always true: one question at a time, each answered within a bound or never; and whoever drops the session, or dies,
//! ends it, and with it backup mode and the slot that keeps the log.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::questions::{ALIVE, SETTLE};
use crate::failure::{Class, Failure};
use crate::port::clock::Clock;
use crate::usecase::guest::{Guest, Talk};
use crate::usecase::recipe::client::{PATIENCE, argv};

const SCRIPT: &str = include_str!("../postgres.sh");

/// Says who we are without further ado, whether there is a user of that name, and a client.
const WHO: &str = "\
    echo \"user=$(id -u)\"\n\
    if id -u postgres >/dev/null 2>&1; then echo postgres=yes; fi\n\
    if command -v psql >/dev/null 2>&1; then echo client=yes; fi\n";

/// Told by the server after all that was asked before it.
const MARK: &str = "backupd:heard";

/// A session is asked so often whether it is there. The server ends one that says nothing after many times that.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A session.
pub(super) struct Session {
    talk: Talk,
    /// The container's name.
    name: String,
}

/// Whose programs may speak to the server; `Err` says why there is nobody.
pub(super) async fn speaker(guest: &Guest<'_>) -> Result<Result<Option<&'static str>, String>, Failure> {
    let said = guest.run(&argv(WHO, &[]), None, b"", PATIENCE).await?;
    if said.was_not_started() {
        return Ok(Err(format!("has no shell: {}", said.last_words)));
    }
    let has = |line: &str| said.stdout.lines().any(|said| said == line);
    Ok(match has("client=yes") {
        false => Err("has no `psql`".to_owned()),
        // A server never runs as root; one whose container does not either runs as its user.
        true => Ok(Some("postgres").filter(|_| has("user=0") && has("postgres=yes"))),
    })
}

impl Session {
    /// Begins one, with a server that is not known yet.
    pub(super) async fn begin(guest: &Guest<'_>, user: Option<&str>, name: &str) -> Result<Self, Failure> {
        let talk = guest.talk(&argv(SCRIPT, &[]), user).await?;
        let mut session = Self { talk, name: name.to_owned() };
        session.ask("look who is there", SETTLE, PATIENCE).await?;
        Ok(session)
    }

    /// The lines of an answer.
    pub(super) async fn ask(
        &mut self,
        deed: &str,
        question: &str,
        patience: Duration,
    ) -> Result<Vec<String>, Failure> {
        let text = format!("{question}\nSELECT '{MARK}';\n");
        let answer = self.talk.ask(&text, MARK, patience).await;
        answer.map_err(|failure| explain(&self.name, deed, failure))
    }

    /// The answer made no sense.
    pub(super) fn strange(&self, deed: &str, lines: &[String]) -> Failure {
        let said: String = lines.join(" ").chars().filter(|c| !c.is_control()).take(200).collect();
        Failure::failed(what(&self.name, deed)).because(format!("it answered `{said}`"))
    }

    /// Does `work`, and looks meanwhile whether the session is still there: without it the work is in vain.
    pub(super) async fn beside<T>(
        &mut self,
        clock: &dyn Clock,
        mut work: BoxFuture<'_, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = clock.sleep(LOOK_EVERY) => {}
            }
            // What was asked is heard to its end, or the next answer would be that one.
            let mut alive = pin!(self.ask("stay in backup mode", ALIVE, PATIENCE));
            let mut done = None;
            loop {
                tokio::select! {
                    answer = &mut alive => {
                        answer?;
                        break;
                    }
                    result = &mut work, if done.is_none() => done = Some(result),
                }
            }
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// Ends it, and waits until the server has let go of all that it kept for it.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let said = self.talk.end(PATIENCE).await?;
        if said.status == 0 {
            return Ok(());
        }
        Err(Failure::failed(what(&self.name, "end the session")).because(said.ending()))
    }
}

fn what(name: &str, deed: &str) -> String {
    format!("{deed} with PostgreSQL in container `{name}`")
}

/// What a server's words mean for a person. Their language is the server's, so those that we do not know stand for
/// themselves.
fn explain(name: &str, deed: &str, failure: Failure) -> Failure {
    const LOCKED: &str = "the user is `POSTGRES_USER` of the container (`postgres` without it), the password is \
                          `POSTGRES_PASSWORD` of it; if these were changed in the server since, make the container again with \
                          the new ones";
    const RIGHTS: &str = "the user of the container must be a superuser of the server";
    const SLOTS: &str = "raise `max_replication_slots` and `max_wal_senders` in the server's settings";
    const LEVEL: &str = "set `wal_level = replica` in the server's settings, or choose mode `pause`";
    const ENDED: &str = "nothing was committed; the server ends a session that keeps more of its log than `max_slot_wal_keep_size` \
                         allows, and when it is stopped";
    const KNOWN: [(&str, Class, &str); 12] = [
        ("password authentication failed", Class::WrongKey, LOCKED),
        ("no password supplied", Class::WrongKey, LOCKED),
        ("Peer authentication failed", Class::WrongKey, LOCKED),
        ("no pg_hba.conf entry", Class::WrongKey, LOCKED),
        ("role \"", Class::WrongKey, LOCKED),
        ("permission denied", Class::WrongKey, RIGHTS),
        ("must be superuser", Class::WrongKey, RIGHTS),
        ("all replication slots are in use", Class::Failed, SLOTS),
        ("max_replication_slots", Class::Failed, SLOTS),
        ("wal_level", Class::Failed, LEVEL),
        ("WAL level not sufficient", Class::Failed, LEVEL),
        ("terminating connection", Class::Failed, ENDED),
    ];
    let words = failure.to_string();
    match KNOWN.iter().find(|(sign, ..)| words.contains(sign)) {
        Some((_, class, hint)) => Failure::new(*class, what(name, deed)).because(words).hint(*hint),
        None => failure.within(&what(name, deed)).hint(format!("`docker logs {name}` may tell why")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::BufRead as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::port::docker::{Container, ContainerState, Health};
    use crate::port::exec::ExecEnd;
    use crate::testing::fake_docker::{Calls, FakeDocker, real_jobs};

    #[test]
    fn what_a_server_says_is_explained() {
        #[track_caller]
        fn check(words: &str, class: Class, hint: &str) {
            let failure = Failure::failed("run `sh` in container `db`").because(words.to_owned());
            let said = explain("db", "begin backup mode", failure);
            assert_eq!(said.class, class, "{said}");
            assert!(said.hint.as_ref().unwrap().contains(hint), "{said:?}");
            assert!(said.to_string().contains(words) && said.to_string().contains("`db`"), "{said}");
        }
        let socket = "psql: error: connection to server on socket \"/run/.s.PGSQL.5432\" failed: ";
        let fatal = |words: &str| format!("{socket}FATAL:  {words}");
        let wrong = fatal("password authentication failed for user \"postgres\"");
        check(&wrong, Class::WrongKey, "POSTGRES_PASSWORD");
        check(&fatal("role \"x\" does not exist"), Class::WrongKey, "POSTGRES_USER");
        check(&fatal("Peer authentication failed for user \"x\""), Class::WrongKey, "POSTGRES_USER");
        check("ERROR:  permission denied for function pg_backup_start", Class::WrongKey, "superuser");
        check("ERROR:  all replication slots are in use", Class::Failed, "max_replication_slots");
        check(
            "ERROR:  replication slots can only be used if wal_level >= replica",
            Class::Failed,
            "wal_level",
        );
        check(&format!("{socket}No such file or directory"), Class::Failed, "docker logs db");
        check("FATAL:  terminating connection due to administrator command", Class::Failed, "max_slot_wal");
        check("FATAL:  the database system is starting up", Class::Failed, "docker logs db");
    }

    /// Waiting costs a test nothing.
    struct Hasty;

    #[async_trait]
    impl Clock for Hasty {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        async fn sleep(&self, _span: Duration) {
            tokio::task::yield_now().await;
        }
    }

    /// A client that counts how often it was asked whether the session is there, and dies of it in the end.
    async fn session(docker: &FakeDocker, asked: &Arc<AtomicU32>, dies_at: u32) -> Session {
        docker.put_container(container());
        let asked = Arc::clone(asked);
        docker.install(Arc::new(move |_spec, input, output| {
            for line in input.lines().map_while(Result::ok) {
                let said = match line.as_str() {
                    ALIVE if asked.fetch_add(1, Ordering::SeqCst) + 1 == dies_at => {
                        return ExecEnd { status: 2, last_words: "it is gone".to_owned() };
                    }
                    ALIVE | SETTLE => "1".to_owned(),
                    other => other.trim_start_matches("SELECT '").trim_end_matches("';").to_owned(),
                };
                drop(writeln!(output, "{said}"));
            }
            ExecEnd { status: 0, last_words: String::new() }
        }));
        let guest = Guest::new(docker, &Hasty, &container());
        Session::begin(&guest, None, "db").await.unwrap()
    }

    fn container() -> Container {
        Container {
            id: "c1".to_owned(),
            name: "db".to_owned(),
            image: String::new(),
            image_id: String::new(),
            state: ContainerState::Running,
            health: Health::None,
            started_at: None,
            restart_policy: "no".to_owned(),
            labels: std::collections::BTreeMap::new(),
            mounts: Vec::new(),
            auto_remove: false,
            has_us: false,
            versions: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn a_session_is_looked_after_while_something_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let docker = FakeDocker::new(folder.path().to_owned(), real_jobs(), Calls::new().script());
        let asked = Arc::new(AtomicU32::new(0));
        let mut session = session(&docker, &asked, 40).await;
        let enough = |many: u32| {
            let asked = Arc::clone(&asked);
            async move {
                while asked.load(Ordering::SeqCst) < many {
                    tokio::task::yield_now().await;
                }
                Ok(many)
            }
        };
        // It ends while a question is under way; the next answer is its own all the same.
        for many in [1, 9, 20] {
            assert_eq!(session.beside(&Hasty, Box::pin(enough(many))).await.unwrap(), many);
            assert_eq!(session.ask("speak", "SELECT 'here';", PATIENCE).await.unwrap(), ["here"]);
        }
        let never = std::future::pending::<Result<u32, Failure>>();
        let lost = session.beside(&Hasty, Box::pin(never)).await.unwrap_err();
        assert!(lost.to_string().ends_with("it is gone"), "{lost}");
        assert_eq!(asked.load(Ordering::SeqCst), 40);
    }
}
