//! The policies that come with the program: a default, and one or more for each stack that is tested.
//!
//! Always true: together they are a folder in which nothing is wrong.

use crate::complaint::Complaints;
use crate::policy::Folder;

macro_rules! files {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("../", $name)))),+] };
}

/// Names and texts, in the order of the names.
pub const SHIPPED: &[(&str, &str)] = files![
    "concertim-nothing.toml",
    "concertim-rrd.toml",
    "concertim.toml",
    "default.toml",
    "monasca.toml",
    "qis-nothing.toml",
    "qis-web.toml",
    "qis.toml",
    "registry-db.toml",
    "registry-uploads.toml",
    "registry.toml",
    "skyline-graphite.toml",
    "skyline-redis.toml",
    "skyline.toml",
];

/// The policies of a host that has no folder of policies: `default`, for whatever asks for it by label.
///
/// # Errors
///
/// Never: the shipped policies are tested.
pub fn without_folder() -> Result<Folder, Complaints> {
    let default = SHIPPED.iter().filter(|(name, _)| *name == "default.toml");
    Folder::judge(default.copied()).map(Folder::by_label_alone)
}
