//! The sandbox without a socket: an HTTP client for the AWS SDK that hands its requests straight to [`Sandbox`], so that
//! the code which talks to AWS is the code which talks to the sandbox.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_identitystore::config::{Credentials, SharedCredentialsProvider, retry::RetryConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use super::handler::{RawRequest, RawResponse, Sandbox, Withheld};

/// An HTTP client that knows one server, and that server is in this process.
#[derive(Debug, Clone)]
pub struct InProcess {
    sandbox: Arc<Sandbox>,
}

/// Why a request or an answer did not get through.
#[derive(Debug, thiserror::Error)]
enum TransportError {
    #[error("the body of the request is a stream")]
    StreamedBody,
    #[error("the sandbox did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the connection was closed before an answer came")]
    Closed(#[source] Withheld),
}

impl InProcess {
    pub fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox }
    }

    /// The sandbox behind it.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// A configuration for any SDK client: this transport, credentials that nobody verifies, no retries.
    pub fn sdk_config(&self) -> SdkConfig {
        let credentials = Credentials::new("sandbox", "sandbox", None, None, "idcsync sandbox");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.sandbox.region().to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .http_client(SharedHttpClient::new(self.clone()))
            .build()
    }
}

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let sandbox = Arc::clone(&self.sandbox);
        SharedHttpConnector::new(Connector { sandbox, read_timeout: settings.read_timeout() })
    }
}

#[derive(Debug)]
struct Connector {
    sandbox: Arc<Sandbox>,
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sandbox = Arc::clone(&self.sandbox);
        let read_timeout = self.read_timeout;
        HttpConnectorFuture::new(async move {
            let Some(body) = request.body().bytes() else {
                return Err(ConnectorError::user(Box::new(TransportError::StreamedBody)));
            };
            let request = RawRequest {
                target: request.headers().get("x-amz-target").map(str::to_owned),
                body: Bytes::copy_from_slice(body),
                authorization: request.headers().contains_key("authorization"),
                agent: None,
            };
            let answer = sandbox.handle(request);
            let answer = match read_timeout {
                Some(limit) => tokio::time::timeout(limit, answer)
                    .await
                    .map_err(|_| ConnectorError::timeout(Box::new(TransportError::TimedOut(limit))))?,
                None => answer.await,
            };
            // To the SDK this is what a server that closes the connection looks like.
            let answer = answer.map_err(|e| ConnectorError::io(Box::new(TransportError::Closed(e))))?;
            response(answer)
        })
    }
}

fn response(raw: RawResponse) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(raw.status).map_err(|e| ConnectorError::other(Box::new(e), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(raw.body));
    for (name, value) in raw.headers {
        response
            .headers_mut()
            .try_insert(name, value)
            .map_err(|e| ConnectorError::other(Box::new(e), None))?;
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
