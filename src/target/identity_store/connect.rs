//! Making the clients, and finding the identity store.

use std::sync::Arc;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_identitystore::config::{
    AppName, Credentials, HttpClient, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_ssoadmin::types::{InstanceMetadata, InstanceStatus};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::OnceCell;

use super::IdentityStoreTarget;
use super::bounded::Bounded;
use super::dates::Dates;
use super::failure::of_service;
use crate::ids::IdentityStoreId;
use crate::target::clock::Clock;
use crate::target::gather::Pages;
use crate::target::pacing::{Pacer, Pacing, Repeat};
use crate::target::settings::is_stand_in;
use crate::target::{IdentityStoreSettings, ScimSettings, ScimTarget, TargetError, TargetErrorKind};

/// A stand-in does not care, but a signature needs some region.
const STAND_IN_REGION: &str = "us-east-1";

impl IdentityStoreTarget {
    /// Region and credentials come from the SDK's default chain where the settings do not say; a stand-in on this
    /// machine (`http://` and a loopback address) is never shown real credentials. Nothing is sent to the service
    /// before the first call.
    pub async fn connect_with(settings: &IdentityStoreSettings, pacing: Pacing) -> Result<Self, TargetError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(&pacing))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().build());
        // Who gave the process a name of its own keeps it.
        if std::env::var_os("AWS_SDK_UA_APP_ID").is_none()
            && let Ok(name) = AppName::new(env!("CARGO_PKG_NAME"))
        {
            loader = loader.app_name(name);
        }
        let region = settings.region.clone().map(Region::new);
        if settings.endpoint_url.as_deref().is_some_and(is_stand_in) {
            let chain = RegionProviderChain::first_try(region)
                .or_else(EnvironmentVariableRegionProvider::new())
                .or_else(Region::from_static(STAND_IN_REGION));
            loader = loader.region(chain).credentials_provider(no_credentials());
        } else if let Some(region) = region {
            loader = loader.region(region);
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(TargetError::new(
                TargetErrorKind::Validation,
                "RegionMissing",
                "no AWS region is configured: set `region` in [target], AWS_REGION, or the profile's region",
            ));
        }
        // The account's quota holds for each of the two APIs by itself.
        let beside = |scim: &ScimSettings| {
            let requests_per_second = scim.requests_per_second;
            ScimTarget::connect_with(scim, Pacing { requests_per_second, ..pacing.clone() })
        };
        let scim = settings.scim.as_ref().map(beside).transpose()?;
        Ok(Self { scim, ..Self::over(&config, settings.identity_store_id.clone(), pacing) })
    }

    /// The same with a SCIM endpoint beside it, to disable and enable users.
    pub fn with_scim(self, scim: ScimTarget) -> Self {
        Self { scim: Some(scim), ..self }
    }

    /// The same client over another way of transport, with credentials that mean nothing: for a stand-in in the
    /// same process.
    pub fn with_http_client(
        http_client: impl HttpClient + 'static,
        identity_store_id: Option<IdentityStoreId>,
        pacing: Pacing,
    ) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(STAND_IN_REGION))
            .credentials_provider(SharedCredentialsProvider::new(no_credentials()))
            .http_client(http_client)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(&pacing))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().build())
            .build();
        Self { in_process: true, ..Self::over(&config, identity_store_id, pacing) }
    }

    fn over(config: &SdkConfig, identity_store_id: Option<IdentityStoreId>, pacing: Pacing) -> Self {
        let clock = Arc::new(Clock::new());
        let client = aws_sdk_identitystore::config::Builder::from(config)
            .interceptor(Dates(Arc::clone(&clock)))
            .interceptor(Bounded)
            .build();
        let sso_admin = aws_sdk_ssoadmin::config::Builder::from(config).interceptor(Bounded).build();
        let sts = aws_sdk_sts::config::Builder::from(config).interceptor(Bounded).build();
        let organizations = aws_sdk_organizations::config::Builder::from(config).interceptor(Bounded).build();
        Self {
            client: aws_sdk_identitystore::Client::from_conf(client),
            sso_admin: aws_sdk_ssoadmin::Client::from_conf(sso_admin),
            sts: aws_sdk_sts::Client::from_conf(sts),
            organizations: aws_sdk_organizations::Client::from_conf(organizations),
            in_process: false,
            credentials: config.credentials_provider(),
            pacer: Pacer::new(pacing),
            store: OnceCell::new_with(identity_store_id),
            instances: OnceCell::new(),
            clock,
            scim: None,
        }
    }

    /// The configured one, else the one that `sso:ListInstances` shows; asked for once, when it is first needed.
    pub async fn identity_store_id(&self) -> Result<&IdentityStoreId, TargetError> {
        self.store.get_or_try_init(|| self.find_identity_store()).await
    }

    async fn find_identity_store(&self) -> Result<IdentityStoreId, TargetError> {
        the_active_one(self.instances().await?)
    }

    /// All of them; asked for once, when they are first needed.
    pub(super) async fn instances(&self) -> Result<&[InstanceMetadata], TargetError> {
        self.instances.get_or_try_init(|| self.list_instances()).await.map(Vec::as_slice)
    }

    async fn list_instances(&self) -> Result<Vec<InstanceMetadata>, TargetError> {
        let mut instances = Vec::new();
        let mut pages = Pages::default();
        let mut token = None;
        loop {
            let page = self
                .pacer
                .call("ListInstances", Repeat::Read, || {
                    let request = self.sso_admin.list_instances().set_next_token(token.clone());
                    async move { request.send().await.map_err(of_service) }
                })
                .await?;
            instances.extend(page.instances.unwrap_or_default());
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(instances);
            }
        }
    }
}

