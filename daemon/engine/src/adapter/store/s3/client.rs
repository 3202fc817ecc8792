//! Sets the SDK up: endpoint, region, credentials, TLS, and everything off that we do ourselves.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::Options;
use super::super::limits::Limits;
use super::super::url::{Checksum, S3Url};
use crate::port::clock::Clock;
use crate::port::store::{StoreError, StoreErrorKind};

/// Signatures carry the time of the clock port, like everything else.
struct PortTime(Arc<dyn Clock>);

impl fmt::Debug for PortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortTime")
    }
}

impl TimeSource for PortTime {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}

/// Makes the client. Nothing is asked of the store yet, but the AWS chain may look for a region.
pub(super) async fn client(
    url: &S3Url,
    clock: &Arc<dyn Clock>,
    options: &Options,
) -> Result<Client, StoreError> {
    let http = http_client(url.ca.as_deref()).await?;
    let shared = shared_config(url, options, http).await;
    if shared.region().is_none() {
        let why = "no region is known; name it with `region=` or `AWS_REGION`";
        return Err(StoreError::new(StoreErrorKind::Settings, "open", &url.bucket, why));
    }
    let custom = shared.endpoint_url().is_some();
    let (send, check) = match url.checksum {
        Checksum::WhenRequired => {
            (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
        }
        Checksum::WhenSupported => {
            (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
        }
    };
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(url.path_style.unwrap_or(custom))
        .request_checksum_calculation(send)
        .response_checksum_validation(check)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .time_source(PortTime(clock.clone()))
        .build();
    Ok(Client::from_conf(config))
}

async fn shared_config(url: &S3Url, options: &Options, http: SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts(&options.limits))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = &url.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(profile) = &url.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(keys) = &options.keys {
        loader = loader.credentials_provider(Credentials::new(&keys.id, &keys.secret, None, None, "given"));
    }
    // Servers other than Amazon's take any region, but want the same one in every signature. Asking the chain
    // could wait for an instance metadata service that is not there.
    match (&url.region, &url.endpoint) {
        (Some(region), _) => loader = loader.region(Region::new(region.clone())),
        (None, Some(_)) => loader = loader.region(Region::from_static("us-east-1")),
        (None, None) => {}
    }
    loader.load().await
}

/// Only connecting: replies and bodies have the deadlines of `watch`.
fn timeouts(limits: &Limits) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(limits.connect).build()
}

async fn http_client(ca: Option<&Path>) -> Result<SharedHttpClient, StoreError> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca {
        let pem = tokio::fs::read(path).await;
        let name = path.to_string_lossy();
        let wrong = |why: String| StoreError::new(StoreErrorKind::Settings, "read authorities", &name, why);
        let pem = pem.map_err(|error| wrong(error.to_string()))?;
        check_authorities(&pem).map_err(wrong)?;
        trust = trust.with_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context
        .map_err(|error| StoreError::new(StoreErrorKind::Settings, "set up TLS", "", error.to_string()))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

/// The SDK panics on what it cannot read, at the first connection; so it is read here first.
fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(pem) {
        let cert = cert.map_err(|error| format!("not PEM: {error}"))?;
        roots.add(cert).map_err(|error| format!("not the certificate of an authority: {error}"))?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_authority_file_is_an_error_and_not_a_panic() {
        for pem in [
            "",
            "x",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            check_authorities(pem.as_bytes()).unwrap_err();
        }
    }
}
