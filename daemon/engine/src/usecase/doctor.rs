//! Walks the whole path of a backup before it is needed, and says what to mend.
//!
//! Changes nothing that lasts: the store's probe removes its own object, the helper looks at an empty folder
//! of ours.

mod probe;
mod rounds;

use archive::channel::{Job, Looked};
use serde::Serialize;

use crate::failure::Failure;
use crate::port::docker::{Access, HelperMount};
use crate::port::store::Conditions;
use crate::usecase::blame;
use crate::usecase::cover::Places;
use crate::usecase::host::Host;
use crate::usecase::index;
use crate::usecase::job::{ask, spec};
use crate::usecase::run::Glance;

/// Below this, a state folder may soon fail to take a row.
const STATE_BYTES_MIN: u64 = 64 << 20;

/// Below one part in so many, a store will soon take no more.
const ROOM_PART_MIN: u64 = 20;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but less well than it could.
    Warning,
    /// A backup or a restore would fail.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in words.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Check {
    fn good(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict: Verdict::Good, found: found.into(), fix: None }
    }

    fn warning(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.to_owned(), verdict: Verdict::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    fn bad(what: &str, failure: &Failure) -> Self {
        let found = failure.to_string();
        Self { what: what.to_owned(), verdict: Verdict::Bad, found, fix: failure.hint.clone() }
    }
}

/// Looks at everything, and at each of the stores; one failed check does not hide the next.
pub async fn doctor(host: &Host, stores: &[Host], places: &Places) -> Vec<Check> {
    let mut checks = vec![state(host), catalog(host), rounds::policies(places)];
    for at in stores {
        checks.extend(store(at).await);
    }
    checks.extend(docker(host).await);
    checks.extend(rounds::drills(host));
    checks
}

fn state(host: &Host) -> Check {
    const WHAT: &str = "state folder";
    let path = host.settings().state.display().to_string();
    match rustix::fs::statvfs(&host.settings().state) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            if free < STATE_BYTES_MIN {
                let fix =
                    format!("make room on the disk of `{path}`: the catalog must always be able to grow");
                return Check::warning(WHAT, format!("{path}, {} MiB free", free >> 20), fix);
            }
            Check::good(WHAT, format!("{path}, {} MiB free", free >> 20))
        }
        Err(e) => Check::bad(WHAT, &Failure::failed(format!("look at `{path}`")).because(e)),
    }
}

fn catalog(host: &Host) -> Check {
    const WHAT: &str = "catalog";
    match host.catalog().check() {
        Ok(()) => Check::good(WHAT, "whole"),
        Err(e) => {
            let failure = Failure::failed("check the catalog").because(e).hint("`backupctl catalog rebuild`");
            Check::bad(WHAT, &failure)
        }
    }
}

async fn store(host: &Host) -> Vec<Check> {
    let store = match host.store().await {
        Ok(store) => store,
        Err(_) if host.is_new_folder_store() => {
            let found = format!("{}, not there yet: the first backup makes it", host.settings().store);
            return vec![Check::good("store", found)];
        }
        Err(failure) => return vec![Check::bad("store", &failure)],
    };
    let (mut checks, mut ours) = (Vec::new(), false);
    let name = store.name();
    match index::owner(&*store, &host.settings().host).await {
        Ok(None) => checks.push(Check::good("store", format!("{name}, nothing of this host yet"))),
        Ok(Some(owner)) => match host.allowed_by(&owner) {
            Ok(()) => {
                ours = true;
                let found =
                    format!("{name}, ours since {:.0}, signed with key {}", owner.made_at, owner.public_key);
                checks.push(Check::good("store", found));
            }
            Err(failure) => checks.push(Check::bad("store", &failure)),
        },
        Err(failure) => {
            checks.push(Check::bad("store", &failure));
            return checks;
        }
    }
    checks.push(match store.conditions().await {
        Ok(Conditions::Enforced) => {
            Check::good("conditional writes", "enforced: two writers of one name collide")
        }
        Ok(Conditions::Ignored) => Check::warning(
            "conditional writes",
            "the server accepts `If-None-Match` and overwrites all the same",
            "make sure that no two machines write under one `--host` name",
        ),
        Err(e) => Check::bad("conditional writes", &blame::store("probe the store with a small object", e)),
    });
    if ours {
        checks.extend(probe::probe(host, &*store).await);
    }
    checks.extend(room(host));
    checks
}

/// Of a store that is a folder; others do not tell.
fn room(host: &Host) -> Option<Check> {
    const WHAT: &str = "room in the store";
    let folder = host.store_folder()?;
    let found = match rustix::fs::statvfs(&folder) {
        Ok(found) => found,
        Err(e) => {
            return Some(Check::bad(
                WHAT,
                &Failure::failed(format!("look at `{}`", folder.display())).because(e),
            ));
        }
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let told = format!("{} GiB free", free >> 30);
    Some(if found.f_bavail < found.f_blocks / ROOM_PART_MIN {
        Check::warning(WHAT, told, "make room: `backupctl prune`, or a larger disk")
    } else {
        Check::good(WHAT, told)
    })
}

async fn docker(host: &Host) -> Vec<Check> {
    const HELPER: &str = "helper";
    let docker = match host.docker().await {
        Ok(docker) => docker,
        Err(failure) => return vec![Check::bad("docker", &failure)],
    };
    let about = match docker.about().await {
        Ok(about) => about,
        Err(e) => return vec![Check::bad("docker", &blame::docker("ask Docker for its version", e))],
    };
    let engine = Check::good("docker", format!("engine {}, API {}", about.version, about.api));
    if !about.local {
        let found = "remote engine: bytes go through `attach`, several times slower than a local socket";
        return vec![engine, Check::warning(HELPER, found, "run backupctl on the Docker host itself")];
    }
    let tried = match (Glance::begin(host), host.scratch_folder()) {
        (Ok(glance), Ok(folder)) => {
            let mount = HelperMount::Folder(folder.display().to_string());
            let spec = spec(host, glance.id(), &mount, Access::Read);
            ask::<Looked>(&*docker, &spec, &Job::Look, "start a helper").await
        }
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    };
    let helper = match tried {
        Ok(looked) if looked.read_only => {
            Check::good(HELPER, "started, looked at a read-only folder, and left")
        }
        Ok(_) => Check::bad(HELPER, &Failure::failed("a helper could write where it should only read")),
        Err(failure) => Check::bad(HELPER, &failure),
    };
    vec![engine, helper]
}
