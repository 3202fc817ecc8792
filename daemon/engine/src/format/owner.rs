//! `owner.json`: which installation writes under a host's folder in the store, and its public key.
//!
//! It guards against two machines with one host name. It cannot tell a cloned machine from its original,
//! which has the same id and key; there the numbers of manifests collide instead.
//!
//! The file is not signed: whoever can write to the bucket can replace it. So it convinces nobody of a key
//! that was not known before; it only lets a mix-up be seen and named.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use archive::layout::FORMAT;

use crate::format::key::PublicKey;
use crate::words::{HostName, RunId};

/// No `owner.json` is larger; checked before it is fetched.
pub const OWNER_BYTES_MAX: u64 = 4096;

/// Who writes under a host's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// [`FORMAT`].
    pub format: u32,
    /// The host whose folder it lies in.
    pub host: HostName,
    /// The installation's random id, as its state folder keeps it.
    pub owner: RunId,
    /// What its manifests are signed with.
    pub public_key: PublicKey,
    /// When this installation first wrote here.
    pub made_at: Timestamp,
}

/// Why an `owner.json` does not let us write, or says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Written by a newer program.
    #[error("is of format version {0}, and this program reads version {FORMAT}")]
    Version(u32),
    /// Not what we write.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// It lies in another host's folder.
    #[error("says that it belongs to host `{found}`, and lies in the folder of host `{expected}`")]
    OtherHost {
        /// What it says.
        found: HostName,
        /// Where it lies.
        expected: HostName,
    },
    /// Another machine, or another state folder, writes here.
    #[error(
        "host `{host}` belongs to installation `{found}` since {since}, and this is installation `{ours}`"
    )]
    OtherInstallation {
        /// The name that both use.
        host: HostName,
        /// Who came first.
        found: RunId,
        /// When.
        since: Timestamp,
        /// Who we are.
        ours: RunId,
    },
    /// This installation once signed with another key.
    #[error("host `{host}` signs with key `{found}`, and the key of this installation is `{ours}`")]
    OtherKey {
        /// The host.
        host: HostName,
        /// The key in the store.
        found: PublicKey,
        /// The key that we have.
        ours: PublicKey,
    },
}

impl OwnerError {
    /// The next thing to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OtherInstallation { host, .. } => Some(format!(
                "give this machine another name (`--host`); if it replaces `{host}`, copy `owner` and `host.key` \
                 of the old state folder into its own"
            )),
            Self::OtherKey { .. } => Some("put the former `host.key` back into the state folder".to_owned()),
            Self::Version(_) => Some("use the newer program that wrote it".to_owned()),
            Self::Malformed(_) | Self::OtherHost { .. } => None,
        }
    }
}

impl Owner {
    /// What this installation says of itself.
    pub fn new(host: HostName, owner: RunId, public_key: PublicKey, made_at: Timestamp) -> Self {
        Self { format: FORMAT, host, owner, public_key, made_at }
    }

    /// As it is stored: one line of JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the file that lies in the folder of `host`.
    pub fn parse(host: &HostName, bytes: &[u8]) -> Result<Self, OwnerError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let malformed = |e: serde_json::Error| OwnerError::Malformed(e.to_string());
        if bytes.len() as u64 > OWNER_BYTES_MAX {
            return Err(OwnerError::Malformed(format!("longer than {OWNER_BYTES_MAX} bytes")));
        }
        let version: Version = serde_json::from_slice(bytes).map_err(malformed)?;
        if version.format != FORMAT {
            return Err(OwnerError::Version(version.format));
        }
        let owner: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if owner.host != *host {
            return Err(OwnerError::OtherHost { found: owner.host, expected: host.clone() });
        }
        Ok(owner)
    }

    /// Whether the installation `ours` with key `key` may write under this host's folder.
    pub fn allows(&self, ours: &RunId, key: &PublicKey) -> Result<(), OwnerError> {
        if self.owner != *ours {
            return Err(OwnerError::OtherInstallation {
                host: self.host.clone(),
                found: self.owner.clone(),
                since: self.made_at,
                ours: ours.clone(),
            });
        }
        if self.public_key != *key {
            return Err(OwnerError::OtherKey { host: self.host.clone(), found: self.public_key, ours: *key });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::key::HostKey;

    fn ours() -> Owner {
        let at = "2026-11-21T02:00:00Z".parse().unwrap();
        let id = "00112233445566aa".parse().unwrap();
        Owner::new("vm-1".parse().unwrap(), id, HostKey::from_seed([1; 32]).public(), at)
    }

    #[test]
    fn it_comes_back_and_lets_its_installation_write() {
        let owner = ours();
        let read = Owner::parse(&owner.host, &owner.to_bytes().unwrap()).unwrap();
        assert_eq!(read, owner);
        read.allows(&owner.owner, &owner.public_key).unwrap();
    }

    /// F3: a second machine with the same name is refused by name, and told what to do.
    #[test]
    fn somebody_else_is_refused() {
        let owner = ours();
        let other = "ffffffffffffffff".parse().unwrap();
        let refused = owner.allows(&other, &owner.public_key).unwrap_err();
        assert!(matches!(refused, OwnerError::OtherInstallation { .. }));
        assert!(refused.hint().unwrap().contains("--host"));
        let key = HostKey::from_seed([2; 32]).public();
        assert!(matches!(owner.allows(&owner.owner, &key), Err(OwnerError::OtherKey { .. })));
        let far = "far".parse().unwrap();
        let misplaced = Owner::parse(&far, &owner.to_bytes().unwrap());
        assert!(matches!(misplaced, Err(OwnerError::OtherHost { .. })));
    }

    #[test]
    fn other_versions_and_other_things_are_refused() {
        let owner = ours();
        let text = String::from_utf8(owner.to_bytes().unwrap()).unwrap();
        let newer = text.replace("\"format\":1", "\"format\":2");
        assert_eq!(Owner::parse(&owner.host, newer.as_bytes()), Err(OwnerError::Version(2)));
        let long = format!("{text}{}", " ".repeat(5000));
        for text in ["", "{}", "[]", "{\"format\":1}", &text.replace("vm-1", "../x"), &long] {
            let refused = Owner::parse(&owner.host, text.as_bytes());
            assert!(matches!(refused, Err(OwnerError::Malformed(_))), "{text:.80}: {refused:?}");
        }
    }
}
