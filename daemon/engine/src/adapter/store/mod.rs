//! The store port over S3 and over a local directory.
