//! What is in a folder, so that two can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// By path: kind, mode, owner, time and content of each entry. The root's own times are left out, since a
/// cut-off restore had a folder of its own in it.
pub(crate) type Tree = BTreeMap<String, String>;

/// Reads a folder; `except` names entries of its top that a tenant keeps writing.
pub(crate) fn tree(root: &Path, except: &[&str]) -> Tree {
    let mut found = Tree::new();
    read(root, "", except, &mut found);
    found
}

fn read(root: &Path, at: &str, except: &[&str], found: &mut Tree) {
    for entry in fs::read_dir(root.join(at)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if at.is_empty() && except.contains(&name.as_str()) {
            continue;
        }
        let path = if at.is_empty() { name } else { format!("{at}/{name}") };
        let meta = fs::symlink_metadata(root.join(&path)).unwrap();
        let content = if meta.is_symlink() {
            fs::read_link(root.join(&path)).unwrap().display().to_string()
        } else if meta.is_file() {
            let bytes = fs::read(root.join(&path)).unwrap();
            // Enough to tell apart what these tests plant.
            let sum = bytes.iter().fold(0_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte));
            format!("{} bytes, {sum:x}", bytes.len())
        } else {
            String::new()
        };
        let told = format!(
            "{:o} {}:{} {}.{:09} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        found.insert(path.clone(), told);
        if meta.is_dir() {
            read(root, &path, except, found);
        }
    }
}

/// Plants a tree that is another one for each `seed`: small files in folders, a link, and one large file of
/// `megabytes` that does not compress.
pub(crate) fn plant(root: &Path, seed: u64, megabytes: u64) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    for folder in ["etc", "var/lib", &format!("only-in-{seed}")] {
        fs::create_dir_all(root.join(folder)).unwrap();
        for n in 0..8 {
            let text = format!("file {n} of {seed} in {folder}\n").repeat(20);
            fs::File::create(root.join(folder).join(format!("f{n}")))
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .unwrap();
        }
    }
    std::os::unix::fs::symlink(format!("etc/f{}", seed % 8), root.join("link")).unwrap();
    let mut dice = seed | 1;
    let mut noise = Vec::new();
    for _word in 0..megabytes << 17 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        noise.extend_from_slice(&dice.to_le_bytes());
    }
    let mut large = fs::File::create(root.join("large")).unwrap();
    std::io::Write::write_all(&mut large, &noise).unwrap();
}
