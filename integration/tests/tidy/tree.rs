//! The files of the project: what git knows and what it would add.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One file that holds text.
pub(crate) struct Text {
    /// From the top of the project, with slashes.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Text {
    /// Rust that only tests compile.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The lines before the unit tests.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while(|line| *line != "#[cfg(test)]")
    }

    /// The product's lines that are neither empty nor comment.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = &str> {
        self.product_lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
    }
}

/// The top of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("integration lies in the workspace").to_path_buf()
}

/// Paths of all files that are or would be in the next commit.
pub(crate) fn paths() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("the rules need git");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).expect("paths of the project are UTF-8");
    text.split('\0')
        .filter(|path| !path.is_empty() && root().join(path).exists())
        .map(str::to_owned)
        .collect()
}

/// All files that are text, but for what others wrote word by word and what programs print.
pub(crate) fn texts() -> Vec<Text> {
    let ours = paths()
        .into_iter()
        .filter(|path| !path.starts_with("LICENSE") && path != "Cargo.lock" && !path.ends_with(".snap"));
    ours.filter_map(|path| {
        let text = String::from_utf8(std::fs::read(root().join(&path)).ok()?).ok()?;
        Some(Text { path, text })
    })
    .collect()
}

/// The files that are Rust.
pub(crate) fn rust() -> Vec<Text> {
    texts().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}
