//! Listings. Pages may repeat or reorder keys; what comes out is sorted and has each key once.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::Shared;
use super::call::Try;
use super::fault::Fault;
use super::read::timestamp;
use super::watch::Progress;
use crate::port::store::{ObjectInfo, OpenUpload, StoreError, StoreErrorKind as Kind};

impl Shared {
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut found = BTreeMap::new();
        let full = self.full(prefix);
        self.pages(prefix, None, |page| {
            for object in page.contents() {
                // A key outside the prefix would be a server's mistake and must not become ours.
                let Some(key) = object.key().filter(|key| key.starts_with(&full)) else { continue };
                let key = key[self.prefix.len()..].to_owned();
                let length = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                let modified = object.last_modified().and_then(timestamp);
                found.insert(key.clone(), ObjectInfo { key, length, modified });
            }
        })
        .await?;
        Ok(found.into_values().collect())
    }

    pub(super) async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut found = BTreeSet::new();
        let full = self.full(prefix);
        self.pages(prefix, Some("/"), |page| {
            let folders = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
            let names = folders.filter_map(|folder| folder.strip_prefix(&full)?.strip_suffix('/'));
            found.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        })
        .await?;
        Ok(found.into_iter().collect())
    }

    async fn pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut take: impl FnMut(&ListObjectsV2Output) + Send,
    ) -> Result<(), StoreError> {
        let mut token: Option<String> = None;
        for _page in 0..self.limits.pages_max {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.full(prefix));
            let request =
                request.set_delimiter(delimiter.map(str::to_owned)).set_continuation_token(token.clone());
            let one = |_progress: Progress| -> Try<'_, ListObjectsV2Output> {
                let request = request.clone();
                Box::pin(async move {
                    request.send().await.map_err(|error| {
                        let fault = self.fault(&error);
                        // Of a listing only the bucket can be missing.
                        if fault.kind == Kind::NotFound {
                            Fault::last(Kind::NoBucket, fault.why)
                        } else {
                            fault
                        }
                    })
                })
            };
            let page = self.call("list", prefix, one).await?;
            take(&page);
            if page.is_truncated() != Some(true) {
                return Ok(());
            }
            match page.next_continuation_token() {
                Some(next) if token.as_deref() != Some(next) => token = Some(next.to_owned()),
                Some(_) | None => break,
            }
        }
        // A list that is silently cut could make a snapshot look gone.
        Err(StoreError::new(Kind::Garbled, "list", prefix, "the server's list never ends"))
    }

    /// Of the whole prefix, of whoever began them. Servers that cannot list uploads have none to clean up.
    pub(super) async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        let mut found = BTreeSet::new();
        let full = self.full(prefix);
        let (mut key_marker, mut id_marker): (Option<String>, Option<String>) = (None, None);
        for _page in 0..self.limits.pages_max {
            let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&full);
            let request = request.set_key_marker(key_marker.clone()).set_upload_id_marker(id_marker.clone());
            let one = |_progress: Progress| -> Try<'_, Option<ListMultipartUploadsOutput>> {
                let request = request.clone();
                Box::pin(async move {
                    match request.send().await {
                        Ok(page) => Ok(Some(page)),
                        Err(error) if unsupported(error.raw_response().map(|r| r.status().as_u16())) => {
                            tracing::debug!(store = self.name, "the server cannot list open uploads");
                            Ok(None)
                        }
                        Err(error) => Err(self.fault(&error)),
                    }
                })
            };
            let Some(page) = self.call("list uploads", prefix, one).await? else { break };
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                if key.starts_with(&full) {
                    found.insert((key[self.prefix.len()..].to_owned(), id.to_owned()));
                }
            }
            let next =
                (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
            // A list of uploads that is cut is harmless: what is left is found the next time.
            if page.is_truncated() != Some(true) || next == (key_marker.clone(), id_marker.clone()) {
                break;
            }
            (key_marker, id_marker) = next;
        }
        Ok(found.into_iter().map(|(key, id)| OpenUpload { key, id }).collect())
    }
}

fn unsupported(status: Option<u16>) -> bool {
    matches!(status, Some(405 | 501))
}
