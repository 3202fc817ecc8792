//! Mode `postgres`: a copy of a running server in its backup mode, with the log that makes it a database again.
//!
//! ```text
//! session: slot that keeps the log → backup mode on → first pass, all but the log, while the server writes
//!   → control file → backup mode off: label, end of the log → second pass: the log, and these in their places
//!   → is every segment there, from the label's to the last? → session ends
//! ```
//!
//! Nobody is held. Files of the first pass are of many moments; whoever starts a server on the copy has it put them right
//! from the log, which begins where the label says. So always true: a copy without its label, or with a gap in its log,
//! is no snapshot; a session that has not lasted from the slot to the end of the second pass voids both passes; and what
//! is dropped ends the session, which ends backup mode and removes the slot.

mod folders;
mod questions;
mod session;
mod wal;

use std::time::Duration;

use archive::path::TreePath;
use archive::scope::Scope;
use async_trait::async_trait;
use futures_util::future::BoxFuture;

use self::folders::{Folders, within};
use self::questions::{
    CONTROL, FACTS, Facts, OLDEST, Stopped, TABLESPACES, control, keep_log, start, stop, texts,
};
use self::session::{Session, speaker};
use self::wal::Segments;
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::port::docker::{Container, ContainerState};
use crate::usecase::backup::Deed;
use crate::usecase::guest::Guest;
use crate::usecase::pass::Passed;
use crate::usecase::recipe::client::PATIENCE;
use crate::usecase::recipe::place::somebody_else;
use crate::usecase::recipe::{Recipe, Second};
use crate::usecase::source::User;

/// Backup mode begins with a checkpoint, which writes out all that a server holds in memory.
const START_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The control file is read until it is the same twice: a read may come in the middle of a write.
const CONTROL_READS: usize = 20;

/// How the helper says that a required file is missing.
const INCOMPLETE: &str = "is needed with";

/// A server whose data folder is in the source.
struct Server {
    container: Container,
    session: Session,
    facts: Facts,
    folders: Folders,
}

/// A server, once it was found.
#[derive(Default)]
pub(super) struct Postgres {
    server: Option<Server>,
    /// Somebody else writes to the source, too, and the policy allows it.
    is_shared: bool,
}

/// A container that may have the server.
struct Candidate<'a> {
    guest: Guest<'a>,
    user: &'a User,
    /// Who its programs run as.
    speaker: Option<&'static str>,
}

impl Candidate<'_> {
    fn name(&self) -> &str {
        &self.user.container.name
    }

    /// A path without links.
    async fn resolve(&self, path: &str) -> Result<String, Failure> {
        let said = self.guest.run(&["readlink", "-f", path], self.speaker, b"", PATIENCE).await?;
        match said.stdout.trim_end_matches('\n') {
            real if said.status == 0 && real.starts_with('/') => Ok(real.to_owned()),
            _ => {
                let what = format!("look where `{path}` of container `{}` is", self.name());
                Err(Failure::failed(what).because(said.ending()))
            }
        }
    }

    /// The server, if its data folder is in the source; else what it is instead.
    async fn look(&self) -> Result<Result<Server, String>, Failure> {
        let mut session = Session::begin(&self.guest, self.speaker, self.name()).await?;
        let deed = "look where its files are";
        let lines = session.ask(deed, FACTS, PATIENCE).await?;
        let facts = Facts::read(&lines).ok_or_else(|| session.strange(deed, &lines))?;
        let container = &self.user.container;
        let locate = |path: &str| within(&container.mounts, &self.user.at, path);
        let data_path = self.resolve(&facts.data).await?;
        let data = match locate(&data_path) {
            Ok(data) => data,
            Err(elsewhere) => return Ok(Err(format!("keeps `{data_path}` {}", elsewhere.words()))),
        };
        let lines = session.ask(deed, TABLESPACES, PATIENCE).await?;
        let paths = texts(&lines).ok_or_else(|| session.strange(deed, &lines))?;
        let (mut tablespaces, mut outside) = (Vec::new(), Vec::new());
        let log = self.place(&locate, &format!("{data_path}/pg_wal"), &mut outside).await?;
        for path in paths {
            let path = if path.starts_with('/') { path } else { format!("{data_path}/{path}") };
            tablespaces.push(self.place(&locate, &path, &mut outside).await?);
        }
        if !outside.is_empty() {
            let what = format!("PostgreSQL in container `{}` has files outside of the source", self.name());
            return Err(Failure::new(Class::Unsafe, what).because(outside.join("; ")).hint(
                "keep the write-ahead log and all tablespaces in the volume of the data folder: they are worth nothing \
                 without each other",
            ));
        }
        let folders = Folders { data, log, tablespaces };
        Ok(Ok(Server { container: container.clone(), session, facts, folders }))
    }

    /// Where a folder of the server is; what is not in the source is told with all others that are not.
    async fn place(
        &self,
        locate: &(dyn Fn(&str) -> Result<TreePath, folders::Elsewhere> + Send + Sync),
        path: &str,
        outside: &mut Vec<String>,
    ) -> Result<TreePath, Failure> {
        let real = self.resolve(path).await?;
        Ok(locate(&real).unwrap_or_else(|elsewhere| {
            outside.push(format!("`{path}` is {}", elsewhere.words()));
            TreePath::root()
        }))
    }
}

