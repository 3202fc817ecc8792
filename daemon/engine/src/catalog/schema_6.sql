-- Packs in which a verification found damage, until one finds them whole: no backup leans on them. This host's own: a
-- verification finds it again, so it may be lost with the catalog.
CREATE TABLE damaged_packs (
  store TEXT NOT NULL,
  host TEXT NOT NULL,
  source TEXT NOT NULL,
  pack TEXT NOT NULL,             -- its file's name
  at INTEGER NOT NULL,            -- when that was found last
  digest BLOB NOT NULL,           -- of the columns above
  PRIMARY KEY (store, host, source, pack)
) STRICT, WITHOUT ROWID;
