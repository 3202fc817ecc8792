//! Signed objects: two lines, the body as JSON and the signature over exactly the bytes of that line.
//!
//! Nobody has to agree on how JSON is spelled before it can be checked who wrote it. The second line has one
//! spelling only, so there is no byte in a signed object that could be changed unnoticed.
//!
//! A signature that holds says that the object is whole and whose it is, not that we trust that host: callers
//! compare [`Opened::signed_by`] with the key that they expect ([`Opened::expect`]).

use archive::frame::Hash;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::format::key::{BadKey, HostKey, PublicKey, hex, unhex};
use crate::format::manifest::MANIFEST_BYTES_MAX;

/// Stands before the signed bytes, so that a signature made for one kind of object fits no other.
const MANIFEST_DOMAIN: &[u8] = b"backupd manifest v1\n";

/// `{"signed_by":"<64>","signature":"<128>"}` and its newline.
const SIGNATURE_LINE_BYTES: usize = 14 + 64 + 15 + 128 + 2 + 1;

/// Why bytes are not a signed object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Larger than any that we write.
    #[error("is {0} bytes long, and no signed object is longer than {MANIFEST_BYTES_MAX}")]
    TooLong(usize),
    /// Not two lines, or the second is not a signature.
    #[error("is not a signed object: {0}")]
    Malformed(&'static str),
    /// The second line names something that is no key.
    #[error("is not a signed object: `signed_by` is {0}")]
    Key(#[from] BadKey),
    /// The body is not what was signed.
    #[error("does not match its signature by key `{signed_by}`: changed, cut or forged")]
    Wrong {
        /// The key that it claims.
        signed_by: PublicKey,
    },
    /// Well signed, but by somebody else.
    #[error("is signed by key `{found}`, not by `{expected}`")]
    OtherKey {
        /// Who signed.
        found: PublicKey,
        /// Who should have.
        expected: PublicKey,
    },
}

/// A body could not be made into a signed object.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is not JSON.
    #[error("write as JSON")]
    Json(#[from] serde_json::Error),
    /// It would not be read back.
    #[error("would be {0} bytes long, and no signed object may be longer than {MANIFEST_BYTES_MAX}")]
    TooLong(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureLine {
    signed_by: String,
    signature: String,
}

/// A signed object whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The first line, without its newline.
    pub body: &'a [u8],
    /// Who signed it.
    pub signed_by: PublicKey,
    /// BLAKE3 of the whole object, both lines; what a successor names as its parent.
    pub hash: Hash,
}

impl Opened<'_> {
    /// Refuses an object of another host's key.
    pub fn expect(&self, expected: &PublicKey) -> Result<(), SignatureError> {
        if self.signed_by == *expected {
            Ok(())
        } else {
            Err(SignatureError::OtherKey { found: self.signed_by, expected: *expected })
        }
    }
}

/// Makes the two lines of a manifest.
pub fn seal(body: &impl Serialize, key: &HostKey) -> Result<Bytes, SealError> {
    let mut lines = serde_json::to_vec(body)?;
    assert!(!lines.contains(&b'\n'), "BUG: compact JSON spans lines");
    let signature = key.sign(&signed_bytes(&lines));
    lines.push(b'\n');
    lines.extend(signature_line(key.public(), &signature)?);
    if lines.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(SealError::TooLong(lines.len()));
    }
    Ok(lines.into())
}

/// Checks the two lines of a manifest and gives the first.
pub fn open(bytes: &[u8]) -> Result<Opened<'_>, SignatureError> {
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(SignatureError::TooLong(bytes.len()));
    }
    let split = bytes
        .len()
        .checked_sub(SIGNATURE_LINE_BYTES)
        .ok_or(SignatureError::Malformed("shorter than a signature"))?;
    let (first, second) = bytes.split_at(split);
    let body = first
        .strip_suffix(b"\n")
        .filter(|body| !body.contains(&b'\n'))
        .ok_or(SignatureError::Malformed("expected two lines"))?;
    let line: SignatureLine = serde_json::from_slice(second)
        .map_err(|_json| SignatureError::Malformed("the second line is no signature"))?;
    let signed_by: PublicKey = line.signed_by.parse()?;
    let signature = unhex(line.signature.as_bytes())
        .ok_or(SignatureError::Malformed("`signature` is not 128 hexadecimal digits in lower case"))?;
    let canonical = signature_line(signed_by, &signature);
    if !canonical.is_ok_and(|canonical| canonical == second) {
        return Err(SignatureError::Malformed("the second line is spelled in another way than we write it"));
    }
    if !signed_by.verify(&signed_bytes(body), &signature) {
        return Err(SignatureError::Wrong { signed_by });
    }
    Ok(Opened { body, signed_by, hash: *blake3::hash(bytes).as_bytes() })
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [MANIFEST_DOMAIN, body].concat()
}

