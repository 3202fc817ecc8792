//! One call of the port: tries with a deadline each, until one succeeds or there is no more point.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Shared;
use super::fault::Fault;
use super::retry::{self, Next};
use super::watch::Progress;
use crate::port::store::{StoreError, StoreErrorKind};

/// One try. Boxed, because the SDK's futures are large.
pub(super) type Try<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

impl Shared {
    /// Makes tries until one gives a result. Each gets its own [`Progress`] to write to.
    pub(super) async fn call<'a, T>(
        &'a self,
        deed: &'static str,
        key: &str,
        one: impl Fn(Progress) -> Try<'a, T> + Send + Sync,
    ) -> Result<T, StoreError> {
        let began = self.clock.elapsed();
        let mut tries = 0;
        loop {
            tries += 1;
            let fault = match self.once(&one).await {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            let spent = self.clock.elapsed().saturating_sub(began);
            match retry::next(&fault, tries, spent, retry::chance(), &self.limits) {
                Next::GiveUp => return Err(self.named(fault).tell(deed, key, tries)),
                Next::Again(wait) => {
                    tracing::debug!(deed, key, tries, ?wait, why = fault.why, "try again");
                    self.clock.sleep(wait).await;
                }
            }
        }
    }

    /// Says which bucket is not there, or not ours: keys do not tell.
    fn named(&self, fault: Fault) -> Fault {
        if matches!(fault.kind, StoreErrorKind::NoBucket | StoreErrorKind::Denied) {
            return Fault { why: format!("bucket `{}`: {}", self.bucket, fault.why), ..fault };
        }
        fault
    }

    async fn once<'a, T>(&'a self, one: &(impl Fn(Progress) -> Try<'a, T> + Sync)) -> Result<T, Fault> {
        let progress = Progress::default();
        let work = one(progress.clone());
        tokio::select! {
            // The work first: what is there is never thrown away because we were late to look.
            biased;
            done = work => done,
            words = progress.stalled(&*self.clock, &self.limits) => {
                Err(Fault::new(StoreErrorKind::Unavailable, words))
            }
        }
    }

    /// What an error of the SDK means, at this moment.
    pub(super) fn fault<E>(&self, error: &SdkError<E, HttpResponse>) -> Fault
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        Fault::of(error, self.clock.now())
    }
}
