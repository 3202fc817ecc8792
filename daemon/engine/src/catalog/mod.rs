//! What this host remembers, in SQLite.
