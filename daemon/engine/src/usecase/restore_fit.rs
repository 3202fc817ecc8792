//! Whether what a restore brings back fits what will run on it: the same major version of the server, and the same owner.
//!
//! Always true: a version that is known to be another one is refused unless somebody accepts it. A server that opens files
//! of another major version refuses to start at best; at worst it changes them, and the way back is gone.

use std::sync::Arc;

use archive::channel::Looked;
use archive::path::TreePath;

use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, Manifest};
use crate::pipeline::entries::Entries;
use crate::usecase::drill::signs::{Signs, small_text};
use crate::usecase::opened::Opened;
use crate::usecase::server::{Family, Fit, Server};
use crate::usecase::source::User;

/// Files in which a server notes its version, where no container told it.
const VERSION_FILES: [&str; 3] = ["PG_VERSION", "mariadb_upgrade_info", "mysql_upgrade_info"];

/// A snapshot, and what it is about to be put under.
pub(super) struct Fitting<'a> {
    pub(super) opened: &'a Opened,
    /// As people call it.
    pub(super) snapshot: &'a str,
    /// As people call it.
    pub(super) target: &'a str,
    /// Who has the target mounted.
    pub(super) users: &'a [User],
    /// What lies in the target now.
    pub(super) looked: &'a Looked,
    /// Another version is accepted.
    pub(super) accept_version: bool,
}

impl Fitting<'_> {
    /// What a person should know; refuses what would not start, or not stay what it is.
    pub(super) async fn check(&self) -> Result<Vec<String>, Failure> {
        let mut said = Vec::new();
        if let Some(of) = self.of().await {
            for (by, fit) in self.unfit(&of) {
                let what = format!("`{}` is of {of}, and {by}", self.snapshot);
                match fit {
                    Fit::Fits => {}
                    Fit::Upgrades => {
                        said.push(format!("{what}: it changes the files to its own version, for good"));
                    }
                    Fit::Refused if self.accept_version => {
                        said.push(format!("{what}: it may refuse the files, or harm them"));
                    }
                    Fit::Refused => return Err(self.refused(&what, &of)),
                }
            }
        }
        said.extend(self.owner().await);
        Ok(said)
    }

    fn refused(&self, what: &str, of: &Server) -> Failure {
        let more = match self.is_clean() {
            true => "",
            false => "; a newer one as well, where it has to recover them first",
        };
        let why = format!("a server of another version refuses such files, or harms them{more}");
        Failure::new(Class::Unsafe, what).because(why).hint(format!(
            "have {of} run on `{}`, or restore beside it (`--into NEW`) and carry the data over; `--accept-version` accepts the risk",
            self.target
        ))
    }

    fn manifest(&self) -> &Manifest {
        &self.opened.signed.manifest
    }

    /// Only who was told to stop has written all down.
    fn is_clean(&self) -> bool {
        self.manifest().consistency == Consistency::Stopped
    }

    /// Who would open the files, in words, and whether it should.
    fn unfit(&self, of: &Server) -> Vec<(String, Fit)> {
        let clean = self.is_clean();
        let mut is_told = false;
        let mut found = Vec::new();
        for user in self.users {
            let container = &user.container;
            if self.manifest().users.iter().any(|then| then.running && then.image_id == container.image_id) {
                // The very image that wrote them.
                is_told = true;
                continue;
            }
            let Some(server) = Server::of_container(container, &user.at) else { continue };
            is_told |= server.is_known() && server.is_kin(of);
            let by = format!("container `{}` runs {server} (`{}`)", container.name, container.image);
            found.push((by, server.opens(of, clean)));
        }
        let lies = self.looked.version.as_ref().and_then(|(name, text)| Server::of_file(name, text));
        if let Some(lies) = lies.filter(|_| !is_told) {
            let by = format!("what lies in `{}` now is of {lies}", self.target);
            found.push((by, lies.opens(of, clean)));
        }
        found
    }

    /// The server that the snapshot is of.
    async fn of(&self) -> Option<Server> {
        let users =
            self.manifest().users.iter().filter_map(|user| user.server.as_ref()?.parse::<Server>().ok());
        let family = self.manifest().identity.as_deref().and_then(Family::of_identity);
        let told = users.max_by_key(Server::is_known);
        // PostgreSQL itself minds what its file says. Of the others a file tells who last brought the tables up to date.
        let is_postgres = family == Some(Family::Postgres)
            || told.as_ref().is_some_and(|server| server.family == Family::Postgres);
        if let Some(told) = told.clone().filter(|told| !is_postgres && told.is_known()) {
            return Some(told);
        }
        let noted = match self.noted(&TreePath::root()).await {
            None if is_postgres => match self.cluster().await {
                Some(folder) => self.noted(&folder).await,
                None => None,
            },
            noted => noted,
        };
        noted.or(told).or_else(|| family.map(|family| Server::new(family, "")))
    }

    /// What the files in a folder of the snapshot say. One that cannot be read tells nothing here: whoever restores it
    /// reads all of it, and is told then.
    async fn noted(&self, folder: &TreePath) -> Option<Server> {
        for file in VERSION_FILES {
            let text = small_text(&self.opened.reading, folder, file).await;
            let text = text.inspect_err(|e| tracing::debug!("read `{file}`: {e}")).ok().flatten();
            if let Some(server) = text.and_then(|text| Server::of_file(file, &text)) {
                return Some(server);
            }
        }
        None
    }

    /// Where the cluster lies, if there is one and it is not at the top.
    async fn cluster(&self) -> Option<TreePath> {
        let signs = Signs::of(&self.opened.reading).await;
        let signs = signs.inspect_err(|e| tracing::debug!("look for a cluster: {e}")).ok()?;
        signs.postgres.into_iter().next().map(|place| place.folder)
    }

    /// The same server has another number in another distribution's image, and may not read what is not its own.
    async fn owner(&self) -> Option<String> {
        if self.looked.top_entries == 0 {
            return None;
        }
        let root = Entries::one(Arc::clone(&self.opened.reading), &TreePath::root()).await;
        let root = root.inspect_err(|e| tracing::debug!("read the root entry: {e}")).ok().flatten();
        let (uid, gid) = (self.looked.uid, self.looked.gid);
        let other = root.filter(|root| (root.uid, root.gid) != (uid, gid));
        other.map(|root| {
            format!(
                "`{}` belongs to {}:{} in the snapshot and to {uid}:{gid} now: whoever runs there must be of the first",
                self.target, root.uid, root.gid
            )
        })
    }
}
