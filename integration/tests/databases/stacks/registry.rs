//! A private registry, and a job manager with its PostgreSQL and its uploads.
//!
//! Layers and uploads are files that are appended and never changed; a program that writes such files stands for them.

use integration::databases::postgres::Postgres;
use integration::databases::segments::Segments;

use super::{Mount, Part, Stack};

#[test]
fn the_registry_and_the_job_manager_come_back() {
    let parts = vec![
        Part::new(
            "registry",
            Segments { at: "/var/lib/registry" },
            Mount::Named("registry-data"),
            "registry",
        ),
        Part::new("jobs-db", Postgres { scale: 1 }, Mount::Named("jobs-db-files"), "registry-db"),
        Part::new("jobs-app", Segments { at: "/app/media" }, Mount::Named("jobs-media"), "registry-uploads"),
    ];
    let mut stack = Stack::new("registry", parts);
    stack.up();
    stack.prove();
}
