-- The index of the stores: everything here comes from signed manifests and can be read back from them,
-- except the columns that are marked local.
CREATE TABLE stores (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE sources (
  id INTEGER PRIMARY KEY,
  store INTEGER NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
  host TEXT NOT NULL,
  source TEXT NOT NULL,
  UNIQUE (store, host, source)
) STRICT;

CREATE TABLE snapshots (
  source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  run TEXT NOT NULL,
  taken_at INTEGER NOT NULL,      -- nanoseconds since 1970, as all times here
  kind TEXT NOT NULL,
  consistency TEXT NOT NULL,
  by_hand INTEGER NOT NULL,
  entries INTEGER NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  data_bytes INTEGER NOT NULL,
  sent_bytes INTEGER NOT NULL,
  partial INTEGER NOT NULL,
  set_id TEXT,                    -- the set that it belongs to
  manifest_hash BLOB NOT NULL,
  deleted_at INTEGER,             -- that it is deleted comes from the store; when, is local
  seen_at INTEGER NOT NULL,       -- local
  verified_at INTEGER,            -- local
  verified TEXT,                  -- local
  digest BLOB NOT NULL,           -- of store, host, source and the columns above but seen_at
  manifest BLOB NOT NULL,         -- last: a listing does not read its pages
  PRIMARY KEY (source, number)
) STRICT;

CREATE INDEX snapshots_by_time ON snapshots (taken_at, number);

CREATE TABLE packs (
  source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  length INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

-- Which snapshot needs which pack.
CREATE TABLE needs (
  source INTEGER NOT NULL,
  number INTEGER NOT NULL,
  pack INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (source, number, pack),
  FOREIGN KEY (source, number) REFERENCES snapshots (source, number) ON DELETE CASCADE,
  FOREIGN KEY (source, pack) REFERENCES packs (source, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX needs_by_pack ON needs (source, pack);

-- What this host did. Lost with the catalog.
CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  verb TEXT NOT NULL,
  host TEXT NOT NULL,
  source TEXT,
  store TEXT,
  state TEXT NOT NULL,
  pid INTEGER NOT NULL,
  began_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT,
  message TEXT,
  snapshot INTEGER,
  uploads TEXT NOT NULL,          -- JSON
  journal TEXT,                   -- JSON
  digest BLOB NOT NULL,           -- of the columns above; those below change often and decide nothing
  cancel INTEGER NOT NULL DEFAULT 0,
  entries INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  bytes_per_second INTEGER NOT NULL DEFAULT 0,
  path TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX runs_by_time ON runs (began_at);
CREATE INDEX runs_unfinished ON runs (began_at) WHERE ended_at IS NULL;

CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  run TEXT,
  level TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;
