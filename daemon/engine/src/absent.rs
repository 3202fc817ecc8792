//! What is not there at all, which is one thing, and what cannot be reached, which is another: behind a link that leads to
//! nothing lies a disk that is not mounted, or a checkout that is being replaced.
//!
//! Always true: defaults stand in for what is absent, and for nothing else.

use std::io::ErrorKind;
use std::path::Path;

/// Whether nobody ever put something at `path`. What stands in the way to it, or may not be looked at, is something.
pub(crate) fn is_absent(path: &Path) -> bool {
    is_missing(path) && !is_dangling(path)
}

/// Whether a link on the way to `path`, or at its end, leads to nothing.
pub(crate) fn is_dangling(path: &Path) -> bool {
    // The nearest name that exists is that link, or a folder in which the rest is missing.
    let named = path.ancestors().find(|name| std::fs::symlink_metadata(name).is_ok());
    is_missing(path) && named.is_some_and(is_missing)
}

fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_nothing_is_something() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::File::create(at("file")).unwrap();
        symlink(at("folder"), at("there")).unwrap();
        symlink(at("nowhere"), at("gone")).unwrap();
        symlink(at("gone"), at("far")).unwrap();
        for (path, want) in [
            ("none", true),
            ("none/below", true),
            ("folder/none", true),
            ("there/none", true),
            ("folder", false),
            ("there", false),
            ("gone", false),
            ("gone/below", false),
            ("far", false),
            ("file/below", false),
        ] {
            assert_eq!(is_absent(&at(path)), want, "{path}");
            let dangling = path.starts_with("gone") || path == "far";
            assert_eq!(is_dangling(&at(path)), dangling, "{path}");
        }
    }
}
