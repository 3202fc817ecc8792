-- What rehearsed restores found. This host's own, lost with the catalog; a row is written once and never changed.
CREATE TABLE drills (
  run TEXT PRIMARY KEY,
  store TEXT NOT NULL,
  host TEXT NOT NULL,
  source TEXT NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,            -- when it ended
  checker TEXT NOT NULL,
  result TEXT NOT NULL,
  what TEXT NOT NULL,             -- the checker's words
  restore_ms INTEGER,             -- if the restore came to its end
  ms INTEGER NOT NULL,
  digest BLOB NOT NULL,           -- of the columns above
  output TEXT NOT NULL            -- the end of what the programs said; decides nothing
) STRICT, WITHOUT ROWID;

CREATE INDEX drills_by_source ON drills (store, host, source, at);
