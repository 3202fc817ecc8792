//! The requests of a multipart upload.
//!
//! "200" is not believed: the reply to the last request must hold an `ETag`, and the object must then have the
//! length that was sent. A reply that was lost is settled by the same look.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::Shared;
use super::call::Try;
use super::fault::Fault;
use super::watch::{Progress, Watched};
use crate::port::store::{StoreError, StoreErrorKind as Kind};

/// A part that the server has.
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) etag: String,
}

/// rclone calls the root of this reply `InitiateMultipartUpload`, which the SDK refuses; the id is in it all the same.
fn misnamed_upload_id(reply: &HttpResponse) -> Option<String> {
    if reply.status().as_u16() != 200 {
        return None;
    }
    let text = std::str::from_utf8(reply.body().bytes()?).ok()?;
    let (_, inside) = text
        .split_once("<InitiateMultipartUpload>")
        .or_else(|| text.split_once("<InitiateMultipartUpload "))?;
    let (id, _) = inside.split_once("<UploadId>")?.1.split_once("</UploadId>")?;
    (!id.contains(['&', '<'])).then(|| id.to_owned())
}

impl Shared {
    pub(super) async fn create(&self, key: &str) -> Result<String, StoreError> {
        let one = |_progress: Progress| -> Try<'_, String> {
            let request = self.client.create_multipart_upload().bucket(&self.bucket).key(self.full(key));
            Box::pin(async move {
                let id = match request.send().await {
                    Ok(reply) => reply.upload_id().map(str::to_owned),
                    Err(error) => match error.raw_response().and_then(misnamed_upload_id) {
                        Some(id) => Some(id),
                        None => return Err(self.fault(&error)),
                    },
                };
                id.filter(|id| !id.is_empty())
                    .ok_or_else(|| Fault::new(Kind::Garbled, "the reply has no upload id"))
            })
        };
        self.call("begin upload of", key, one).await
    }

    pub(super) async fn part(
        &self,
        key: &str,
        id: &str,
        number: u32,
        body: Bytes,
    ) -> Result<Part, StoreError> {
        let part_number = i32::try_from(number)
            .map_err(|error| StoreError::new(Kind::Other, "upload part of", key, error.to_string()))?;
        let one = |progress: Progress| -> Try<'_, Part> {
            let request = self.client.upload_part().bucket(&self.bucket).key(self.full(key)).upload_id(id);
            let request = request
                .part_number(part_number)
                .body(ByteStream::from(body.clone()))
                .customize()
                .interceptor(Watched(progress));
            let request = if self.sign_payload { request } else { request.disable_payload_signing() };
            Box::pin(async move {
                let reply = request.send().await.map_err(|error| self.fault(&error))?;
                match reply.e_tag() {
                    Some(etag) => Ok(Part { number, etag: etag.to_owned() }),
                    None => Err(Fault::new(Kind::Garbled, "the reply has no `ETag`")),
                }
            })
        };
        self.call("upload part of", key, one).await
    }

    /// Joins the parts. The server may have done it although a try failed: the reply was lost, or was an error
    /// after the fact. Then the next try finds no upload any more, and the object itself has to answer. Keys of
    /// uploads are used once, so an object of the right length there is this one.
    pub(super) async fn complete(
        &self,
        key: &str,
        id: &str,
        parts: &[Part],
        length: u64,
    ) -> Result<(), StoreError> {
        let list: Vec<CompletedPart> = parts
            .iter()
            .map(|part| {
                let number = i32::try_from(part.number).unwrap_or(i32::MAX);
                CompletedPart::builder().part_number(number).e_tag(&part.etag).build()
            })
            .collect();
        let list = CompletedMultipartUpload::builder().set_parts(Some(list)).build();
        let one = |progress: Progress| -> Try<'_, ()> {
            progress.patient();
            let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(self.full(key));
            let request = request.upload_id(id).multipart_upload(list.clone());
            Box::pin(async move {
                let reply = request.send().await.map_err(|error| self.fault(&error))?;
                match reply.e_tag() {
                    Some(_) => Ok(()),
                    None => Err(Fault::new(Kind::Garbled, "the reply to the last request has no `ETag`")),
                }
            })
        };
        match self.call("finish upload of", key, one).await {
            Err(error) if error.kind == Kind::NotFound => match self.head(key).await? {
                Some(object) if object.length == length => Ok(()),
                Some(_) | None => Err(error),
            },
            done => done,
        }
    }

    pub(super) async fn check_length(&self, key: &str, length: u64) -> Result<(), StoreError> {
        let why = match self.head(key).await? {
            Some(object) if object.length == length => return Ok(()),
            Some(object) => format!("{length} bytes were sent and {} are there", object.length),
            None => "the store said yes and the object is not there".to_owned(),
        };
        Err(StoreError::new(Kind::Garbled, "finish upload of", key, why))
    }

    /// Gives an upload up; one that is gone is fine.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<(), StoreError> {
        let one = |_progress: Progress| -> Try<'_, ()> {
            let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(self.full(key));
            let request = request.upload_id(id);
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
        self.call("abort upload of", key, one).await
    }
}
