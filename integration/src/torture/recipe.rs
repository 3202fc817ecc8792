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

/// See the module.
#[derive(Debug)]
pub struct Recipe {
    /// What it is called in the table.
    pub name: &'static str,
    /// The server.
    pub server: Box<dyn Server>,
    /// `--consistency`.
    pub mode: &'static str,
    /// Somebody is paused or stopped for a moment.
    pub holds: bool,
    /// Naive copies of this server are made beside it: one recipe of each server has them.
    pub has_control: bool,
    /// What its mode needs to be told, as a policy.
    pub policy: Option<&'static str>,
}

impl Recipe {
    /// A server on a new volume, with the policy that it needs.
    pub fn subject<'a>(&'a self, place: &'a Place) -> io::Result<Subject<'a>> {
        match self.policy {
            Some(text) => {
                place.write("policies/torture.toml", text)?;
                Subject::new(place, &*self.server, &[("backupd.policy", "torture")])
            }
            None => Subject::new(place, &*self.server, &[]),
        }
    }
}

fn recipe(
    name: &'static str,
    server: impl Server + 'static,
    mode: &'static str,
    has_control: bool,
) -> Recipe {
    Recipe { name, server: Box::new(server), mode, holds: true, has_control, policy: None }
}

/// All of them. Data are larger than in `make test`, so that a copy takes its time.
pub fn recipes() -> Vec<Recipe> {
    let postgres = Postgres { scale: 8 };
    let mariadb = Mariadb { rows: 200_000 };
    let redis = Redis { keys: 100_000, files: Files::Rewritten };
    vec![
        recipe("PostgreSQL, `pause`", postgres, "pause", true),
        recipe("PostgreSQL, `stop`", postgres, "stop", false),
        recipe("MariaDB, `pause`", mariadb, "pause", true),
        recipe("MariaDB, `stop`", mariadb, "stop", false),
        recipe("Redis, `pause`", redis, "pause", true),
        recipe("Redis, `stop`", redis, "stop", false),
        recipe("RRD files, `pause`", Rrd { cached: false }, "pause", true),
        recipe("rrdcached, `stop`", Rrd { cached: true }, "stop", false),
        recipe("whisper files, `pause`", Points, "pause", true),
        recipe("mapped indexes, `pause`", Segments { at: "/data" }, "pause", true),
        recipe("InfluxDB, `pause`", Influxdb, "pause", true),
    ]
}
