//! QIS: PostgreSQL and uploads in the anonymous volumes of containers that serve nothing themselves, memcached, and a volume that
//! nobody has any more.

use integration::databases::postgres::Postgres;
use integration::databases::segments::Segments;
use serde_json::json;

use super::{Part, Stack};

/// It says its version to whoever asks.
const MEMCACHED_SERVES: &str = "exec 3<>/dev/tcp/127.0.0.1/11211 && printf 'version\\r\\n' >&3 && read -r line <&3 && [[ $line == VERSION* ]]";

#[test]
fn qis_comes_back() {
    let parts = vec![
        Part::new("postgres", Postgres { scale: 1 }, "qis"),
        Part::new("web", Segments { at: "/var/www/uploads" }, "qis-web"),
    ];
    let mut stack = Stack::new("qis", parts);
    stack.up();
    let rows = stack.listed();
    let row = rows.iter().find(|row| row["source"].as_str().unwrap().contains("memcached")).unwrap();
    assert_eq!(row["verdict"], "decided not", "{row}");
    assert!(row["why"].as_str().unwrap().contains("`qis-nothing`"), "{row}");

    // Of a container that was removed and left its volume.
    let orphan = stack.place.docker.ask("POST", "/volumes/create", Some(&json!({}))).unwrap();
    let orphan = orphan["Name"].as_str().unwrap().to_owned();
    let listed = stack.place.run(&["volumes"]).unwrap();
    stack.place.docker.remove_volume(&orphan).unwrap();
    let row =
        listed.events[0].as_array().unwrap().iter().find(|row| row["source"] == orphan.as_str()).unwrap();
    assert_eq!(row["verdict"], "orphan", "{row}");

    stack.prove();
    stack.other("memcached").serves(MEMCACHED_SERVES).unwrap().unwrap();
}