fn signature_line(signed_by: PublicKey, signature: &[u8; 64]) -> Result<Vec<u8>, serde_json::Error> {
    let line = SignatureLine { signed_by: signed_by.to_string(), signature: hex(signature) };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    assert!(bytes.len() == SIGNATURE_LINE_BYTES, "BUG: signature line of {} bytes", bytes.len());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> HostKey {
        HostKey::from_seed([7; 32])
    }

    fn sealed() -> Vec<u8> {
        let body = serde_json::json!({"format": 1, "host": "vm-1", "totals": {"entries": 12, "why": "a\nb"}});
        seal(&body, &key()).unwrap().to_vec()
    }

    #[test]
    fn what_was_sealed_opens() {
        let bytes = sealed();
        let opened = open(&bytes).unwrap();
        assert_eq!(opened.signed_by, key().public());
        assert_eq!(opened.hash, *blake3::hash(&bytes).as_bytes());
        assert!(opened.body.starts_with(b"{") && opened.body.ends_with(b"}"));
        opened.expect(&key().public()).unwrap();
        let stranger = HostKey::from_seed([8; 32]).public();
        assert!(matches!(opened.expect(&stranger), Err(SignatureError::OtherKey { .. })));
    }

    /// A14: what was signed once is read for as long as there is a format 1, byte for byte.
    #[test]
    fn the_first_object_ever_signed_still_opens() {
        const FIRST: &str = concat!(
            "{\"format\":1}\n",
            "{\"signed_by\":\"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c\",",
            "\"signature\":\"bc7010e9e51236b499d451005b438f8804b039247eed1ce34385fbcffd6174e6",
            "f6b572932a909babbca7c23ffd473f726d76b30afabdca176cb9801d1f6ac803\"}\n",
        );
        assert_eq!(seal(&serde_json::json!({"format": 1}), &key()).unwrap(), FIRST);
        assert_eq!(open(FIRST.as_bytes()).unwrap().body, b"{\"format\":1}");
    }

    /// E20: no bit of a manifest, newlines and hexadecimal spelling among them, can change unnoticed.
    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = sealed();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(open(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = sealed();
        for end in 0..bytes.len() {
            assert!(open(&bytes[..end]).is_err(), "cut at {end}");
            assert!(open(&bytes[end + 1..]).is_err(), "begun at {}", end + 1);
        }
        for more in ["\n", " ", "{}\n", "\0"] {
            assert!(open(&[&bytes[..], more.as_bytes()].concat()).is_err(), "{more:?} behind");
            assert!(open(&[more.as_bytes(), &bytes[..]].concat()).is_err(), "{more:?} before");
        }
    }

    /// J15: whoever can write to the bucket has a key as well, but not ours.
    #[test]
    fn a_forger_s_own_signature_shows_the_forger_s_key() {
        let forger = HostKey::from_seed([9; 32]);
        let forged = seal(&serde_json::json!({"format": 1}), &forger).unwrap();
        assert!(open(&forged).unwrap().expect(&key().public()).is_err());

        // Our name over the forger's signature.
        let text = String::from_utf8(forged.to_vec()).unwrap();
        let dressed = text.replace(&forger.public().to_string(), &key().public().to_string());
        assert_eq!(open(dressed.as_bytes()), Err(SignatureError::Wrong { signed_by: key().public() }));
    }

    #[test]
    fn a_signature_over_another_kind_of_object_does_not_fit() {
        let body = b"{}".to_vec();
        let signature = key().sign(&[b"backupd something v1\n".as_slice(), &body].concat());
        let bytes = [&body[..], b"\n", &signature_line(key().public(), &signature).unwrap()].concat();
        assert!(matches!(open(&bytes), Err(SignatureError::Wrong { .. })));
    }

    #[test]
    fn bounds_hold_on_both_sides() {
        let long = "x".repeat(usize::try_from(MANIFEST_BYTES_MAX).unwrap());
        assert!(matches!(seal(&long, &key()), Err(SealError::TooLong(_))));
        assert!(matches!(open(format!("{long}\n").as_bytes()), Err(SignatureError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            let bytes = seal(&text, &key()).unwrap();
            let opened = open(&bytes).unwrap();
            prop_assert_eq!(serde_json::from_slice::<String>(opened.body).unwrap(), text);
        }

        #[test]
        fn any_other_byte_anywhere_is_refused(at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = sealed();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            prop_assert!(open(&bytes).is_err());
        }

        #[test]
        fn noise_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(open(&bytes).is_err());
        }
    }
}
