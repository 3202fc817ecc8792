//! Which server files are of, and which one a container would run on them: as far as the files, names of images and what
//! images say of themselves tell.
//!
//! Always true: only two versions that are both known are ever found to be different. What is not known is for the plan to
//! say, and for nobody to guess.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::port::docker::{Container, VERSION_VARIABLES};
use crate::usecase::suggest::kind_of;

/// Where an image names its version, and how it does: each server's own images, then the label of all images.
const NAMED_IN: [(&str, Family); VERSION_VARIABLES.len()] = [
    ("PG_MAJOR", Family::Postgres),
    ("MARIADB_VERSION", Family::Mariadb),
    ("MYSQL_VERSION", Family::Mysql),
    ("REDIS_VERSION", Family::Redis),
    ("VALKEY_VERSION", Family::Valkey),
];

const IMAGE_VERSION: &str = "org.opencontainers.image.version";

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Postgres,
    Mysql,
    Mariadb,
    Redis,
    Valkey,
}

impl Family {
    const ALL: [Self; 5] = [Self::Postgres, Self::Mysql, Self::Mariadb, Self::Redis, Self::Valkey];

    /// As [`kind_of`] names it.
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        }
    }

    /// The family of a database that names itself: [`archive::channel::Packed::identity`].
    pub(crate) fn of_identity(identity: &str) -> Option<Self> {
        match identity.split(':').next()? {
            "postgres" => Some(Self::Postgres),
            "mysql" => Some(Self::Mysql),
            "mariadb" => Some(Self::Mariadb),
            _ => None,
        }
    }

    /// Servers that would at least try to open each other's files.
    fn kin(self) -> u8 {
        match self {
            Self::Postgres => 0,
            Self::Mysql | Self::Mariadb => 1,
            Self::Redis | Self::Valkey => 2,
        }
    }

    /// So many parts of a version tell which files a server can open.
    fn major_parts(self, version: &[u32]) -> usize {
        match self {
            Self::Postgres if version.first().is_some_and(|first| *first < 10) => 2,
            Self::Postgres | Self::Redis | Self::Valkey => 1,
            Self::Mysql | Self::Mariadb => 2,
        }
    }
}

/// A server, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) family: Family,
    /// Somebody who knows said which family it is, not only the place where it keeps its files.
    sure: bool,
    version: Vec<u32>,
}

/// Whether one server may open what another one wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As far as is known.
    Fits,
    /// It can, and there is no way back.
    Upgrades,
    /// It refuses the files, or harms them.
    Refused,
}

impl Server {
    pub(crate) fn new(family: Family, version: &str) -> Self {
        Self { family, sure: true, version: numbers(version) }
    }

    /// What a file says in which a server notes the version that its files are of.
    pub(crate) fn of_file(name: &str, text: &str) -> Option<Self> {
        let family = match name {
            "PG_VERSION" => Family::Postgres,
            // Both write a file of this name.
            "mysql_upgrade_info" if !text.contains("MariaDB") => Family::Mysql,
            "mysql_upgrade_info" | "mariadb_upgrade_info" => Family::Mariadb,
            _ => return None,
        };
        let server = Self::new(family, text);
        server.is_known().then_some(server)
    }

    /// What a container would run on what it has mounted at `at`. What its image sets counts more than a tag, which
    /// anybody can give.
    pub(crate) fn of_container(container: &Container, at: &str) -> Option<Self> {
        let (name, by_image, tag) = kind_of(&container.image, at)?;
        let family = Family::ALL.into_iter().find(|family| family.name() == name)?;
        let set = NAMED_IN.iter().filter(|(_, named)| named.kin() == family.kin());
        let set = set.filter_map(|(variable, named)| Some((*named, container.versions.get(*variable)?)));
        let mut set = set.map(|(named, version)| Self::new(named, version));
        if let Some(server) = set.find(Self::is_known) {
            return Some(server);
        }
        let label = container.labels.get(IMAGE_VERSION).filter(|_| tag.is_empty()).map_or("", String::as_str);
        let version = match (by_image, tag) {
            (false, _) => "",
            (true, "") => label,
            (true, tag) => tag,
        };
        Some(Self { family, sure: by_image, version: numbers(version) })
    }

