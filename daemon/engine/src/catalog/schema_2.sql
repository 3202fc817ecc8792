-- What people said of snapshots, what the guard said, and when retention was last carried out. This host's own: no
-- store says it again, so it is lost with the catalog. Named by words, not by ids of the index, whose rows a
-- rebuild makes anew.
CREATE TABLE pins (
  store TEXT NOT NULL,
  host TEXT NOT NULL,
  source TEXT NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  note TEXT NOT NULL,
  digest BLOB NOT NULL,           -- of the columns above
  PRIMARY KEY (store, host, source, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE flags (
  store TEXT NOT NULL,
  host TEXT NOT NULL,
  source TEXT NOT NULL,
  number INTEGER NOT NULL,
  flag TEXT NOT NULL,             -- JSON
  at INTEGER NOT NULL,
  acknowledged_at INTEGER,
  digest BLOB NOT NULL,           -- of the columns above
  PRIMARY KEY (store, host, source, number, flag)
) STRICT, WITHOUT ROWID;

CREATE TABLE prunes (
  store TEXT NOT NULL,
  host TEXT NOT NULL,
  source TEXT NOT NULL,
  at INTEGER NOT NULL,            -- decides nothing
  PRIMARY KEY (store, host, source)
) STRICT, WITHOUT ROWID;
