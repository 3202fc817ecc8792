//! Writing small objects, deleting, and finding out whether conditions hold.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::Shared;
use super::call::Try;
use super::fault::Fault;
use super::watch::{Progress, Watched};
use crate::port::store::{Conditions, Put, StoreError, StoreErrorKind as Kind};

impl Shared {
    pub(super) async fn put(&self, key: &str, body: Bytes, mode: Put) -> Result<(), StoreError> {
        if mode == Put::Replace {
            return self.put_object("put", key, body, false).await;
        }
        match self.conditions().await? {
            Conditions::Enforced => self.put_object("put", key, body, true).await,
            // Looking first keeps one writer from replacing its own; against a second one nothing helps here.
            Conditions::Ignored => match self.head(key).await? {
                Some(_) => {
                    Err(StoreError::new(Kind::Exists, "put", key, "there is an object of that name already"))
                }
                None => self.put_object("put", key, body, false).await,
            },
        }
    }

    /// One PUT, whole. Its reply must hold an `ETag`: some proxies answer 200 to anything.
    pub(super) async fn put_object(
        &self,
        deed: &'static str,
        key: &str,
        body: Bytes,
        if_absent: bool,
    ) -> Result<(), StoreError> {
        let one = |progress: Progress| -> Try<'_, ()> {
            let request = self.client.put_object().bucket(&self.bucket).key(self.full(key));
            let request = request
                .set_if_none_match(if_absent.then(|| "*".to_owned()))
                .body(ByteStream::from(body.clone()))
                .customize()
                .interceptor(Watched(progress));
            let request = if self.sign_payload { request } else { request.disable_payload_signing() };
            Box::pin(async move {
                let reply = request.send().await.map_err(|error| self.fault(&error))?;
                match reply.e_tag() {
                    Some(_) => Ok(()),
                    None => Err(Fault::new(Kind::Garbled, "the reply has no `ETag`")),
                }
            })
        };
        self.call(deed, key, one).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let one = |_progress: Progress| -> Try<'_, ()> {
            let request = self.client.delete_object().bucket(&self.bucket).key(self.full(key));
            Box::pin(async move {
                match request.send().await {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        let fault = self.fault(&error);
                        if fault.kind == Kind::NotFound { Ok(()) } else { Err(fault) }
                    }
                }
            })
        };
        self.call("delete", key, one).await
    }

    /// Probed once for this store: two conditional PUTs of one name, of which the second must fail.
    pub(super) async fn conditions(&self) -> Result<Conditions, StoreError> {
        self.conditions.get_or_try_init(|| self.probe()).await.copied()
    }

    async fn probe(&self) -> Result<Conditions, StoreError> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random)
            .map_err(|error| StoreError::new(Kind::Other, "probe", "", error.to_string()))?;
        let key = format!(".backupd-probe-{:016x}", u64::from_le_bytes(random));
        let mut found = Conditions::Ignored;
        for _twice in 0..2 {
            match self.put_object("probe", &key, Bytes::from_static(b"probe"), true).await {
                Ok(()) => {}
                // On the first PUT too: its reply may have been lost, and the retry met the object.
                Err(error) if error.kind == Kind::Exists => found = Conditions::Enforced,
                Err(error) if error.kind == Kind::Other => {
                    // Not implemented: the header is refused, which is as good as ignored. Any other reason for
                    // this kind stops the unconditional PUT that follows as well.
                    tracing::debug!(store = self.name, why = error.why, "conditional PUT is refused");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if let Err(error) = self.delete(&key).await {
            // Keys that may not delete are good practice; the probe is five bytes that nobody lists as ours.
            tracing::debug!(store = self.name, key, %error, "leave the probe");
        }
        Ok(found)
    }
}
