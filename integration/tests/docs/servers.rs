//! Real databases in containers, with a table `orders` in a database `shop`.

use std::fs;
use std::io;

use integration::databases::Server;
use integration::databases::container::{Container, Make};
use integration::databases::image::image;
use integration::databases::mariadb::Mariadb;
use integration::databases::postgres::Postgres;

use crate::host::{Prepared, write};

const POSTGRES: Kind = Kind {
    server: &Postgres { scale: 1 },
    client: "psql -U postgres -qAtX -v ON_ERROR_STOP=1",
    orders: "CREATE DATABASE shop;
        \\c shop
        CREATE TABLE orders (n int PRIMARY KEY, what text NOT NULL);
        INSERT INTO orders SELECT n, 'apple ' || n FROM generate_series(1, 1000) n;",
    lost: "\\c shop
        DROP TABLE orders;",
    sums: "\\c shop
        SELECT count(*) || ' ' || sum(n) || ' ' || min(what) FROM orders;",
};

const MARIADB: Kind = Kind {
    server: &Mariadb { rows: 0, more: &[] },
    client: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -uroot -NB",
    orders: "CREATE DATABASE shop;
        USE shop;
        CREATE TABLE shop.orders (n INT PRIMARY KEY, what TEXT NOT NULL);
        INSERT INTO shop.orders SELECT seq, CONCAT('apple ', seq) FROM seq_1_to_1000;",
    lost: "DROP TABLE shop.orders;",
    sums: "SELECT CONCAT(COUNT(*), ' ', SUM(n), ' ', MIN(what)) FROM shop.orders;",
};

/// What is asked of all orders, if each is there.
const ALL_ORDERS: &str = "1000 500500 apple 1";

/// The password of databases in tests.
const PASSWORD: &[u8] = b"test-password-7\n";

/// How one kind of server is spoken to.
#[derive(Clone, Copy)]
struct Kind {
    server: &'static dyn Server,
    /// A line for the shell of its container, which reads statements.
    client: &'static str,
    orders: &'static str,
    lost: &'static str,
    sums: &'static str,
}

/// A server, gone with this.
pub(crate) struct Running {
    kind: Kind,
    container: Container,
}

impl Running {
    fn serves(&self) -> io::Result<()> {
        self.container.serves(self.kind.server.serves())?.map_err(io::Error::other)
    }

    fn says(&self, statements: &str) -> io::Result<String> {
        let statements = format!("{statements}\n");
        self.container.exec(&["bash", "-c", self.kind.client], &statements)?.good("ask a database")
    }
}

impl Prepared {
    /// Whether that is known.
    pub(crate) fn befalls_servers(&mut self, what: &str, policy: &str) -> io::Result<bool> {
        let copy = |name| format!("backupctl backup {name} --consistency postgres\n");
        match what {
            "a PostgreSQL `db` has its data in `db-data`, and is backed up twice" => {
                self.with_orders("db", "db-data", POSTGRES)?;
                self.does(&copy("db-data").repeat(2))?;
            }
            "somebody drops the table of `db`" => self.lose("db")?,
            "on another host, the table of the PostgreSQL `shop-db` was dropped after a backup" => {
                self.move_to("db-1", "store-db");
                self.with_orders("shop-db", "shop-db", POSTGRES)?;
                self.does(&copy("shop-db"))?;
                self.lose("shop-db")?;
            }
            "the PostgreSQL `shop-db` is dumped by this policy" => {
                self.with_orders("shop-db", "shop-db", POSTGRES)?;
                self.dumped(policy)?;
            }
            "the MariaDB `shop-db` is dumped by this policy" => {
                self.with_orders("shop-db", "shop-db", MARIADB)?;
                self.dumped(policy)?;
            }
            "`new-db` is a new PostgreSQL" => self.start("new-db", None, POSTGRES)?,
            "`new-db` is a new PostgreSQL with an empty database `shop`" => {
                self.start("new-db", None, POSTGRES)?;
                self.servers["new-db"].says("CREATE DATABASE shop;")?;
            }
            "`new-db` is a new MariaDB" => self.start("new-db", None, MARIADB)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Fails if one is missing.
    pub(crate) fn has_every_order(&self, name: &str) -> io::Result<()> {
        let running = self.servers.get(name).ok_or_else(|| io::Error::other("there is no such server"))?;
        running.serves()?;
        let has = running.says(running.kind.sums)?;
        if has.trim() == ALL_ORDERS { Ok(()) } else { Err(io::Error::other(format!("it has {has}"))) }
    }

    fn start(&mut self, name: &'static str, volume: Option<&str>, kind: Kind) -> io::Result<()> {
        let at = kind.server.at();
        let make = Make {
            image: image(&self.docker, kind.server.image())?,
            name: name.to_owned(),
            binds: volume.iter().map(|volume| format!("{volume}:{at}")).collect(),
            anonymous: if volume.is_none() { vec![at.to_owned()] } else { Vec::new() },
            arguments: kind.server.arguments(),
            environment: kind.server.environment(),
            stop_signal: kind.server.stop_signal().to_owned(),
            ..Make::default()
        };
        let running = Running { kind, container: Container::create(&self.docker, &make)? };
        running.container.order("start")?;
        running.serves()?;
        self.servers.insert(name, running);
        Ok(())
    }

    fn with_orders(&mut self, name: &'static str, volume: &str, kind: Kind) -> io::Result<()> {
        self.docker.create_volume(volume)?;
        self.start(name, Some(volume), kind)?;
        self.servers[name].says(kind.orders).map(drop)
    }

    fn lose(&self, name: &str) -> io::Result<()> {
        let running = &self.servers[name];
        running.says(running.kind.lost).map(drop)
    }

    /// Puts the policy in place as the document shows it, for `shop-db` if it leaves that out; its passwords lie elsewhere.
    fn dumped(&self, policy: &str) -> io::Result<()> {
        let folder = self.folder.path().join("policies");
        fs::create_dir_all(&folder)?;
        let head = "schedule = \"0 2 * * *\"\nselect.volumes = [\"shop-db\"]\n";
        let head = if policy.contains("schedule =") { "" } else { head };
        let passwords = format!("{}/", self.folder.path().display());
        let policy = policy.replace("/etc/backupd/", &passwords);
        write(&folder.join("shop-dump.toml"), format!("{head}{policy}").as_bytes())?;
        write(&self.folder.path().join("shop-db-root"), PASSWORD)?;
        self.does("chmod 600 shop-db-root\nbackupctl backup shop-db\n")
    }
}
