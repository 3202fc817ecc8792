//! Monasca: MySQL, InfluxDB, Kafka and ZooKeeper in the volumes of a project.
//!
//! Its policy makes a set of them, frozen at one moment.

use integration::databases::influxdb::Influxdb;
use integration::databases::mariadb::Mariadb;
use integration::databases::segments::Segments;
use integration::databases::zookeeper::Zookeeper;

use super::{Part, Stack};

#[test]
fn monasca_comes_back() {
    let parts = vec![
        Part::new("mysql", Mariadb { rows: 20_000, more: &[] }, "monasca"),
        Part::new("influxdb", Influxdb, "monasca"),
        Part::new("kafka", Segments { at: "/kafka" }, "monasca"),
        Part::new("zookeeper", Zookeeper, "monasca"),
    ];
    let mut stack = Stack::new("monasca", parts);
    stack.up();
    stack.back_up_set();
    stack.come_back();
}
