//! From settings to a target.

use std::sync::Arc;

use super::{
    Gate, IdentityStoreTarget, Pacing, SandboxSettings, ScimTarget, Target, TargetError, TargetSettings,
};

/// Whether anything is going to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A dry run, a check: the in-process sandbox then leaves its files as they are.
    ReadOnly,
    ReadWrite,
}

/// The target that the settings name. Nothing is sent yet, and nothing is ever sent but through the gate.
pub async fn connect(
    settings: &TargetSettings,
    access: Access,
    gate: Gate,
) -> Result<Arc<dyn Target>, TargetError> {
    let pacing = |requests_per_second| Pacing::under(&gate, requests_per_second);
    Ok(match settings {
        TargetSettings::IdentityStore(settings) => {
            let pacing = pacing(settings.requests_per_second);
            Arc::new(IdentityStoreTarget::connect_with(settings, pacing).await?)
        }
        TargetSettings::Scim(settings) => {
            Arc::new(ScimTarget::connect_with(settings, pacing(settings.requests_per_second))?)
        }
        TargetSettings::Sandbox(settings) => {
            Arc::new(open_sandbox(settings, access, pacing(settings.requests_per_second))?)
        }
    })
}

#[cfg(not(feature = "sandbox"))]
fn open_sandbox(_: &SandboxSettings, _: Access, _: Pacing) -> Result<IdentityStoreTarget, TargetError> {
    Err(TargetError::new(
        super::TargetErrorKind::Validation,
        "SandboxMissing",
        "this build has no sandbox: use another `kind` in [target], or a build with the feature `sandbox`",
    ))
}

#[cfg(feature = "sandbox")]
use stand_in::open_sandbox;

#[cfg(feature = "sandbox")]
mod stand_in {
    use std::error::Error as StdError;

    use aws_sdk_identitystore::config::{HttpClient, RuntimeComponents};
    use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
    use tracing::error;

    use super::{Access, Arc, IdentityStoreTarget, SandboxSettings, TargetError};
    use crate::sandbox::{InProcess, Sandbox, SandboxError, Settings};
    use crate::target::{Pacing, TargetErrorKind, causes};

    pub(super) fn open_sandbox(
        settings: &SandboxSettings,
        access: Access,
        pacing: Pacing,
    ) -> Result<IdentityStoreTarget, TargetError> {
        let id = settings.identity_store();
        let read_only = access == Access::ReadOnly;
        let sandbox = Sandbox::open(Settings {
            identity_store_id: id.as_str().to_owned(),
            store: Some(settings.store.clone()),
            read_only,
            request_log: settings.request_log.clone(),
            ..Settings::default()
        });
        let transport = Folding(InProcess::new(Arc::new(sandbox.map_err(unavailable)?)));
        Ok(IdentityStoreTarget::with_http_client(transport, Some(id), pacing))
    }

    /// The sandbox in this process. Its store file is brought up to date when the client goes.
    #[derive(Debug)]
    struct Folding(InProcess);

    impl HttpClient for Folding {
        fn http_connector(
            &self,
            settings: &HttpConnectorSettings,
            components: &RuntimeComponents,
        ) -> SharedHttpConnector {
            self.0.http_connector(settings, components)
        }
    }

    impl Drop for Folding {
        fn drop(&mut self) {
            // Nothing is lost then: the next start reads the journal.
            if let Err(e) = self.0.sandbox().close() {
                error!(error = &e as &dyn StdError, "the sandbox's store file could not be written");
            }
        }
    }

    fn unavailable(error: SandboxError) -> TargetError {
        // A transparent error and what it wraps say the same.
        let mut words: Vec<String> = causes(&error).map(ToString::to_string).collect();
        words.dedup();
        TargetError::new(TargetErrorKind::Unavailable, "SandboxUnavailable", words.join(": "))
    }
}
