//! The Docker port over bollard.
