//! Real database servers in containers: started on a volume, loaded, written to without a pause, and judged by their
//! own checkers.
//!
//! Always true: a verdict is a checker's and the ledger's, never that a server starts or answers, for broken copies
//! do that too. The ledger holds what was acknowledged before a backup began, and every number of it must be there
//! after the restore. Servers have no network. Everything bears the name of its [`place::Place`], and goes with it.

pub mod container;
pub mod cycle;
pub mod image;
pub mod influxdb;
pub mod ledger;
pub mod mariadb;
pub mod naive;
pub mod place;
pub mod points;
pub mod postgres;
pub mod redis;
pub mod rrd;
pub mod segments;
pub mod writer;
pub mod zookeeper;

use std::fmt::Debug;
use std::io;

use self::container::Container;
use self::ledger::Ledger;

/// What a checker found: nothing, or what is wrong in its words.
pub type Verdict = Result<(), String>;

/// A program of a client that is told a number at a time, and says of each that it is written for good.
#[derive(Debug, Clone)]
pub struct Client {
    /// What is started in the container.
    pub argv: Vec<String>,
    /// What writes a number.
    pub say: fn(u64) -> String,
    /// So many lines acknowledge it.
    pub lines: u32,
    /// Whether a line does.
    pub heard: fn(&str, u64) -> bool,
    /// Milliseconds between two numbers.
    pub pace: u64,
}

/// A kind of server.
pub trait Server: Debug + Send + Sync {
    /// Its image of `setup/images.sh`.
    fn image(&self) -> &'static str;

    /// Where its volume is mounted.
    fn at(&self) -> &'static str;

    /// Its command line.
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }

    /// Variables of its container, as `NAME=value`.
    fn environment(&self) -> Vec<String> {
        Vec::new()
    }

    /// The signal that asks it to end.
    fn stop_signal(&self) -> &'static str {
        "SIGTERM"
    }

    /// A line for the container's shell that ends well once it serves.
    fn serves(&self) -> &'static str;

    /// Puts known data into a new server.
    fn load(&self, container: &Container) -> io::Result<()>;

    /// Who writes numbers.
    fn client(&self) -> Client;

    /// A line for the container's shell that keeps it busy until it is killed; none if the client is enough.
    fn noise(&self) -> Option<String> {
        None
    }

    /// Asks the server's checker, and for every number of the ledger. Nobody else writes meanwhile.
    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict>;

    /// A policy of mode `hooks` that has its files stand still for a moment; none if nothing inside it can do that.
    fn hooks(&self) -> Option<&'static str> {
        None
    }

    /// A line for the container's shell that ends well if no backup has left anything in the server: no session, no slot, no
    /// lock, no setting.
    fn untouched(&self) -> &'static str {
        "true"
    }

    /// A line for the shell of another container on its volume, after it has ended by itself: it must end well.
    fn check_at_rest(&self) -> Option<&'static str> {
        None
    }

    /// A file of its volume, in which some bytes are spoilt: every checker must find that, or it is none.
    fn spoil(&self) -> Spoil;
}

/// What a test spoils.
#[derive(Debug, Clone, Copy)]
pub struct Spoil {
    /// A line for the shell, in the volume's folder, that prints the path of a file.
    pub file: &'static str,
    /// From which byte on.
    pub at: u64,
}
