//! Concertim: PostgreSQL in `db-data`, RRD files behind rrdcached in `rrd-data`, and two volumes that a deployment
//! writes again.

use integration::databases::postgres::Postgres;
use integration::databases::rrd::Rrd;

use super::{Part, Stack};

#[test]
fn concertim_comes_back() {
    let parts = vec![
        Part::new("db", Postgres { scale: 1 }, "concertim"),
        Part::new("gmetad", Rrd { cached: true }, "concertim-rrd"),
    ];
    let mut stack = Stack::new("concertim", parts);
    stack.up();
    let rows = stack.listed();
    for volume in ["static-content", "concertim-etc"].map(|name| stack.place.called(name)) {
        let row = rows.iter().find(|row| row["source"] == volume.as_str()).unwrap();
        assert_eq!(row["verdict"], "decided not", "{row}");
    }
    stack.prove();
}
