//! Names that we keep for ourselves at the top of a source.
//!
//! A backup never records them and a restore never creates them as content, so a staging folder that a
//! crash left behind can neither come back from a snapshot nor be planted by one.

/// A folder that a restore unpacks into; the run's id follows.
pub const STAGING_PREFIX: &[u8] = b".backupd-restore-";

/// A folder that holds what was there before a restore; the run's id follows.
pub const PREVIOUS_PREFIX: &[u8] = b".backupd-previous-";

/// What a restore that was cut off had unpacked, for the next one to go on with. No run has this name.
pub const UNFINISHED: &[u8] = b".backupd-restore-unfinished";

/// The folder that holds dumps. It is content: it comes back with a restore, and a later backup reads it as any other,
/// unless it puts new dumps in its place.
pub const DUMP_FOLDER: &[u8] = b".backupd-dump";

/// Whether a name at the top of a source is one of ours.
pub fn is_ours(name: &[u8]) -> bool {
    name.starts_with(STAGING_PREFIX) || name.starts_with(PREVIOUS_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_prefixes_are_ours() {
        assert!(is_ours(b".backupd-restore-r1"));
        assert!(is_ours(b".backupd-previous-r1"));
        assert!(is_ours(UNFINISHED));
        assert!(!is_ours(b".backupd"));
        assert!(!is_ours(DUMP_FOLDER));
        assert!(!is_ours(b"x.backupd-restore-r1"));
        assert!(!is_ours(b"lost+found"));
    }
}
