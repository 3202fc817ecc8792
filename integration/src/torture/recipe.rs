//! The recipes: a server, and how it is backed up.

use std::io;

use crate::databases::Server;
use crate::databases::cycle::Subject;
use crate::databases::influxdb::Influxdb;
use crate::databases::mariadb::Mariadb;
use crate::databases::place::Place;
use crate::databases::points::Points;
use crate::databases::postgres::Postgres;
use crate::databases::redis::{Files, Redis};
use crate::databases::rrd::Rrd;
use crate::databases::segments::Segments;
use crate::databases::zookeeper::Zookeeper;

/// See the module.
#[derive(Debug)]
pub struct Recipe {
    /// What it is called in the table.
    pub name: &'static str,
    /// The server.
    pub server: Box<dyn Server>,
    /// `--consistency`.
    pub mode: &'static str,
    /// Naive copies of this server are made beside it: one recipe of each server has them.
    pub has_control: bool,
}

impl Recipe {
    /// A server on a new volume, with the policy that its mode needs.
    pub fn subject<'a>(&'a self, place: &'a Place) -> io::Result<Subject<'a>> {
        if self.mode != "hooks" {
            return Subject::new(place, &*self.server, &[]);
        }
        place.write("policies/hooks.toml", self.server.hooks().unwrap_or_default())?;
        Subject::new(place, &*self.server, &[("backupd.policy", "hooks")])
    }

    /// Somebody is paused or stopped for a moment.
    pub fn holds(&self) -> bool {
        matches!(self.mode, "pause" | "stop" | "mysql" | "rrd")
    }
}

/// All of them.
pub fn recipes() -> Vec<Recipe> {
    let postgres = Postgres { scale: 2 };
    let mariadb = Mariadb { rows: 50_000, more: &[] };
    let redis = Redis { keys: 20_000, files: Files::Rewritten };
    let saved = Redis { files: Files::Saved, ..redis };
    let (cached, alone, indexes) = (Rrd { cached: true }, Rrd { cached: false }, Segments { at: "/data" });
    let mut recipes = Vec::new();
    let mut add = |name, server: Box<dyn Server>, mode, has_control| {
        recipes.push(Recipe { name, server, mode, has_control });
    };
    add("PostgreSQL, `postgres`", Box::new(postgres), "postgres", true);
    add("PostgreSQL, `pause`", Box::new(postgres), "pause", false);
    add("PostgreSQL, `stop`", Box::new(postgres), "stop", false);
    add("PostgreSQL, `hooks`", Box::new(postgres), "hooks", false);
    add("MariaDB, `mysql`", Box::new(mariadb), "mysql", true);
    add("MariaDB, `pause`", Box::new(mariadb), "pause", false);
    add("MariaDB, `stop`", Box::new(mariadb), "stop", false);
    add("Redis, log, `redis`", Box::new(redis), "redis", true);
    add("Redis, log, `pause`", Box::new(redis), "pause", false);
    add("Redis, log, `stop`", Box::new(redis), "stop", false);
    add("Redis, one file, `redis`", Box::new(saved), "redis", false);
    add("Redis, one file, `hooks`", Box::new(saved), "hooks", false);
    add("rrdcached, `rrd`", Box::new(cached), "rrd", false);
    add("rrdcached, `stop`", Box::new(cached), "stop", true);
    add("RRD files, `rrd`", Box::new(alone), "rrd", false);
    add("whisper files, `pause`", Box::new(Points), "pause", true);
    add("mapped indexes, `pause`", Box::new(indexes), "pause", true);
    add("InfluxDB, `pause`", Box::new(Influxdb), "pause", true);
    add("ZooKeeper, `pause`", Box::new(Zookeeper), "pause", true);
    recipes
}
