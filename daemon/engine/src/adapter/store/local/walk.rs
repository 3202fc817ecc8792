//! Listings of a local store. Folders without an object in them do not exist as far as a store is concerned.

use std::io;

use jiff::Timestamp;

use super::folder::{Entry, Folder, is_missing};
use crate::port::store::{KEY_BYTES_MAX, ObjectInfo};

/// Every object whose key starts with `prefix`, in byte order.
pub(super) fn list(root: &Folder, prefix: &str) -> io::Result<Vec<ObjectInfo>> {
    let base = prefix.rsplit_once('/').map_or("", |(folders, _)| folders);
    let mut found = Vec::new();
    if let Some(folder) = open(root, base)? {
        collect(&folder, base, prefix, &mut found)?;
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// The folders directly under `prefix` that have an object somewhere below.
pub(super) fn folders(root: &Folder, prefix: &str) -> io::Result<Vec<String>> {
    let base = prefix.trim_end_matches('/');
    let Some(folder) = open(root, base)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (name, entry) in folder.entries()? {
        if entry == Entry::Folder && !ours(base, &name) && has_object(&folder, &name, KEY_BYTES_MAX)? {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

fn open(root: &Folder, base: &str) -> io::Result<Option<Folder>> {
    if base.split('/').any(|part| matches!(part, "." | "..")) {
        return Ok(None);
    }
    // `find` opens the folders in front of the last component; an empty one stands for the folder itself.
    Ok(root.find(&format!("{base}/"))?.map(|(folder, _)| folder))
}

/// The marker and the staging folder; no legal key starts with a dot.
fn ours(base: &str, name: &str) -> bool {
    base.is_empty() && name.starts_with('.')
}

fn collect(folder: &Folder, base: &str, prefix: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    for (name, entry) in folder.entries()? {
        let key = if base.is_empty() { name.clone() } else { format!("{base}/{name}") };
        // A folder is worth entering if its keys can start with the prefix; too deep ones were not made by us.
        let wanted = key.starts_with(prefix) || prefix.starts_with(&format!("{key}/"));
        if ours(base, &name) || !wanted || key.len() > KEY_BYTES_MAX {
            continue;
        }
        let done = match entry {
            Entry::Folder => folder.child(&name).and_then(|below| collect(&below, &key, prefix, found)),
            Entry::Object => folder.open(&name).and_then(|file| {
                let meta = file.metadata()?;
                let modified = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
                found.push(ObjectInfo { key, length: meta.len(), modified });
                Ok(())
            }),
        };
        match done {
            // Deleted by somebody while we looked.
            Err(error) if !is_missing(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn has_object(folder: &Folder, name: &str, depth: usize) -> io::Result<bool> {
    let below = match folder.child(name) {
        Ok(below) => below,
        Err(error) if is_missing(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let entries = below.entries()?;
    if entries.iter().any(|(_, entry)| *entry == Entry::Object) {
        return Ok(true);
    }
    for (name, _) in entries {
        if depth > 0 && has_object(&below, &name, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}