/// Enough to sign with.
fn no_credentials() -> Credentials {
    Credentials::new("stand-in", "stand-in", None, None, "stand-in")
}

fn timeouts(pacing: &Pacing) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(pacing.connect_timeout)
        .operation_attempt_timeout(pacing.attempt_timeout)
        .build()
}

fn the_active_one(instances: &[InstanceMetadata]) -> Result<IdentityStoreId, TargetError> {
    // Older answers have no status.
    let active: Vec<&str> = instances
        .iter()
        .filter(|i| i.status().is_none_or(|s| *s == InstanceStatus::Active))
        .filter_map(InstanceMetadata::identity_store_id)
        .collect();
    match active.as_slice() {
        [id] => Ok(IdentityStoreId::new(*id)),
        [] => Err(TargetError::new(
            TargetErrorKind::Validation,
            "IdentityStoreNotFound",
            format!(
                "no active IAM Identity Center instance in this region and account ({} in all): check the region, \
                 or set `identity-store-id`",
                instances.len()
            ),
        )),
        several => Err(TargetError::new(
            TargetErrorKind::Validation,
            "IdentityStoreAmbiguous",
            format!(
                "several IAM Identity Center instances: set `identity-store-id` to one of {}",
                several.join(", ")
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, status: Option<InstanceStatus>) -> InstanceMetadata {
        InstanceMetadata::builder().identity_store_id(id).set_status(status).build()
    }

    #[test]
    fn only_this_machine_without_tls_is_a_stand_in() {
        for url in ["http://127.0.0.1:4566", "http://localhost:5000/", "http://[::1]:1", "http://127.8.7.6"] {
            assert!(is_stand_in(url), "{url}");
        }
        for url in [
            "https://localhost:4566",
            "http://10.0.0.1",
            "https://identitystore.eu-west-1.amazonaws.com",
            "x y",
        ] {
            assert!(!is_stand_in(url), "{url}");
        }
    }

    #[test]
    fn exactly_one_active_instance_is_taken() {
        let active = instance("d-1111111111", Some(InstanceStatus::Active));
        let old = instance("d-2222222222", None);
        let gone = instance("d-3333333333", Some(InstanceStatus::DeleteInProgress));
        let code = |list: &[InstanceMetadata]| the_active_one(list).map_err(|e| e.code);
        assert_eq!(code(&[gone.clone(), active.clone()]), Ok(IdentityStoreId::new("d-1111111111")));
        assert_eq!(code(std::slice::from_ref(&old)), Ok(IdentityStoreId::new("d-2222222222")));
        assert_eq!(code(&[gone]), Err("IdentityStoreNotFound".to_owned()));
        assert_eq!(code(&[]), Err("IdentityStoreNotFound".to_owned()));
        let error = the_active_one(&[active, old]).unwrap_err();
        assert!(error.message.contains("d-1111111111, d-2222222222"), "{error}");
    }
}
