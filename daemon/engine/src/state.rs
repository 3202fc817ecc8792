//! The state folder of this installation.
