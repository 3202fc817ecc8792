//! Streams between helper and store: bounded, checked, without policy.
