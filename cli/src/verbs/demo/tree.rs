//! The small tree of the tour: enough to see that owners of space, links and modes come back.

use engine::archive::path::TreePath;
use engine::failure::Failure;
use engine::usecase::plant::{Planted, PlantedContent};

/// Folders before what they hold.
pub(super) fn tree() -> Result<Vec<Planted>, Failure> {
    let letter = b"Dear reader,\nthis file was gone for a moment.\n".to_vec();
    [
        ("letters", 0o755, PlantedContent::Folder),
        ("letters/first.txt", 0o644, PlantedContent::File(letter)),
        ("letters/latest.txt", 0o777, PlantedContent::Symlink(b"first.txt".to_vec())),
        ("numbers.bin", 0o600, PlantedContent::File(numbers())),
        ("private", 0o700, PlantedContent::Folder),
        ("private/empty", 0o400, PlantedContent::File(Vec::new())),
        ("with a space and é", 0o640, PlantedContent::File(b"names are kept byte for byte\n".to_vec())),
    ]
    .into_iter()
    .map(|(path, mode, content)| {
        let path = TreePath::parse(path.as_bytes().to_vec())
            .map_err(|e| Failure::failed(format!("name `{path}` in the tour's tree")).because(e))?;
        Ok(Planted { path, mode, content })
    })
    .collect()
}

/// 256 KiB that do not compress away, the same on every tour.
fn numbers() -> Vec<u8> {
    let mut state: u32 = 0x2545_f491;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    (0..64 << 10).flat_map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_comes_before_what_it_holds() {
        let tree = tree().unwrap();
        for (i, planted) in tree.iter().enumerate() {
            let (folder, _name) = planted.path.split_last().unwrap();
            let there = tree[..i].iter().any(|before| before.path.as_bytes() == folder);
            assert!(folder.is_empty() || there, "{}", planted.path);
        }
        assert_eq!(numbers().len(), 256 << 10);
    }
}
