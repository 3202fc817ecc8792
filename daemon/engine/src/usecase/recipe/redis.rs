//! Mode `redis`: Redis and Valkey, read while they run, because no file that was begun is written anew meanwhile.
//!
//! ```text
//! with an append-only log: rewrites of the log switched off, and waited for → pass → still off, none since? → on again
//! without one: the whole is saved now → pass, in which a later save replaces the file whole
//! ```
//!
//! A log that is only appended to is good up to any byte; what breaks a copy is a rewrite, which puts other files in the place
//! of those that were read. Always true: the setting is noted before it is changed and given back whatever happens, unless
//! the server was started since, which has its own again, or somebody has changed it meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use archive::path::TreePath;
use archive::scope::Scope;
use async_trait::async_trait;

use crate::catalog::{Freeze, How};
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::port::clock::Clock;
use crate::port::docker::{ContainerState, Docker};
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::guest::Guest;
use crate::usecase::host::catalog_failure;
use crate::usecase::recipe::client::{PATIENCE, ROOT, answer, argv, refused};
use crate::usecase::recipe::place::{Place, somebody_else};
use crate::usecase::recipe::{Recipe, Second};
use crate::usecase::source::User;

const SCRIPT: &str = include_str!("redis.sh");

/// How messages call it.
const SERVER: &str = "the Redis or Valkey";

/// By how much a log may grow before it is written anew; 0 is never.
const SETTING: &str = "auto-aof-rewrite-percentage";
const NEVER: &str = "0";

/// How often a server that saves is asked whether it is done, and how many times.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const LOOKS_MAX: u32 = 3600;

/// How often it may be faster than we are to begin one.
const SAVES_MAX: u32 = 10;

/// What a server says of itself.
type Info = BTreeMap<String, String>;

/// Redis or Valkey in one container.
pub(in crate::usecase) struct Redis {
    place: Place,
    /// Where it has its files.
    files: Option<TreePath>,
    /// What must be as it was while its log was read; nothing where it has none.
    log: Option<Log>,
    /// Somebody else writes to the source.
    is_shared: bool,
}

/// The log at the time when its rewrites were off.
struct Log {
    /// What it was like.
    state: Vec<Option<String>>,
    /// What its manifest said, where it has one: every rewrite, also one that somebody orders, changes the names in it.
    manifest: Option<String>,
    /// The setting was ours to change.
    noted: bool,
}

impl Redis {
    pub(super) fn new(place: Place) -> Self {
        Self { place, files: None, log: None, is_shared: false }
    }

    async fn ask(&self, deed: &Deed<'_>, words: &[&str]) -> Result<String, Failure> {
        let guest = deed.guest(&self.place.container);
        let said = guest.run(&argv(SCRIPT, words), ROOT, b"", PATIENCE).await?;
        reply(answer(&self.place, SERVER, said)?).map_err(|said| {
            refused(&self.place, SERVER, &said).unwrap_or_else(|| {
                let what = format!("ask {SERVER} in container `{}`", self.place.container.name);
                Failure::new(Class::Failed, format!("{what}: `{}`", words.join(" "))).because(said)
            })
        })
    }

    async fn info(&self, deed: &Deed<'_>) -> Result<Info, Failure> {
        Ok(parse(&self.ask(deed, &["INFO"]).await?))
    }

    /// Its value of a setting.
    async fn setting(&self, deed: &Deed<'_>, name: &str) -> Result<String, Failure> {
        let said = self.ask(deed, &["CONFIG", "GET", name]).await?;
        said.lines().nth(1).map(|value| value.trim().to_owned()).ok_or_else(|| {
            Failure::failed(format!("ask {SERVER} in container `{}` for `{name}`", self.place.container.name))
                .because("it has no such setting")
        })
    }

    /// Waits until none of these is being done.
    async fn until_idle(&self, deed: &Deed<'_>, deeds: &[&str]) -> Result<Info, Failure> {
        for _ in 0..LOOKS_MAX {
            let info = self.info(deed).await?;
            if deeds.iter().all(|deed| info.get(*deed).is_none_or(|on| on == NEVER)) {
                return Ok(info);
            }
            deed.host.clock().sleep(LOOK_AGAIN).await;
        }
        let what = format!("wait for {SERVER} in container `{}` to save", self.place.container.name);
        Err(Failure::failed(what).because("it does not come to an end").hint("`redis-cli INFO persistence`"))
    }

