//! A private registry, and a job manager with its PostgreSQL and its uploads.
//!
//! Layers and uploads are files that are appended and never changed; a program that writes such files stands for them.

use integration::databases::postgres::Postgres;
use integration::databases::segments::Segments;

use super::{Part, Stack};

#[test]
fn the_registry_and_the_job_manager_come_back() {
    let parts = vec![
        Part::new("registry", Segments { at: "/var/lib/registry" }, "registry"),
        Part::new("jobs-db", Postgres { scale: 1 }, "registry-db"),
        Part::new("jobs-app", Segments { at: "/app/media" }, "registry-uploads"),
    ];
    let mut stack = Stack::new("registry", parts);
    stack.up();
    stack.prove();
}
