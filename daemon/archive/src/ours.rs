//! Names of our own folders at the top of a source.
//!
//! A restore stages its tree inside the source, so that the swap is a rename. What it stages, and what it
//! keeps, is no content of the source: a backup leaves these folders out, at the top level only.

/// Begins the name of the folder in which a restore stages its tree; the run's id follows.
pub const STAGING_PREFIX: &[u8] = b".backupd-restore-";

/// Begins the name of the folder that keeps what a restore replaced; the run's id follows.
pub const PREVIOUS_PREFIX: &[u8] = b".backupd-previous-";

/// Whether a name at the top of a source is one of ours.
pub fn is_ours(name: &[u8]) -> bool {
    [STAGING_PREFIX, PREVIOUS_PREFIX]
        .iter()
        .any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_prefix_with_a_run_is_ours() {
        for (name, want) in [
            (&b".backupd-restore-01J"[..], true),
            (b".backupd-previous-01J", true),
            (b".backupd-restore-", false),
            (b".backupd-restored-x", false),
            (b"x.backupd-restore-01J", false),
            (b".backupd", false),
        ] {
            assert_eq!(is_ours(name), want, "{}", crate::path::printable(name));
        }
    }
}
