//! Mode `mysql`: MariaDB and MySQL, frozen at a moment from which they recover.
//!
//! ```text
//! ask the server who it is → first pass → session: block commits, or lock tables → pause → second pass
//!   → unpause → unlock in the same session
//! ```
//!
//! InnoDB writes on under any lock, so the pause is what makes a copy of one moment; the lock is for tables of other
//! engines, and for files that belong together. Always true: a server that does not answer, does not let us in or keeps
//! its files elsewhere is refused before anything is read, for a plain copy of a running one does not start; and a
//! session that has not lasted from lock to unlock voids what was read.

use async_trait::async_trait;

use crate::catalog::How;
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::port::docker::Container;
use crate::usecase::backup::Deed;
use crate::usecase::freeze::{refusal, writers};
use crate::usecase::guest::Talk;
use crate::usecase::recipe::client::{PATIENCE, ROOT, answer, argv, refused};
use crate::usecase::recipe::place::Place;
use crate::usecase::recipe::{Recipe, Second};

const SCRIPT: &str = include_str!("mysql.sh");

/// How messages call it.
const SERVER: &str = "the MySQL or MariaDB";

/// Told by the server after all that was asked before it.
const MARK: &str = "backupd:heard";

const LOOK: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'datadir', 'innodb_data_home_dir', \
                    'innodb_log_group_home_dir', 'innodb_undo_directory', 'innodb_data_file_path', \
                    'aria_log_dir_path', 'log_bin_basename', 'log_bin_index', 'innodb_doublewrite_dir');\n";

/// What a server holds back while it is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// MariaDB from 10.4.1 on: commits wait, and so does what changes tables.
    Commits,
    /// All tables are closed, and can be read only.
    Tables,
}

impl Lock {
    fn of(version: &str) -> Self {
        match version.contains("MariaDB") && numbers(version).as_slice() >= [10, 4, 1].as_slice() {
            true => Self::Commits,
            false => Self::Tables,
        }
    }

    fn on(self) -> &'static str {
        match self {
            Self::Commits => "BACKUP STAGE START;\nBACKUP STAGE BLOCK_COMMIT;",
            Self::Tables => "FLUSH TABLES WITH READ LOCK;",
        }
    }

    fn off(self) -> &'static str {
        match self {
            Self::Commits => "BACKUP STAGE END;",
            Self::Tables => "UNLOCK TABLES;",
        }
    }
}

fn numbers(version: &str) -> Vec<u32> {
    let numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    numbers.take(3).collect()
}

/// How a server of this version is asked for tables that do not lie in its data folder; `None` where no table of InnoDB can.
fn outside(version: &str) -> Option<&'static str> {
    // What MariaDB puts before its version for clients that know MySQL alone.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let (numbers, is_mariadb) = (numbers(version), version.contains("MariaDB"));
    let is_from = |first: &[u32]| numbers.as_slice() >= first;
    if is_mariadb && is_from(&[10, 6]) {
        Some("SELECT FILENAME FROM information_schema.INNODB_SYS_TABLESPACES WHERE FILENAME LIKE '/%';\n")
    } else if !is_mariadb && is_from(&[5, 7, 8]) {
        Some("SELECT FILE_NAME FROM information_schema.FILES WHERE FILE_NAME LIKE '/%';\n")
    } else if is_from(if is_mariadb { &[10] } else { &[5, 6, 6] }) {
        Some("SELECT PATH FROM information_schema.INNODB_SYS_DATAFILES WHERE PATH LIKE '/%';\n")
    } else {
        None
    }
}

/// Tables for which somebody has named a place must be in the source, too.
async fn refuse_outside(place: &Place, deed: &Deed<'_>, version: &str) -> Result<(), Failure> {
    let Some(question) = outside(version) else { return Ok(()) };
    let guest = deed.guest(&place.container);
    let said = guest.run(&argv(SCRIPT, &[]), ROOT, question.as_bytes(), PATIENCE).await?;
    if said.status != 0 {
        let name = &place.container.name;
        let what =
            format!("whether {SERVER} in container `{name}` has tables outside its folder is not known");
        return Err(refused(place, SERVER, &said.last_words).unwrap_or_else(|| {
            Failure::new(Class::Unsafe, what).because(said.ending()).hint(format!(
                "`docker logs {name}` may tell why it does not say; mode `stop` does not ask it"
            ))
        }));
    }
    match said.stdout.lines().find(|path| !place.sees(path)) {
        Some(path) => Err(place.elsewhere(SERVER, path)),
        None => Ok(()),
    }
}

/// A session that holds the lock; the server lets go when it ends.
struct Session {
    talk: Talk,
    /// The server's number of it.
    id: Vec<String>,
}

/// MySQL or MariaDB in one container.
pub(super) struct Mysql {
    place: Place,
    lock: Lock,
    session: Option<Session>,
}

impl Mysql {
    pub(super) fn new(place: Place) -> Self {
        Self { place, lock: Lock::Tables, session: None }
    }

