//! Who judges a snapshot: chosen by how it was taken, else by its files; named in the plan, never guessed in silence.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::signs::{Place, Signs};
use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, UserOfSource};

/// A checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checker {
    /// `pg_amcheck`, a dump of all, page checksums.
    Postgres,
    /// `mariadb-check` or `mysqlcheck`, a dump of all.
    Mysql,
    /// `redis-check-rdb`, `redis-check-aof`, and loading it.
    Redis,
    /// `rrdtool` on each file.
    Rrd,
    /// Every file is read back and compared with its hash.
    Files,
}

impl Checker {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Mysql, Self::Redis, Self::Rrd, Self::Files];

    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Rrd => "rrd",
            Self::Files => "files",
        }
    }

    /// It starts programs of the recorded image.
    pub(super) fn needs_image(self) -> bool {
        self != Self::Files
    }

    /// It starts a server, which may be in need of arguments.
    pub(super) fn starts_a_server(self) -> bool {
        match self {
            Self::Postgres | Self::Mysql | Self::Redis => true,
            Self::Rrd | Self::Files => false,
        }
    }

    /// How images with its server are called.
    fn images(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgres", "postgis", "timescale", "pgvector"],
            Self::Mysql => &["maria", "mysql", "percona"],
            Self::Redis => &["redis", "valkey"],
            Self::Rrd => &["rrd", "collectd", "ganglia", "gmetad", "cacti", "munin"],
            Self::Files => &[],
        }
    }

    /// Of those who used a source, the one whose image has its server: by the image's name, else one that ran.
    pub(super) fn user(self, users: &[UserOfSource]) -> Option<&UserOfSource> {
        let named = |user: &UserOfSource| self.images().iter().any(|word| user.image.contains(word));
        users.iter().min_by_key(|user| (!named(user), !user.running))
    }

    /// Where its files lie.
    pub(super) fn place(self, signs: &Signs) -> Option<&Place> {
        match self {
            Self::Postgres => signs.postgres.first(),
            Self::Mysql => signs.mysql.first(),
            Self::Redis => signs.aof.first().or(signs.rdb.first()),
            Self::Rrd => signs.rrd.as_ref(),
            Self::Files => None,
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Checker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = Self::ALL.iter().map(|one| format!("`{one}`")).collect();
        let found = Self::ALL.into_iter().find(|one| one.word() == text);
        found.ok_or_else(|| format!("it is one of {}", words.join(", ")))
    }
}

impl Serialize for Checker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// The checker of a snapshot, and why this one.
pub(super) fn choose(
    wanted: Option<Checker>,
    consistency: Consistency,
    signs: &Signs,
) -> Result<(Checker, String), Failure> {
    let recipe = recipe(consistency);
    let (checker, why) = match (wanted, recipe) {
        (Some(wanted), _) => (wanted, "it was asked for".to_owned()),
        (None, Some(recipe)) => (recipe, "the snapshot was taken by this recipe".to_owned()),
        (None, None) => by_files(signs),
    };
    let places = match checker {
        Checker::Postgres => signs.postgres.len(),
        Checker::Mysql => signs.mysql.len(),
        Checker::Redis => signs.rdb.len().max(signs.aof.len()),
        Checker::Rrd => usize::from(signs.rrd.is_some()),
        Checker::Files => 1,
    };
    match places {
        1 => Ok((checker, why)),
        0 => {
            Err(Failure::new(Class::NotFound, format!("the snapshot holds nothing that `{checker}` checks"))
                .hint("choose another one with `--checker`; `files` checks anything"))
        }
        _ => Err(Failure::new(
            Class::Unsafe,
            format!("the snapshot holds more than one database that `{checker}` checks"),
        )
        .hint(
            "a drill proves one; give each a volume of its own, or prove the files alone: `--checker files`",
        )),
    }
}

/// What a snapshot was taken by, where that says what is in it.
fn recipe(consistency: Consistency) -> Option<Checker> {
    match consistency {
        Consistency::Postgres => Some(Checker::Postgres),
        Consistency::Mysql => Some(Checker::Mysql),
        Consistency::Redis => Some(Checker::Redis),
        Consistency::Rrd => Some(Checker::Rrd),
        Consistency::Live
        | Consistency::Idle
        | Consistency::Paused
        | Consistency::Stopped
        | Consistency::Hooks
        | Consistency::Dump
        | Consistency::Imported => None,
    }
}

fn by_files(signs: &Signs) -> (Checker, String) {
    let at = |place: &Place| format!("`{}` is in it", place.file);
    let found = [Checker::Postgres, Checker::Mysql, Checker::Redis].into_iter();
    let mut found = found.filter_map(|checker| Some((checker, at(checker.place(signs)?))));
    if let Some(found) = found.next() {
        return found;
    }
    // One file of a kind among others says little.
    match &signs.rrd {
        Some(first) if signs.rrd_files * 2 >= signs.files => (Checker::Rrd, at(first)),
        Some(_) | None => (Checker::Files, "it holds no database that is known here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use archive::path::TreePath;

    use super::*;

    fn place(file: &str) -> Place {
        let file = TreePath::parse(file.as_bytes().to_vec()).unwrap();
        Place { folder: TreePath::root(), file, uid: 999, gid: 999 }
    }

    fn user(container: &str, image: &str, running: bool) -> UserOfSource {
        UserOfSource {
            container: container.into(),
            image: image.into(),
            image_id: "sha256:1".into(),
            at: "/data".into(),
            running,
            server: None,
            project: None,
        }
    }

    #[test]
    fn the_files_say_who_judges_and_the_plan_says_why() {
        let none = Signs { files: 5, ..Signs::default() };
        let pg = Signs { postgres: vec![place("global/pg_control")], ..none.clone() };
        let two = Signs { mysql: vec![place("a/ibdata1"), place("b/ibdata1")], ..none.clone() };
        let few = Signs { rrd: Some(place("a.rrd")), rrd_files: 2, ..none.clone() };
        let many = Signs { rrd_files: 3, ..few.clone() };
        let chosen = |wanted, signs: &Signs| {
            choose(wanted, Consistency::Paused, signs).map(|(checker, _)| checker.word()).ok()
        };
        assert_eq!(chosen(None, &none), Some("files"));
        assert_eq!(chosen(None, &pg), Some("postgres"));
        assert_eq!(chosen(Some(Checker::Files), &pg), Some("files"));
        assert_eq!(chosen(Some(Checker::Redis), &pg), None);
        assert_eq!(chosen(None, &two), None);
        assert_eq!(chosen(Some(Checker::Files), &two), Some("files"));
        assert_eq!((chosen(None, &few), chosen(None, &many)), (Some("files"), Some("rrd")));
        let (_, why) = choose(None, Consistency::Idle, &pg).unwrap();
        assert_eq!(why, "`global/pg_control` is in it");
        for checker in Checker::ALL {
            assert_eq!(checker.word().parse(), Ok(checker));
        }
        assert!("pg".parse::<Checker>().unwrap_err().contains("`postgres`, `mysql`"));
    }

    /// Data-only containers use the volume as well, and have no server in them.
    #[test]
    fn the_image_is_that_of_the_server() {
        let users =
            [user("data", "busybox", false), user("app", "shop:3", true), user("db", "postgres:15", false)];
        assert_eq!(Checker::Postgres.user(&users).unwrap().container, "db");
        assert_eq!(Checker::Mysql.user(&users).unwrap().container, "app");
        assert_eq!(Checker::Mysql.user(&users[..1]).unwrap().container, "data");
        assert_eq!(Checker::Mysql.user(&[]), None);
    }
}