    /// No rewrite from here on, until it is undone.
    async fn keep_log(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        let (name, id) = (self.place.container.name.clone(), self.place.container.id.clone());
        let what = || format!("keep {SERVER} in container `{name}` from writing its log anew");
        deed.claim(&How::Redis { percentage: NEVER.to_owned() }, self).await?;
        // Asked only now: a run that died may have left its own, which the claim has put right.
        let percentage = self.setting(deed, SETTING).await?;
        let noted = percentage != NEVER;
        if noted {
            let begun = deed.host.catalog().begin_freeze(&id, &How::Redis { percentage });
            begun.map_err(|e| catalog_failure(what(), e))?;
            self.ask(deed, &["CONFIG", "SET", SETTING, NEVER]).await?;
        }
        let info = self.until_idle(deed, &["aof_rewrite_in_progress", "aof_rewrite_scheduled"]).await?;
        self.log = Some(Log { state: state(&info), manifest: self.manifest(deed).await?, noted });
        Ok(())
    }

    /// What the manifest of its log says; `None` before version 7, which has none.
    async fn manifest(&self, deed: &Deed<'_>) -> Result<Option<String>, Failure> {
        let Ok(folder) = self.setting(deed, "appenddirname").await else { return Ok(None) };
        let (dir, name) = (self.setting(deed, "dir").await?, self.setting(deed, "appendfilename").await?);
        let path = format!("{dir}/{folder}/{name}.manifest");
        let guest = deed.guest(&self.place.container);
        let said = guest.run(&["cat", &path], ROOT, b"", PATIENCE).await?;
        answer(&self.place, SERVER, said).map(Some)
    }

    /// All that it has in memory is in its file.
    async fn save(&self, deed: &Deed<'_>) -> Result<(), Failure> {
        const SAVES: &[&str] = &["rdb_bgsave_in_progress", "aof_rewrite_in_progress"];
        let what = || format!("have {SERVER} in container `{}` save", self.place.container.name);
        for _ in 0..SAVES_MAX {
            self.until_idle(deed, SAVES).await?;
            match self.ask(deed, &["BGSAVE"]).await {
                Ok(_started) => break,
                // It has begun one by itself since it was asked.
                Err(failure) if failure.to_string().contains("in progress") => {}
                Err(failure) => return Err(failure),
            }
        }
        let info = self.until_idle(deed, SAVES).await?;
        match info.get("rdb_last_bgsave_status").map(String::as_str) {
            Some("ok") => Ok(()),
            status => Err(Failure::failed(what())
                .because(format!("it says `{}`", status.unwrap_or("nothing")))
                .hint(format!(
                    "`docker logs {}` tells why; is there room for another copy?",
                    self.place.container.name
                ))),
        }
    }
}

/// A reply, or the error that it is: one word in capitals, then why.
fn reply(said: String) -> Result<String, String> {
    let first = said.split_whitespace().next().unwrap_or_default();
    let is_error = first.len() > 2 && first != "PONG" && first.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_error { Err(said.trim().to_owned()) } else { Ok(said) }
}