    /// Its version. Its folders must be in the source, all of them.
    fn look<'a>(&self, variables: &'a str) -> Result<&'a str, Failure> {
        let mut version = "";
        for (name, value) in variables.lines().filter_map(|line| line.split_once('\t')) {
            if name == "version" {
                version = value;
            }
            // Of the system tablespace it names the files, each with a size.
            let paths = value.split(';').map(|path| path.split(':').next().unwrap_or_default());
            // What is not from the root is from the data folder.
            let mut outward =
                paths.filter(|path| path.starts_with('/') || path.split('/').any(|part| part == ".."));
            if let Some(path) = outward.find(|path| !self.place.sees_all_of(path)) {
                return Err(self.place.elsewhere(SERVER, path));
            }
        }
        Ok(version)
    }

    /// What went wrong, told as what it means.
    fn broke(&self, what: &str, failure: Failure) -> Failure {
        let words = failure.to_string();
        refused(&self.place, SERVER, &words).unwrap_or_else(|| failure.within(what))
    }
}

#[async_trait]
impl Recipe for Mysql {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        if let Some(why) = writers(deed.source).iter().find_map(|writer| refusal(writer, &How::Pause)) {
            return Err(Failure::failed(why));
        }
        let guest = deed.guest(&self.place.container);
        let said = guest.run(&argv(SCRIPT, &[]), ROOT, LOOK.as_bytes(), PATIENCE).await?;
        let variables = answer(&self.place, SERVER, said)?;
        let version = self.look(&variables)?;
        self.lock = Lock::of(version);
        refuse_outside(&self.place, deed, version).await
    }

    fn second(&self) -> Second {
        Second::Held(How::Pause)
    }

    async fn quiesce(&mut self, deed: &Deed<'_>, _held: &[Container]) -> Result<(), Failure> {
        let max_freeze = deed.request.consistency.max_freeze;
        let what = format!("lock the tables of {SERVER} in container `{}`", self.place.container.name);
        let mut talk = deed.guest(&self.place.container).talk(&argv(SCRIPT, &[]), ROOT).await?;
        // The server gives up by itself, too: one that waits for its lock keeps others from writing. And it must not end
        // a session for its silence, which lasts as long as the pause.
        let text = format!(
            "SET SESSION lock_wait_timeout = {}, wait_timeout = 28800;\n{}\nSELECT CONNECTION_ID();\nSELECT '{MARK}';\n",
            max_freeze.as_secs().max(1),
            self.lock.on(),
        );
        let id = talk.ask(&text, MARK, max_freeze).await.map_err(|failure| self.broke(&what, failure))?;
        self.session = Some(Session { talk, id });
        Ok(())
    }

    async fn release(&mut self, _deed: &Deed<'_>) -> Result<(), Failure> {
        let what = format!("unlock the tables of {SERVER} in container `{}`", self.place.container.name);
        let Some(Session { mut talk, id }) = self.session.take() else {
            return Err(Failure::failed(what).because("nobody has locked them"));
        };
        let text = format!("{}\nSELECT CONNECTION_ID();\nSELECT '{MARK}';\n", self.lock.off());
        let now = talk.ask(&text, MARK, PATIENCE).await.map_err(|failure| self.broke(&what, failure))?;
        if now != id {
            let why = format!("the session that had locked them is gone: {id:?}, now {now:?}");
            return Err(Failure::failed(what).because(why).hint("nothing was committed; try again"));
        }
        // It is unlocked; how the client ends changes nothing about that.
        if let Err(e) = talk.end(PATIENCE).await {
            tracing::debug!("end a session: {e}");
        }
        Ok(())
    }

    fn consistency(&self) -> Consistency {
        Consistency::Mysql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_for_tables_outside_in_words_that_it_knows() {
        for (version, want) in [
            ("10.11.14-MariaDB", Some("INNODB_SYS_TABLESPACES")),
            ("5.5.5-10.11.14-MariaDB", Some("INNODB_SYS_TABLESPACES")),
            ("10.3.39-MariaDB", Some("INNODB_SYS_DATAFILES")),
            ("5.5.68-MariaDB", None),
            ("8.0.36", Some("information_schema.FILES")),
            ("5.7.8", Some("information_schema.FILES")),
            ("5.6.51", Some("INNODB_SYS_DATAFILES")),
            ("5.5.62", None),
        ] {
            let asked = outside(version);
            assert_eq!(asked.is_some(), want.is_some(), "{version}");
            assert!(asked.unwrap_or_default().contains(want.unwrap_or_default()), "{version}: {asked:?}");
        }
    }

    #[test]
    fn a_server_is_locked_by_what_its_version_knows() {
        for (version, want) in [
            ("10.11.14-MariaDB-0+deb12u2-log", Lock::Commits),
            ("10.4.1-MariaDB", Lock::Commits),
            ("11.4.2-MariaDB-ubu2404", Lock::Commits),
            ("10.4.0-MariaDB", Lock::Tables),
            ("10.3.39-MariaDB", Lock::Tables),
            ("5.5.5-10.11.14-MariaDB", Lock::Tables),
            ("8.0.36", Lock::Tables),
            ("11.0.1", Lock::Tables),
            ("", Lock::Tables),
        ] {
            assert_eq!(Lock::of(version), want, "{version}");
        }
    }
}
