//! What happens to the volumes between two backups.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{MIB, Noise, PAGE_BYTES, page};

/// Three pages of a hundred are written anew, and one of a hundred is added.
pub(super) fn pages(folder: &Path, noise: &mut Noise) -> io::Result<()> {
    let mut id = noise.number() >> 20;
    for path in files_in(&folder.join("base/16384"))? {
        let file = OpenOptions::new().write(true).open(&path)?;
        let pages = file.metadata()?.len() / PAGE_BYTES as u64;
        for _ in 0..pages * 3 / 100 {
            let number = noise.below(pages);
            file.write_all_at(&page(noise, number, &mut id), number * PAGE_BYTES as u64)?;
        }
        for number in pages..pages + pages / 100 {
            file.write_all_at(&page(noise, number, &mut id), number * PAGE_BYTES as u64)?;
        }
    }
    Ok(())
}

/// Each file gets one point.
pub(super) fn points(folder: &Path, noise: &mut Noise) -> io::Result<()> {
    for server in files_in(&folder.join("servers"))? {
        for path in files_in(&server)? {
            let file = OpenOptions::new().write(true).open(&path)?;
            let mut point = [0; 12];
            noise.fill(&mut point);
            file.write_all_at(&point, 16 + 12 * noise.below(4_320))?;
        }
    }
    Ok(())
}

/// Of a hundred files one is written anew, one goes and one comes.
pub(super) fn files(folder: &Path, noise: &mut Noise, day: u64) -> io::Result<()> {
    let mut text = [0; 4000];
    for inner in files_in(folder)? {
        let mut fill = |path: &Path| -> io::Result<()> {
            noise.fill(&mut text);
            text.iter_mut().for_each(|byte| *byte = b'a' + *byte % 16);
            File::create(path)?.write_all(&text)
        };
        // A folder holds a hundred of them at full size.
        let found = files_in(&inner)?;
        let place = usize::try_from(day).unwrap_or_default();
        let (changed, gone) = (place * 7 % found.len(), place * 13 % found.len());
        fill(&found[changed])?;
        fill(&inner.join(format!("new-{day}")))?;
        if gone != changed && found.len() > 1 && !found[gone].ends_with("0007") {
            fs::remove_file(&found[gone])?;
        }
    }
    Ok(())
}

/// One file gets another name, one gets a hundredth more.
pub(super) fn moves(folder: &Path, noise: &mut Noise, day: u64) -> io::Result<()> {
    let found = files_in(folder)?;
    if let Some(first) = found.iter().find(|path| !path.ends_with("1")) {
        #[expect(clippy::disallowed_methods, reason = "a program in the volume does this, not ours")]
        fs::rename(first, folder.join(format!("z{day}")))?;
    }
    let mut file = OpenOptions::new().append(true).open(folder.join("1"))?;
    let mut piece = vec![0; usize::try_from(file.metadata()?.len() / 100).unwrap_or_default()];
    noise.fill(&mut piece);
    file.write_all(&piece)
}

/// One piece of an image is written anew.
pub(super) fn piece(folder: &Path, noise: &mut Noise) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(folder.join("1.img"))?;
    let mut piece = vec![0; usize::try_from(MIB).unwrap_or_default()];
    noise.fill(&mut piece);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&piece)
}

/// What lies in a folder, in the order of names.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}
