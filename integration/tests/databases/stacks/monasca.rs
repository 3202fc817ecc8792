//! Monasca: MySQL, InfluxDB, Kafka and ZooKeeper in the volumes of a project.
//!
//! Debian carries neither Kafka nor ZooKeeper: a program that appends to logs and stores into mapped indexes, as they
//! do, stands for each. Each source is frozen by itself.

use integration::databases::influxdb::Influxdb;
use integration::databases::mariadb::Mariadb;
use integration::databases::segments::Segments;

use super::{Mount, Part, Stack};

#[test]
fn monasca_comes_back() {
    let parts = vec![
        Part::new("mysql", Mariadb { rows: 20_000, logs: false }, Mount::Named("mysql-files"), "monasca"),
        Part::new("influxdb", Influxdb, Mount::Named("influxdb-files"), "monasca"),
        Part::new("kafka", Segments { at: "/kafka" }, Mount::Named("kafka-files"), "monasca"),
        Part::new("zookeeper", Segments { at: "/datalog" }, Mount::Named("zookeeper-files"), "monasca"),
    ];
    let mut stack = Stack::new("monasca", parts);
    stack.up();
    stack.prove();
}
