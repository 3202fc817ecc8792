-- Containers that a run holds while it reads what they write: each is here before it is touched, and until it runs
-- again as it did. One container is held by one run at a time.
CREATE TABLE freezes (
  container TEXT PRIMARY KEY,     -- its id
  run TEXT NOT NULL,
  place INTEGER NOT NULL,         -- they are held in this order, and let go in reverse
  how TEXT NOT NULL,
  was TEXT NOT NULL,              -- JSON: name, start time, restart policy and the like, as they were
  begun INTEGER NOT NULL,         -- the engine was told to hold it, or is about to be
  digest BLOB NOT NULL            -- of the columns above
) STRICT, WITHOUT ROWID;
