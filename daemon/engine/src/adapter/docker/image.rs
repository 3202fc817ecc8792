//! The helper's image: one static binary and two empty folders, built in memory, addressed by content.
//!
//! Every byte of it follows from the binary (all times are zero), so its id is known before any engine has
//! seen it, and "is it there" is one question by id: a tag that points elsewhere cannot deceive us. Nothing
//! is ever pulled.
//!
//! Engines name an image by its config; those that keep images in containerd, by its manifest. The archive
//! holds both (the layout of OCI, and the `manifest.json` that older engines read), and either id is right.

use std::io;

use bollard::Docker;
use bollard::body_full;
use bollard::query_parameters::ImportImageOptions;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::call::{ASK, Engine, LOAD, found};
use crate::port::docker::{DockerError, DockerErrorKind};

/// Where the binary lies in the image.
const BINARY: &str = "/backupd-helper";

/// What people see in `docker images`; nothing of ours reads it.
const TAG: &str = concat!("backupd-helper:", env!("CARGO_PKG_VERSION"));

/// An image that holds nothing but a helper.
#[derive(Debug, Clone)]
pub struct HelperImage {
    config_id: String,
    manifest_id: String,
    archive: Bytes,
}

impl HelperImage {
    /// The image of the helper that was built with this program.
    pub fn embedded() -> io::Result<Self> {
        Self::of(super::helper_binary::HELPER)
    }

    /// The image of a static binary.
    pub fn of(binary: &[u8]) -> io::Result<Self> {
        let layer = layer(binary)?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": { "Entrypoint": [BINARY], "User": "0:0", "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "backupd" }],
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("application/vnd.oci.image.config.v1+json", config.as_bytes()),
            "layers": [blob("application/vnd.oci.image.layer.v1.tar", &layer)],
        })
        .to_string();
        let (config_id, manifest_id) = (digest(config.as_bytes()), digest(manifest.as_bytes()));
        let archive = archive(&layer, config.as_bytes(), manifest.as_bytes())?;
        Ok(Self { config_id, manifest_id, archive })
    }

    /// `sha256:…` of its config.
    pub fn id(&self) -> &str {
        &self.config_id
    }

    /// Loads it if it is not there, and says by which id this engine knows it.
    pub(super) async fn ensure(&self, engine: &Engine) -> Result<&str, DockerError> {
        let client = engine.client().await?;
        if let Some(id) = self.known(engine, &client).await? {
            return Ok(id);
        }
        let deed = format!("load the helper image `{}`", self.config_id);
        let options = ImportImageOptions { quiet: true, platform: None };
        let load = client.import_image(options, body_full(self.archive.clone()), None);
        // The stream tells of errors in words; it must be read to its end for the load to be over.
        let told = engine.within(&deed, LOAD, load.try_collect::<Vec<_>>()).await?;
        tracing::debug!(image = self.config_id, records = told.len(), "loaded the helper image");
        self.known(engine, &client).await?.ok_or_else(|| DockerError {
            kind: DockerErrorKind::Other,
            deed,
            why: "the engine took it, but does not know it afterwards".to_owned(),
        })
    }

    async fn known(&self, engine: &Engine, client: &Docker) -> Result<Option<&str>, DockerError> {
        for id in [&self.config_id, &self.manifest_id] {
            let deed = format!("inspect image `{id}`");
            if found(engine.within(&deed, ASK, client.inspect_image(id)).await)?.is_some() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// What Docker calls the architecture that we are built for.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The file system of the image: the binary, and the places of the two mounts, since the root is read-only.
fn layer(binary: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::with_capacity(binary.len() + 8192));
    put(&mut tar, BINARY.trim_start_matches('/'), tar::EntryType::Regular, 0o755, binary)?;
    for folder in ["run/", "run/backupd/", "source/"] {
        put(&mut tar, folder, tar::EntryType::Directory, 0o755, &[])?;
    }
    tar.into_inner()
}

fn archive(layer: &[u8], config: &[u8], manifest: &[u8]) -> io::Result<Bytes> {
    let path = |bytes: &[u8]| format!("blobs/{}", digest(bytes).replace(':', "/"));
    let for_old = json!([{ "Config": path(config), "RepoTags": [TAG], "Layers": [path(layer)] }]);
    let mut listed = blob("application/vnd.oci.image.manifest.v1+json", manifest);
    listed["annotations"] = json!({ "io.containerd.image.name": format!("docker.io/library/{TAG}") });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    });
    let files = [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        ("manifest.json".to_owned(), for_old.to_string().into_bytes()),
        (path(manifest), manifest.to_vec()),
        (path(config), config.to_vec()),
    ];
    let mut tar = tar::Builder::new(Vec::with_capacity(layer.len() + 16384));
    for folder in ["blobs/", "blobs/sha256/"] {
        put(&mut tar, folder, tar::EntryType::Directory, 0o755, &[])?;
    }
    for (name, bytes) in &files {
        put(&mut tar, name, tar::EntryType::Regular, 0o644, bytes)?;
    }
    put(&mut tar, &path(layer), tar::EntryType::Regular, 0o644, layer)?;
    Ok(tar.into_inner()?.into())
}

fn put(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    what: tar::EntryType,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    // A new header is owned by root and dated to the epoch.
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(what);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let mut text = String::from("sha256:");
    for byte in hash {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_binary_gives_the_same_image_and_another_gives_another() {
        let one = HelperImage::of(b"helper").unwrap();
        assert_eq!(one.archive, HelperImage::of(b"helper").unwrap().archive);
        assert_ne!(one.id(), HelperImage::of(b"other").unwrap().id());
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn every_blob_lies_under_its_own_hash() {
        let image = HelperImage::of(b"helper").unwrap();
        let mut blobs = 0;
        for entry in tar::Archive::new(&image.archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0, "{path}");
            if let Some(hash) = path.strip_prefix("blobs/sha256/").filter(|hash| !hash.is_empty()) {
                assert_eq!(format!("sha256:{hash}"), digest(&bytes));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }
}