impl Postgres {
    /// The server among those who write to the source.
    async fn find(deed: &Deed<'_>) -> Result<Server, Failure> {
        let (mut instead, mut failed) = (Vec::new(), None);
        for user in deed.source.users.iter().filter(|user| user.writable && user.is_up()) {
            let name = &user.container.name;
            if user.container.state != ContainerState::Running {
                instead.push(format!("`{name}` is paused, or is being restarted"));
                continue;
            }
            let guest = deed.guest(&user.container);
            let found = async {
                match speaker(&guest).await? {
                    Ok(speaker) => Candidate { guest, user, speaker }.look().await,
                    Err(why) => Ok(Err(why)),
                }
            };
            match found.await {
                Ok(Ok(server)) => return Ok(server),
                Ok(Err(why)) => instead.push(format!("`{name}` {why}")),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        Err(failed.unwrap_or_else(|| {
            let source = &deed.request.source;
            let what = format!("no container that writes to `{source}` is a PostgreSQL with its data in it");
            Failure::new(Class::Unsafe, what).because(instead.join("; ")).hint(
                "use an image of PostgreSQL that has `psql`, as the official ones do, or choose mode `pause` or `stop`",
            )
        }))
    }

    fn server(&mut self, deed: &Deed<'_>) -> Result<&mut Server, Failure> {
        let lost =
            || Failure::failed(format!("back up `{}`", deed.request.source)).because("it has no session");
        self.server.as_mut().ok_or_else(lost)
    }
}

/// The control file, as it was at one moment of backup mode.
async fn control_file(session: &mut Session) -> Result<Vec<u8>, Failure> {
    let what = "read the control file";
    let mut before = Vec::new();
    for _ in 0..CONTROL_READS {
        let lines = session.ask(what, CONTROL, PATIENCE).await?;
        let now = control(&lines).ok_or_else(|| session.strange(what, &lines))?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(session.strange(what, &["something else each time".to_owned()]))
}

/// What cannot be copied in this way.
fn refusal(server: &Server) -> Option<Failure> {
    let (name, facts) = (&server.container.name, &server.facts);
    let refuse = |why: String| Failure::new(Class::Unsafe, format!("PostgreSQL in container `{name}` {why}"));
    if facts.is_standby {
        let failure = refuse("is a standby, or recovers".to_owned());
        return Some(failure.hint("back up its primary, or choose mode `pause` or `stop`"));
    }
    (facts.version < OLDEST).then(|| {
        let why = format!("has version {}; this mode knows 13 and newer ones", facts.version_words());
        refuse(why).hint("choose mode `pause` or `stop`")
    })
}

#[async_trait]
impl Recipe for Postgres {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        let mut server = Self::find(deed).await?;
        if let Some(failure) = refusal(&server) {
            return Err(failure);
        }
        if let Some(other) = somebody_else(&deed.source.users, &server.container) {
            deed.or_live(&format!(
                "container `{other}` writes to it, too, and PostgreSQL does not answer for that"
            ))?;
            self.is_shared = true;
        }
        let Server { session, facts, .. } = &mut server;
        let run = deed.run.id();
        session.ask("keep the write-ahead log", &keep_log(run), PATIENCE).await?;
        session.ask("begin backup mode", &start(facts.version, run), START_PATIENCE).await?;
        self.server = Some(server);
        Ok(())
    }

    fn first(&self) -> Option<Scope> {
        self.server.as_ref().map(|server| server.folders.first())
    }

    fn second(&self) -> Second {
        Second::Part
    }

    async fn beside(
        &mut self,
        deed: &Deed<'_>,
        read: BoxFuture<'_, Result<Passed, Failure>>,
    ) -> Result<Passed, Failure> {
        let server = self.server(deed)?;
        server.session.beside(deed.host.clock(), read).await.map_err(|failure| {
            if !failure.to_string().contains(INCOMPLETE) {
                return failure;
            }
            failure.hint(
                "nothing was committed; if the server has removed log that the copy needs, raise `max_slot_wal_keep_size` \
                 in its settings, or back up when less is written",
            )
        })
    }

    async fn part(&mut self, deed: &Deed<'_>) -> Result<Scope, Failure> {
        let Server { session, facts, folders, container } = self.server(deed)?;
        let control = control_file(session).await?;
        let what = "end backup mode";
        let lines = session.ask(what, &stop(facts.version), PATIENCE).await?;
        let stopped = Stopped::read(&lines).ok_or_else(|| session.strange(what, &lines))?;
        let void = |why: String| {
            Failure::failed(format!("{what} with PostgreSQL in container `{}`", container.name)).because(why)
        };
        let needed = Segments::needed(&stopped.label, stopped.at, facts.segment_bytes).map_err(void)?;
        if !needed.ends_in(&stopped.segment) {
            return Err(void(format!("it ended in `{}`, not in `{}`", stopped.segment, needed.last())));
        }
        Ok(folders.second(&control, &stopped, &needed))
    }

    async fn end(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        let Some(Server { session, .. }) = self.server.take() else { return Ok(()) };
        // All that was read was read before this; a server that is slow to let go of a session has done its part.
        if let Err(failure) = session.end().await {
            deed.warn(failure.to_string());
        }
        Ok(())
    }

    fn consistency(&self) -> Consistency {
        if self.is_shared { Consistency::Live } else { Consistency::Postgres }
    }
}