    /// The version is known.
    pub(crate) fn is_known(&self) -> bool {
        !self.version.is_empty()
    }

    /// Both are of servers that would try to open each other's files.
    pub(crate) fn is_kin(&self, other: &Self) -> bool {
        self.family.kin() == other.family.kin()
    }

    /// Whether this one may open what `of` wrote; `clean` if that one had been told to stop, and had written all down.
    pub(crate) fn opens(&self, of: &Self, clean: bool) -> Fit {
        if !self.is_kin(of) {
            return Fit::Fits;
        }
        if self.family != of.family && self.family.kin() == Family::Mysql.kin() {
            // They count on their own since they parted.
            return if self.sure && of.sure { Fit::Refused } else { Fit::Fits };
        }
        let parts = self.family.major_parts(&self.version);
        let pairs = self.version.iter().zip(&of.version).take(parts);
        let order =
            pairs.map(|(own, its)| own.cmp(its)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        match (self.family, order) {
            (_, Ordering::Equal) => Fit::Fits,
            // It brings the files of an older one up to date, unless there is a log to be replayed.
            (Family::Mysql | Family::Mariadb, Ordering::Greater) if clean => Fit::Upgrades,
            (
                Family::Postgres | Family::Mysql | Family::Mariadb | Family::Redis | Family::Valkey,
                Ordering::Less | Ordering::Greater,
            ) => Fit::Refused,
        }
    }
}

/// `PostgreSQL 15.5`, or the name alone.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version: Vec<String> = self.version.iter().map(u32::to_string).collect();
        match version.is_empty() {
            true => f.write_str(self.family.name()),
            false => write!(f, "{} {}", self.family.name(), version.join(".")),
        }
    }
}

/// As it is printed.
impl FromStr for Server {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = text.split_once(' ').unwrap_or((text, ""));
        let family = Family::ALL.into_iter().find(|family| family.name() == name);
        family.map(|family| Self::new(family, version)).ok_or("is no server that is known here")
    }
}

/// More parts than these name builds.
const PARTS_MAX: usize = 3;