fn parse(said: &str) -> Info {
    let pairs = said.lines().filter_map(|line| line.trim().split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a rewrite, or a new start, changes.
fn state(info: &Info) -> Vec<Option<String>> {
    ["run_id", "aof_enabled", "aof_base_size", "aof_rewrites"].map(|name| info.get(name).cloned()).into()
}

#[async_trait]
impl Recipe for Redis {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        let info = self.info(deed).await?;
        let is = |name: &str| info.get(name).is_some_and(|on| on == "1");
        if is("loading") || is("async_loading") {
            let what =
                format!("{SERVER} in container `{}` is still loading its data", self.place.container.name);
            return Err(Failure::new(Class::Busy, what).hint("try again when it is done"));
        }
        let folder = self.setting(deed, "dir").await?;
        if !self.place.sees_all_of(&folder) {
            return Err(self.place.elsewhere(SERVER, &folder));
        }
        if let Some(other) = somebody_else(&deed.source.users, &self.place.container) {
            deed.or_live(&format!(
                "container `{other}` writes to it, too, and {SERVER} does not answer for that"
            ))?;
            self.is_shared = true;
        }
        self.files = self.place.path(&folder);
        if is("aof_enabled") { self.keep_log(deed).await } else { self.save(deed).await }
    }

    /// All of it. That its log grows meanwhile is as it should be, so nobody is told of that.
    fn first(&self) -> Option<Scope> {
        let logged = self.files.iter().filter(|_| self.log.is_some()).cloned().collect();
        Some(Scope { logged, ..Scope::default() })
    }

    fn second(&self) -> Second {
        Second::Not
    }

    fn holds(&self, user: &User) -> bool {
        user.container.id == self.place.container.id
    }

    async fn end(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        let Some(log) = self.log.take() else { return Ok(()) };
        let now = self.info(deed).await?;
        let is_same = state(&now) == log.state
            && self.manifest(deed).await? == log.manifest
            && now.get("aof_rewrite_in_progress").is_none_or(|on| on == NEVER);
        let (name, id) = (&self.place.container.name, &self.place.container.id);
        if !is_same {
            return Err(Failure::failed(format!(
                "read `{}` while its log is only appended to",
                deed.request.source
            ))
            .because(format!("{SERVER} in container `{name}` was started or told to write it anew meanwhile"))
            .hint("nothing was committed; try again when nobody works on it"));
        }
        if !log.noted {
            let forgotten = deed.host.catalog().end_freeze(id);
            return forgotten.map_err(|e| catalog_failure(format!("let go of container `{name}`"), e));
        }
        // As whoever comes after a crash does it.
        deed.let_go(false).await
    }

    fn consistency(&self) -> Consistency {
        if self.is_shared { Consistency::Live } else { Consistency::Redis }
    }
}

/// Gives a server its setting back. Says so if it was left from a run that died.
pub(in crate::usecase) async fn give_back(
    docker: &dyn Docker,
    clock: &dyn Clock,
    freeze: &Freeze,
    percentage: &str,
    late: bool,
) -> Result<Option<String>, Failure> {
    let was = &freeze.was;
    let what = || format!("let {SERVER} in container `{}` write its log anew again", was.name);
    let found = docker.container(&was.id).await.map_err(|e| blame::docker(what(), e))?;
    let is_same = |state| state != ContainerState::Down && state != ContainerState::Restarting;
    let Some(_runs) = found.filter(|found| is_same(found.state) && found.started_at == was.started_at) else {
        return Ok(None);
    };
    let guest = Guest::noted(docker, clock, &was.id, &was.name);
    let stuck = |failure: Failure| {
        let by_hand =
            format!("by hand: `docker exec {} redis-cli CONFIG SET {SETTING} {percentage}`", was.name);
        failure.within(&what()).hint(by_hand)
    };
    let now = ask(&guest, &["CONFIG", "GET", SETTING]).await.map_err(stuck)?;
    // What a human has set meanwhile stays.
    if now.lines().nth(1).is_some_and(|value| value.trim() != NEVER) {
        return Ok(None);
    }
    ask(&guest, &["CONFIG", "SET", SETTING, percentage]).await.map_err(stuck)?;
    Ok(late.then(|| format!("{SERVER} in container `{}` may write its log anew again", was.name)))
}

async fn ask(guest: &Guest<'_>, words: &[&str]) -> Result<String, Failure> {
    let said = guest.run(&argv(SCRIPT, words), ROOT, b"", PATIENCE).await?;
    if said.status != 0 {
        return Err(Failure::failed("ask it").because(said.ending()));
    }
    reply(said.stdout).map_err(|why| Failure::failed("ask it").because(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_replies() {
        for fine in [
            "OK\n",
            "PONG\n",
            "# Server\r\nredis_version:7.0.15\r\n",
            "dir\n/data\n",
            "Background saving started\n",
            "1\n",
            "",
        ] {
            assert!(reply(fine.to_owned()).is_ok(), "{fine}");
        }
        for error in [
            "ERR unknown command 'CONFIG'\n",
            "NOAUTH Authentication required.\n",
            "LOADING Redis is loading\n",
        ] {
            assert_eq!(reply(error.to_owned()), Err(error.trim().to_owned()));
        }
    }

    #[test]
    fn what_a_server_says_of_itself_is_read_line_by_line() {
        let info =
            parse("# Server\r\nrun_id:abc\r\naof_enabled:1\r\naof_base_size:88\r\n\r\nslave0:ip=::1\r\n");
        assert_eq!(info["slave0"], "ip=::1");
        let want = [Some("abc"), Some("1"), Some("88"), None].map(|one| one.map(str::to_owned));
        assert_eq!(state(&info), want);
    }
}
