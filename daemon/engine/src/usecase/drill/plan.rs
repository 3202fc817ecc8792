//! What a drill would do, before anything is made: which snapshot, who judges it and why, on which image, within what
//! limits. Looking is all that happens here.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::checker::{Checker, choose};
use super::signs::{Signs, small_text};
use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, PackRef};
use crate::usecase::blame;
use crate::usecase::choice::{self, Chosen, Damaged};
use crate::usecase::host::Host;
use crate::usecase::notes::warnings;
use crate::usecase::opened::{Opened, open};
use crate::usecase::restore::RestoreRequest;
use crate::words::{HostName, Number, SnapshotName, SourceName};

/// What to rehearse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillRequest {
    /// Which source.
    pub source: SourceName,
    /// Whose; `None` is this host.
    pub host: Option<HostName>,
    /// Which snapshot; `None` is the newest whole one.
    pub number: Option<Number>,
    /// The newest that was taken by then.
    pub at: Option<Timestamp>,
    /// Who judges; chosen by the snapshot if `None`.
    pub checker: Option<Checker>,
    /// Another image than the recorded one.
    pub image: Option<String>,
    /// What its server is started with beside our own.
    pub arguments: Vec<String>,
    /// What the server may use.
    pub memory_bytes: u64,
    /// When it counts as failed.
    pub timeout: Duration,
}

impl DrillRequest {
    /// The newest snapshot of a source, as its policy says.
    pub fn of(source: SourceName, terms: Option<&policies::policy::Drill>) -> Self {
        let usual = policies::policy::Drill::default();
        let terms = terms.unwrap_or(&usual);
        Self {
            source,
            host: None,
            number: None,
            at: None,
            checker: None,
            image: terms.image.clone(),
            arguments: terms.arguments.clone(),
            memory_bytes: terms.memory_bytes,
            timeout: terms.timeout,
        }
    }

    fn as_restore(&self) -> RestoreRequest {
        RestoreRequest {
            source: self.source.clone(),
            host: self.host.clone(),
            number: self.number,
            at: self.at,
            into: None,
            to: None,
            paths: Vec::new(),
            keep_previous: false,
            delta: false,
            fresh: false,
            accept_partial: false,
            accept_version: false,
        }
    }
}

/// What a drill would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillPlan {
    /// Which snapshot.
    pub snapshot: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How old it is.
    pub age_seconds: i64,
    /// Why this one.
    pub why: String,
    /// How writers were held.
    pub consistency: Consistency,
    /// Who judges.
    pub checker: Checker,
    /// Why it does.
    pub checker_why: String,
    /// The version of the server that the files are of, as far as they tell.
    pub version: Option<String>,
    /// The image that is started, if one is.
    pub image: Option<String>,
    /// Its content id.
    pub image_id: Option<String>,
    /// Where the scratch volume is mounted in it.
    pub mounted_at: Option<String>,
    /// What its server is started with beside our own.
    pub arguments: Vec<String>,
    /// Regular files.
    pub files: u64,
    /// All entries.
    pub entries: u64,
    /// Apparent bytes.
    pub bytes: u64,
    /// Bytes to fetch at most.
    pub fetch_bytes: u64,
    /// What the server may use.
    pub memory_bytes: u64,
    /// When it counts as failed.
    pub timeout_seconds: u64,
    /// What a person should know before.
    pub warnings: Vec<String>,
    /// The very snapshot that was planned.
    #[serde(skip)]
    pub name: SnapshotName,
    #[serde(skip)]
    pub(super) timeout: Duration,
    #[serde(skip)]
    pub(super) signs: Signs,
}

/// What is started, and where the data is in it.
struct Server {
    image: String,
    image_id: String,
    at: String,
}