/// `[10, 11, 6]` of `1:10.11.6+maria~ubu2204`; nothing of what does not begin like a version.
fn numbers(text: &str) -> Vec<u32> {
    let text = text.trim();
    let text = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].split('.').map_while(|part| part.parse().ok()).take(PARTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::port::docker::{ContainerState, Health};

    fn container(image: &str, environment: &[&str], labels: &[(&str, &str)]) -> Container {
        let pairs = environment.iter().filter_map(|line| line.split_once('='));
        let versions: BTreeMap<_, _> =
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Container {
            id: "1".to_owned(),
            name: "db".to_owned(),
            image: image.to_owned(),
            image_id: "sha256:1".to_owned(),
            state: ContainerState::Running,
            health: Health::None,
            started_at: None,
            restart_policy: "no".to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            mounts: Vec::new(),
            auto_remove: false,
            has_us: false,
            versions,
        }
    }

    #[track_caller]
    fn told(image: &str, at: &str, environment: &[&str], labels: &[(&str, &str)], want: Option<&str>) {
        let got = Server::of_container(&container(image, environment, labels), at);
        assert_eq!(
            got.map(|server| server.to_string()).as_deref(),
            want,
            "{image} {environment:?} {labels:?}"
        );
    }

    #[test]
    fn a_container_tells_by_its_image_which_server_it_runs() {
        let (pg, my) = ("/var/lib/postgresql/data", "/var/lib/mysql");
        told("postgres:15-alpine", pg, &[], &[], Some("PostgreSQL 15"));
        told("postgres:latest", pg, &["PG_MAJOR=17", "PG_VERSION=17.2-1"], &[], Some("PostgreSQL 17"));
        told("own/image:3", pg, &["PG_MAJOR=16"], &[], Some("PostgreSQL 16"));
        told("own/image:3", pg, &[], &[(IMAGE_VERSION, "22.04")], Some("PostgreSQL"));
        told("postgres", pg, &[], &[(IMAGE_VERSION, "16.4")], Some("PostgreSQL 16.4"));
        told("postgres:14", pg, &["MYSQL_VERSION=8"], &[], Some("PostgreSQL 14"));
        told("own/image", my, &["MARIADB_VERSION=1:10.11.6+maria~ubu2204"], &[], Some("MariaDB 10.11.6"));
        told("mysql:8", my, &["MYSQL_VERSION=8.4.3-1.el9"], &[], Some("MySQL 8.4.3"));
        told("redis:7.2-alpine", "/data", &[], &[], Some("Redis 7.2"));
        told("busybox:1.36", "/data", &[], &[], None);
        told("postgres:15", "/backups", &[], &[], None);
    }

    #[test]
    fn what_containers_tell_is_what_is_looked_for() {
        assert_eq!(NAMED_IN.map(|(variable, _)| variable), VERSION_VARIABLES);
    }

    #[test]
    fn files_tell_of_which_server_they_are() {
        for (name, text, want) in [
            ("PG_VERSION", "15\n", Some("PostgreSQL 15")),
            ("PG_VERSION", "9.6\n", Some("PostgreSQL 9.6")),
            ("mysql_upgrade_info", "10.5.23-MariaDB", Some("MariaDB 10.5.23")),
            ("mariadb_upgrade_info", "11.4.2-MariaDB", Some("MariaDB 11.4.2")),
            ("mysql_upgrade_info", "8.0.36\n", Some("MySQL 8.0.36")),
            ("PG_VERSION", "\u{1b}[2J", None),
            ("readme", "15", None),
        ] {
            assert_eq!(
                Server::of_file(name, text).map(|s| s.to_string()).as_deref(),
                want,
                "{name} {text:?}"
            );
        }
    }

    #[track_caller]
    fn fits(own: &str, of: &str, clean: bool, want: Fit) {
        let (own, of) = (own.parse::<Server>().unwrap(), of.parse::<Server>().unwrap());
        assert_eq!(own.opens(&of, clean), want, "{own} on files of {of}, clean {clean}");
    }

    #[test]
    fn another_major_version_is_refused_and_what_is_not_known_is_not() {
        fits("PostgreSQL 15.5", "PostgreSQL 15", false, Fit::Fits);
        fits("PostgreSQL 16", "PostgreSQL 15", true, Fit::Refused);
        fits("PostgreSQL 14", "PostgreSQL 15", true, Fit::Refused);
        fits("PostgreSQL 9.6", "PostgreSQL 9.5", true, Fit::Refused);
        fits("PostgreSQL", "PostgreSQL 15", false, Fit::Fits);
        fits("PostgreSQL 15", "MySQL 8.0", false, Fit::Fits);
        fits("Redis 6.2", "Redis 7.0", false, Fit::Refused);
        fits("Valkey 8", "Redis 7.2", false, Fit::Refused);
        fits("Valkey 7.2", "Redis 7.2", false, Fit::Fits);
    }

    #[test]
    fn a_newer_server_of_mysql_opens_only_what_was_written_down() {
        fits("MariaDB 10.11.9", "MariaDB 10.11.2", false, Fit::Fits);
        fits("MariaDB 11.4", "MariaDB 10.11", false, Fit::Refused);
        fits("MariaDB 11.4", "MariaDB 10.11", true, Fit::Upgrades);
        fits("MariaDB 10.6", "MariaDB 10.11", true, Fit::Refused);
        fits("MariaDB 10", "MariaDB 10.11", false, Fit::Fits);
        fits("MySQL 8.4", "MySQL 8.0", false, Fit::Refused);
        fits("MySQL 8.0", "MariaDB 10.11", true, Fit::Refused);
        let by_folder = Server::of_container(&container("own/image", &[], &[]), "/var/lib/mysql").unwrap();
        assert_eq!(by_folder.opens(&"MariaDB 10.11".parse().unwrap(), false), Fit::Fits);
    }
}
