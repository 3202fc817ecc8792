//! The host's signing key: made on first use, never leaves the state folder.
//!
//! Whoever can write to the bucket cannot plant a snapshot, because manifests are signed with this key. The
//! file holds the ed25519 seed as 64 hexadecimal digits and a newline, mode 0600. A file that others may
//! read is refused rather than repaired: the key may be known already, and only a person can judge that.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::state::FolderLock;

/// Seed as hexadecimal digits, and a newline.
const FILE_BYTES: u64 = 65;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or its folder.
    #[error("{deed} `{}`", path.display())]
    Io {
        /// The bare verb.
        deed: &'static str,
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Group or others may read or write it.
    #[error("key file `{}` has mode {mode:04o}: other users of this host may know the key", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user's file.
    #[error("key file `{}` belongs to user {owner}, and this program runs as user {us}", path.display())]
    Foreign {
        /// The key file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Not what we write.
    #[error("key file `{}` is not a key: expected 64 hexadecimal digits and a newline", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// The system has no random bytes.
    #[error("make a new key: {0}")]
    Random(getrandom::Error),
}

impl KeyError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exposed { path, .. } => Some(format!(
                "`chmod 600 {0}`; if someone untrusted may have read it, move it away instead and a new key is made",
                path.display()
            )),
            Self::Foreign { path, us, .. } => Some(format!("`chown {us} {}`", path.display())),
            Self::Malformed { path } => Some(format!(
                "put the key back from a backup, or move `{}` away and a new key is made",
                path.display()
            )),
            Self::Io { .. } | Self::Random(_) => None,
        }
    }
}

/// The key that this host signs with.
pub struct HostKey(SigningKey);

/// Never prints the secret.
impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.public())
    }
}

impl HostKey {
    /// Reads the key, or makes one where there is none. Two processes that do so at once get the same key.
    pub fn load_or_make(path: &Path) -> Result<Self, KeyError> {
        let io = |deed| move |source| KeyError::Io { deed, path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        let _alone = FolderLock::wait(folder).map_err(io("lock the folder of"))?;
        match fs::symlink_metadata(path) {
            Ok(meta) => Self::load(path, &meta),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(KeyError::Random)?;
                let text = format!("{}\n", hex(&seed));
                durable::replace(path, text.as_bytes(), 0o600).map_err(io("write"))?;
                Ok(Self(SigningKey::from_bytes(&seed)))
            }
            Err(e) => Err(io("look at")(e)),
        }
    }

    fn load(path: &Path, meta: &fs::Metadata) -> Result<Self, KeyError> {
        let us = rustix::process::geteuid().as_raw();
        if meta.uid() != us {
            return Err(KeyError::Foreign { path: path.to_owned(), owner: meta.uid(), us });
        }
        if meta.is_file() && meta.mode() & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode: meta.mode() & 0o7777 });
        }
        let malformed = || KeyError::Malformed { path: path.to_owned() };
        if !meta.is_file() || meta.len() != FILE_BYTES {
            return Err(malformed());
        }
        let bytes =
            fs::read(path).map_err(|source| KeyError::Io { deed: "read", path: path.to_owned(), source })?;
        let digits = bytes.strip_suffix(b"\n").ok_or_else(malformed)?;
        Ok(Self(SigningKey::from_bytes(&unhex(digits).ok_or_else(malformed)?)))
    }

    /// A key from a seed, for tests and fixtures.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// What others check our signatures with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The signature over exactly these bytes. Callers put the name of the kind of object before them.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

/// A host's public key; 64 hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// A text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: expected 64 hexadecimal digits in lower case")]
pub struct BadKey;

impl PublicKey {
    /// Whether `signature` was made over exactly `bytes` by this key. A key that is no point of the curve,
    /// or a weak one, verifies nothing.
    pub fn verify(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        unhex(text.as_bytes()).map(Self).ok_or(BadKey)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// Lower-case digits, the one spelling that we write and read.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes behind exactly `2 * N` lower-case digits.
pub(crate) fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let made = HostKey::load_or_make(&path).unwrap();
        let read = HostKey::load_or_make(&path).unwrap();
        assert_eq!(made.public(), read.public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{made:?}").contains(fs::read_to_string(&path).unwrap().trim()));
    }

    #[test]
    fn a_hundred_first_uses_at_once_make_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let uses: Vec<_> =
                (0..100).map(|_| scope.spawn(|| HostKey::load_or_make(&path).unwrap().public())).collect();
            uses.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    /// K6: a secret that others could read is refused with the fix, never used and never replaced.
    #[test]
    fn a_key_file_that_is_not_private_or_not_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        HostKey::load_or_make(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = HostKey::load_or_make(&path).unwrap_err();
            assert!(matches!(refused, KeyError::Exposed { mode: m, .. } if m == mode), "{refused}");
            assert!(refused.hint().unwrap().contains("chmod 600"), "{refused}");
        }
        for content in ["", "abc\n", &"g".repeat(64), &format!("{}\n", "A".repeat(64)), &"a".repeat(65)] {
            durable::replace(&path, content.as_bytes(), 0o600).unwrap();
            let refused = HostKey::load_or_make(&path).unwrap_err();
            assert!(matches!(refused, KeyError::Malformed { .. }), "{content:?}: {refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "never replaced");
        }
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_key_only() {
        let (ours, theirs) = (HostKey::from_seed([1; 32]), HostKey::from_seed([2; 32]));
        let signature = ours.sign(b"body");
        assert!(ours.public().verify(b"body", &signature));
        assert!(!ours.public().verify(b"bodY", &signature));
        assert!(!theirs.public().verify(b"body", &signature));
        // The neutral point as a key would accept made-up signatures under a lenient check.
        let mut weak = [0; 32];
        weak[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!PublicKey(weak).verify(b"body", &forged));
    }

    proptest::proptest! {
        #[test]
        fn public_keys_print_and_parse(bytes in proptest::array::uniform32(0u8..)) {
            let key = PublicKey(bytes);
            proptest::prop_assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
            let upper = key.to_string().to_uppercase();
            proptest::prop_assert!(upper == key.to_string() || upper.parse::<PublicKey>().is_err());
        }
    }
}
