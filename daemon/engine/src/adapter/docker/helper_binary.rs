//! The helper as a static binary, built by this crate's build script, carried inside the program.

/// The bytes of the executable.
pub(super) static HELPER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/backupd-helper"));

#[cfg(test)]
mod tests {
    use super::*;

    /// A helper that wants a loader would not start in an image that has none.
    #[test]
    fn the_helper_is_an_executable_without_a_loader() {
        const PT_INTERP: u32 = 3;
        let number = |at: usize, n: usize| {
            let mut bytes = [0; 8];
            bytes[..n].copy_from_slice(&HELPER[at..at + n]);
            usize::try_from(u64::from_le_bytes(bytes)).unwrap()
        };
        assert_eq!(&HELPER[..6], b"\x7fELF\x02\x01");
        let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        let kinds: Vec<_> = (0..count).map(|i| number(headers + i * size, 4)).collect();
        assert!(!kinds.is_empty() && !kinds.contains(&(PT_INTERP as usize)), "{kinds:?}");
    }
}
