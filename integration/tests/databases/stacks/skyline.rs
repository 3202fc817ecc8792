//! Skyline: MySQL, Redis and whisper files in folders of the host; and its MySQL, which makes new and empty databases
//! wherever it finds none.

use integration::databases::mariadb::Mariadb;
use integration::databases::points::Points;
use integration::databases::redis::{Files, Redis};

use super::{Part, Stack};

#[test]
fn skyline_comes_back_also_when_its_database_has_made_itself_anew() {
    let parts = vec![
        Part::new("mysql", Mariadb { rows: 100_000, more: &[] }, "skyline"),
        Part::new("redis", Redis { keys: 5_000, files: Files::Rewritten }, "skyline-redis"),
        Part::new("graphite", Points, "skyline-graphite"),
    ];
    let mut stack = Stack::new("skyline", parts);
    stack.up();
    stack.prove();

    // The folder was lost, and the service is up again and looks well.
    stack.destroy_one(0);
    stack.create(0);
    let (source, server) = (stack.source(&stack.parts[0]), &stack.parts[0].server);
    stack.parts[0].container().order("start").unwrap();
    stack.parts[0].container().serves(server.serves()).unwrap().unwrap();
    let ran = stack.place.run(&["backup", &source]).unwrap();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.text().contains(&format!("backupctl acknowledge {source}")), "{ran}");
    let status = stack.place.run(&["status"]).unwrap();
    let rows = status.events[0]["sources"].as_array().unwrap();
    let row = rows.iter().find(|row| row["source"] == source.as_str()).unwrap();
    assert!(row["held"].is_string(), "{row}");

    stack.place.run(&["restore", &source, "--snapshot", "1", "--yes"]).unwrap().done().unwrap();
    stack.check(0);
}
