//! What a source looks like, by the images of those who use it and where they see it. A word for people: it says which mode
//! knows such files, and decides nothing.
//!
//! Always true: only names are looked at, no file; what is not known for sure has no suggestion.

use std::collections::BTreeMap;

use policies::policy::Mode;

use crate::failure::Failure;
use crate::usecase::blame;
use crate::usecase::cover::Cover;
use crate::usecase::host::Host;

/// What a source looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// For people: `PostgreSQL 15`.
    pub like: String,
    /// The mode that knows how to copy it.
    pub mode: Mode,
}

/// One kind of server.
struct Kind {
    name: &'static str,
    mode: Mode,
    /// Last parts of images' names.
    images: &'static [&'static str],
    /// Folders that nothing else is kept in.
    own: &'static [&'static str],
    /// Folders that its images keep it in, and others something else.
    shared: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "PostgreSQL",
        mode: Mode::Postgres,
        images: &["postgres", "postgresql", "postgis", "timescaledb", "pgvector"],
        own: &["/var/lib/postgresql", "/bitnami/postgresql"],
        shared: &["/home/postgres/pgdata"],
    },
    Kind {
        name: "MariaDB",
        mode: Mode::Mysql,
        images: &["mariadb", "mariadb-galera"],
        own: &["/bitnami/mariadb"],
        shared: &["/var/lib/mysql"],
    },
    Kind {
        name: "MySQL",
        mode: Mode::Mysql,
        images: &["mysql", "mysql-server", "percona", "percona-server"],
        own: &["/var/lib/mysql", "/bitnami/mysql"],
        shared: &[],
    },
    Kind {
        name: "Redis",
        mode: Mode::Redis,
        images: &["redis", "redis-stack", "redis-stack-server"],
        own: &["/bitnami/redis", "/var/lib/redis"],
        shared: &["/data"],
    },
    Kind {
        name: "Valkey",
        mode: Mode::Redis,
        images: &["valkey", "valkey-bundle"],
        own: &["/bitnami/valkey", "/var/lib/valkey"],
        shared: &["/data"],
    },
    Kind {
        name: "RRD files",
        mode: Mode::Rrd,
        images: &["rrdcached", "collectd", "ganglia", "munin", "cacti"],
        own: &["/var/lib/rrdcached", "/var/lib/ganglia/rrds", "/var/lib/collectd/rrd", "/var/lib/munin"],
        shared: &["/data", "/rrd", "/var/lib/collectd"],
    },
];

/// What a container of this image keeps at this mount point.
pub fn looks_like(image: &str, at: &str) -> Option<Looks> {
    let seen = see(image, at)?;
    let like = match seen.tag {
        "" => seen.kind.name.to_owned(),
        _ if !seen.by_image || seen.kind.mode == Mode::Rrd => seen.kind.name.to_owned(),
        tag => format!("{} {tag}", seen.kind.name),
    };
    Some(Looks { like, mode: seen.kind.mode })
}

/// The kind of server that a container of this image would run on what it has at this mount point; whether the image's own
/// name says so, or only the folder, in which a relative may live as well; and the version in the image's tag.
pub(crate) fn kind_of<'a>(image: &'a str, at: &str) -> Option<(&'static str, bool, &'a str)> {
    let seen = see(image, at)?;
    Some((seen.kind.name, seen.by_image, seen.tag))
}

struct Seen<'a> {
    kind: &'static Kind,
    by_image: bool,
    /// As much of the tag as is a version.
    tag: &'a str,
}

fn see<'a>(image: &'a str, at: &str) -> Option<Seen<'a>> {
    let untagged = image.split('@').next().unwrap_or(image);
    let last = untagged.rsplit('/').next().unwrap_or(untagged);
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    let is_in = |folders: &[&str]| {
        folders.iter().any(|folder| {
            at.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let is_image = |kind: &&Kind| kind.images.contains(&name);
    // An image that is known counts more than a folder, which another server of its family may use as well.
    let by_image = KINDS.iter().find(|kind| is_image(kind) && (is_in(kind.own) || is_in(kind.shared)));
    let kind = by_image.or_else(|| KINDS.iter().find(|kind| is_in(kind.own)))?;
    let end = tag.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tag.len());
    Some(Seen { kind, by_image: by_image.is_some(), tag: tag[..end].trim_end_matches('.') })
}

/// What the sources of this host look like, by their names.
pub async fn suggest(host: &Host, cover: &Cover) -> Result<BTreeMap<String, Looks>, Failure> {
    let containers = host.docker().await?.containers().await;
    let containers = containers.map_err(|e| blame::docker("look what sources are used for", e))?;
    let image = |name: &str| containers.iter().find(|one| one.name == name).map(|one| one.image.as_str());
    let looks = cover.sources.iter().filter_map(|source| {
        let mut users = source.users.iter();
        let looks = users.find_map(|user| looks_like(image(&user.container)?, &user.at))?;
        Some((source.name.clone(), looks))
    });
    Ok(looks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, at: &str, want: Option<(&str, Mode)>) {
        let want = want.map(|(like, mode)| Looks { like: like.to_owned(), mode });
        assert_eq!(looks_like(image, at), want, "{image} at {at}");
    }

    #[test]
    fn images_and_mount_points_tell_what_a_source_is() {
        check("postgres:15", "/var/lib/postgresql/data", Some(("PostgreSQL 15", Mode::Postgres)));
        check("postgres", "/var/lib/postgresql/data", Some(("PostgreSQL", Mode::Postgres)));
        let pinned = "registry.example.org:5000/db/postgis:16.3-alpine@sha256:0123";
        check(pinned, "/var/lib/postgresql/data", Some(("PostgreSQL 16.3", Mode::Postgres)));
        check("own/image:7", "/var/lib/postgresql", Some(("PostgreSQL", Mode::Postgres)));
        check("mariadb:10.11", "/var/lib/mysql", Some(("MariaDB 10.11", Mode::Mysql)));
        check("mysql:8.0.36-debian", "/var/lib/mysql", Some(("MySQL 8.0.36", Mode::Mysql)));
        check("own/image", "/var/lib/mysql", Some(("MySQL", Mode::Mysql)));
        check("redis:7-alpine", "/data", Some(("Redis 7", Mode::Redis)));
        check("valkey/valkey:8.0", "/data", Some(("Valkey 8.0", Mode::Redis)));
        check("crazymax/rrdcached:1.8", "/data/db", Some(("RRD files", Mode::Rrd)));
        check("own/image", "/data", None);
        check("postgres:15", "/backups", None);
        check("postgres:15", "/var/lib/postgresql-old", None);
        check("sha256:0123", "/srv", None);
        check("", "", None);
    }
}
