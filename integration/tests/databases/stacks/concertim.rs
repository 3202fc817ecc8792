//! Concertim: PostgreSQL in `db-data`, RRD files behind rrdcached in `rrd-data`, and two volumes that a deployment
//! writes again.

use integration::databases::postgres::Postgres;
use integration::databases::rrd::Rrd;

use super::{Mount, Part, Stack};

#[test]
fn concertim_comes_back() {
    let parts = vec![
        Part::new("db", Postgres { scale: 1 }, Mount::Named("db-data"), "concertim"),
        Part::new("gmetad", Rrd { cached: true }, Mount::Named("rrd-data"), "concertim-rrd"),
    ];
    let mut stack = Stack::new("concertim", parts);
    stack.up();
    let excluded = ["static-content", "concertim-etc"].map(|name| stack.volume(name));
    for volume in &excluded {
        let rows = stack.listed();
        let row = rows.iter().find(|row| row["source"] == volume.as_str()).unwrap();
        assert_eq!(row["verdict"], "decided not", "{row}");
        stack.place.docker.remove_volume(volume).unwrap();
    }
    stack.prove();
}