/// Plans a drill. Changes nothing.
pub async fn plan_drill(host: &Host, request: &DrillRequest) -> Result<DrillPlan, Failure> {
    let Chosen { name, why, .. } = choice::choose(host, &request.as_restore(), Damaged::Take).await?;
    let opened = open(host, &name).await?;
    let manifest = &opened.signed.manifest;
    let id = opened.id(host);
    let looking = || format!("look at what is in `{id}`");
    let signs = Signs::of(&opened.reading).await.map_err(|e| blame::read(looking(), e))?;
    let (checker, checker_why) =
        choose(request.checker, manifest.consistency, &signs).map_err(|failure| failure.within(&id))?;
    if let (Checker::Postgres, Some(tablespace)) = (checker, &signs.tablespace) {
        return Err(Failure::new(
            Class::Unsafe,
            format!("`{id}` has a tablespace that is not in it: `{tablespace}` leads elsewhere"),
        )
        .hint("a drill proves what one source holds; prove its files alone: `--checker files`"));
    }
    let version = version(&opened, checker, &signs).await?;
    let server = if checker.needs_image() {
        Some(server(host, &opened, checker, request.image.as_deref()).await?)
    } else {
        None
    };
    let mut said = warnings(&manifest.notes);
    let arguments = if checker.starts_a_server() { request.arguments.clone() } else { Vec::new() };
    if arguments.len() < request.arguments.len() {
        said.push(format!("its arguments are for a server, and `{checker}` starts none"));
    }
    if manifest.is_partial() {
        said.insert(0, "it is partial: files that should be in it are not".to_owned());
    }
    Ok(DrillPlan {
        taken_at: manifest.taken_at,
        age_seconds: host.clock().now().as_second() - manifest.taken_at.as_second(),
        why,
        consistency: manifest.consistency,
        checker,
        checker_why,
        version,
        image: server.as_ref().map(|server| server.image.clone()),
        image_id: server.as_ref().map(|server| server.image_id.clone()),
        mounted_at: server.map(|server| server.at),
        arguments,
        files: manifest.totals.files,
        entries: manifest.totals.entries,
        bytes: manifest.totals.bytes,
        fetch_bytes: manifest.packs.iter().map(PackRef::wanted_bytes).sum(),
        memory_bytes: request.memory_bytes,
        timeout_seconds: request.timeout.as_secs(),
        warnings: said,
        name,
        timeout: request.timeout,
        signs,
        snapshot: id,
    })
}

/// As the files themselves tell it.
async fn version(opened: &Opened, checker: Checker, signs: &Signs) -> Result<Option<String>, Failure> {
    let files: &[&str] = match checker {
        Checker::Postgres => &["PG_VERSION"],
        Checker::Mysql => &["mariadb_upgrade_info", "mysql_upgrade_info"],
        Checker::Redis | Checker::Rrd | Checker::Files => &[],
    };
    let Some(place) = checker.place(signs) else { return Ok(None) };
    for file in files {
        let text = small_text(&opened.reading, &place.folder, file).await;
        let text = text.map_err(|e| blame::read(format!("read `{file}`"), e))?;
        if text.is_some() {
            return Ok(text);
        }
    }
    Ok(None)
}

/// The image that was recorded, by content: another one may be of another version or sort texts in another way, so it is
/// taken only if somebody names it.
async fn server(
    host: &Host,
    opened: &Opened,
    checker: Checker,
    named: Option<&str>,
) -> Result<Server, Failure> {
    let what = || format!("look for the image that `{}` was used by", opened.id(host));
    let user = checker.user(&opened.signed.manifest.users);
    let (image, wanted) = match (named, user) {
        (Some(named), _) => (named.to_owned(), named.to_owned()),
        (None, Some(user)) => (user.image.clone(), user.image_id.clone()),
        (None, None) => {
            return Err(Failure::not_found(what())
                .because("no container used it when it was taken")
                .hint("name the image of its server with `--image`, or `image` in `[drill]` of its policy"));
        }
    };
    let docker = host.docker().await?;
    let found = docker.image(&wanted).await.map_err(|e| blame::docker(what(), e))?;
    let Some(image_id) = found else {
        return Err(Failure::not_found(format!("image `{image}` ({wanted}) is not on this host")).hint(
            "nothing is ever pulled: bring it here (`docker pull`, `docker load`), or name another with `--image`",
        ));
    };
    let at = user.map_or_else(|| "/data".to_owned(), |user| user.at.trim_end_matches('/').to_owned());
    Ok(Server { image, image_id, at })
}
