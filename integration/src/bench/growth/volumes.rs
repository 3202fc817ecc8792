//! Volumes that grow, and a little that changes in them: as much in a large one as in a small one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::bench::noise::Noise;

const MIB: u64 = 1 << 20;

/// Files that are written anew, or places.
const CHANGES: u64 = 100;

/// Small files lie so many in a folder.
const FOLDER_FILES: u64 = 1000;

/// Large files are so long; sizes are multiples of it.
pub(super) const FILE_MIB: u64 = 64;

/// A page, and as much of it as does not compress.
const PAGE_BYTES: usize = 8192;
const NOISE_BYTES: usize = 1024;
const WORDS: &[u8; 32] = b"pending shipped returned refund ";

/// Of what a volume has more and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Files of two kilobytes, counted.
    Files,
    /// Data in large files, in MiB.
    Mebibytes,
    /// One image with one MiB in every thousand, in MiB.
    Holes,
}

impl Kind {
    /// Where small files lie: the folder of one of them, and its name.
    pub(super) fn folder_and_name(number: u64) -> (String, String) {
        ((number / FOLDER_FILES).to_string(), number.to_string())
    }

    /// Lets an empty volume, or one that has `had` of it, grow to `size`.
    pub(super) fn grow(self, folder: &Path, had: u64, size: u64) -> io::Result<()> {
        match self {
            Self::Files => (had..size).try_for_each(|number| small(folder, number, 0)),
            Self::Mebibytes => (had.div_ceil(FILE_MIB)..size.div_ceil(FILE_MIB)).try_for_each(|number| {
                large(&folder.join(number.to_string()), FILE_MIB.min(size - number * FILE_MIB), number)
            }),
            Self::Holes => image(&folder.join("image"), size),
        }
    }

    /// A little changes; each `day` something else.
    pub(super) fn change(self, folder: &Path, size: u64, day: u64) -> io::Result<()> {
        let noise = &mut Noise::new(1000 + day);
        match self {
            Self::Files => (0..CHANGES).try_for_each(|_| small(folder, noise.below(size), day)),
            Self::Mebibytes => (0..CHANGES).try_for_each(|_| {
                let at = noise.below(size);
                let file = OpenOptions::new().write(true).open(folder.join((at / FILE_MIB).to_string()))?;
                file.write_all_at(&page(noise), at % FILE_MIB * MIB)
            }),
            Self::Holes => {
                let file = OpenOptions::new().write(true).open(folder.join("image"))?;
                (0..CHANGES).try_for_each(|_| file.write_all_at(&page(noise), noise.below(size) * MIB))
            }
        }
    }
}

fn small(folder: &Path, number: u64, day: u64) -> io::Result<()> {
    let (inner, name) = Kind::folder_and_name(number);
    let inner = folder.join(inner);
    if number.is_multiple_of(FOLDER_FILES) {
        fs::create_dir_all(&inner)?;
    }
    let mut file = File::create(inner.join(name))?;
    let key = Noise::new(number).number();
    write!(
        file,
        "{number} of day {day}: {key:016x}; customer, invoice and address follow\n{}",
        "-".repeat(1900)
    )
}

fn page(noise: &mut Noise) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page.chunks_mut(WORDS.len()).for_each(|chunk| chunk.copy_from_slice(WORDS));
    noise.fill(&mut page[..NOISE_BYTES]);
    page
}

fn large(path: &Path, mib: u64, seed: u64) -> io::Result<()> {
    let noise = &mut Noise::new(seed);
    let mut file = File::create(path)?;
    let mut piece = Vec::new();
    for _ in 0..mib {
        piece.clear();
        for _ in 0..MIB / PAGE_BYTES as u64 {
            piece.extend_from_slice(&page(noise));
        }
        file.write_all(&piece)?;
    }
    Ok(())
}

fn image(path: &Path, mib: u64) -> io::Result<()> {
    let noise = &mut Noise::new(7);
    let file = File::create(path)?;
    file.set_len(mib * MIB)?;
    let mut piece = vec![0; usize::try_from(MIB).unwrap_or_default()];
    (0..mib).step_by(1000).try_for_each(|at| {
        noise.fill(&mut piece);
        file.write_all_at(&piece, at * MIB)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::bench::volumes::Contents;

    #[test]
    fn volumes_grow_and_change_in_place() {
        for (kind, small, large, want) in [
            (Kind::Files, 10, 1500, Contents { files: 1500, bytes: 0 }),
            (Kind::Mebibytes, 64, 130, Contents { files: 3, bytes: 130 * MIB }),
        ] {
            let dir = tempfile::tempdir().unwrap();
            kind.grow(dir.path(), 0, small).unwrap();
            kind.grow(dir.path(), small, large).unwrap();
            kind.change(dir.path(), large, 1).unwrap();
            let found = Contents::of(dir.path()).unwrap();
            assert_eq!(found.files, want.files, "{kind:?}");
            assert!(want.bytes == 0 || found.bytes == want.bytes, "{found:?}");
        }
    }

    #[test]
    fn an_image_is_mostly_holes() {
        let dir = tempfile::tempdir().unwrap();
        Kind::Holes.grow(dir.path(), 0, 5000).unwrap();
        Kind::Holes.change(dir.path(), 5000, 1).unwrap();
        let about = fs::metadata(dir.path().join("image")).unwrap();
        assert_eq!(about.len(), 5000 * MIB);
        assert!(about.blocks() * 512 < 8 * MIB, "{}", about.blocks());
    }
}
