use aws_sdk_identitystore::Client;
use aws_sdk_identitystore::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_identitystore::error::SdkError;
use aws_sdk_identitystore::types::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::handler::Settings;
use super::*;

struct Server {
    address: SocketAddr,
    sandbox: Arc<Sandbox>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sandbox = Arc::new(Sandbox::open(settings).unwrap());
        let (stop, wait) = oneshot::channel();
        let task = tokio::spawn(serve(listener, Arc::clone(&sandbox), async {
            let _ = wait.await;
        }));
        Self { address, sandbox, stop, task }
    }

    fn client(&self) -> Client {
        let config = aws_sdk_identitystore::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(format!("http://{}", self.address))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .build();
        Client::from_conf(config)
    }

    /// Sends bytes and reads until the server closes, or `end` was seen.
    async fn raw(&self, request: &str, end: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(n) => answer.extend_from_slice(&part[..n]),
            }
            if !end.is_empty() && String::from_utf8_lossy(&answer).contains(end) {
                break;
            }
        }
        String::from_utf8(answer).unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn post(headers: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

const SIGNED: &str = "authorization: AWS4-HMAC-SHA256 x\r\n";

async fn create(client: &Client, user_name: &str) -> Result<String, SdkError<impl std::fmt::Debug>> {
    let name = Name::builder().given_name("G").family_name("F").build();
    let call = client.create_user().identity_store_id("d-1234567890").user_name(user_name);
    call.name(name).display_name("D").send().await.map(|made| made.user_id)
}

#[tokio::test]
async fn the_sdk_reaches_it_over_a_socket_and_it_stops_when_told() {
    let server = Server::start(Settings::default()).await;
    let client = server.client();
    create(&client, "ada").await.unwrap();
    let error = create(&client, "Ada").await.unwrap_err();
    assert!(format!("{error:?}").contains("UniquenessConstraintViolation"), "{error:?}");
    let users = client.list_users().identity_store_id("d-1234567890").send().await.unwrap().users;
    assert_eq!(users.len(), 1);
    assert_eq!(server.sandbox.inspect(|s| s.users().len()), 1);
    // With an idle keep-alive connection still open.
    server.stop().await;
}

#[tokio::test]
async fn a_withheld_answer_closes_the_connection_without_a_byte() {
    let faults =
        vec!["CreateUser:timeout-after@2".parse().unwrap(), "ListGroups:timeout-before".parse().unwrap()];
    let server = Server::start(Settings { faults, ..Settings::default() }).await;
    let client = server.client();
    create(&client, "ada").await.unwrap();
    let error = create(&client, "bob").await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert!(server.sandbox.inspect(|s| s.user_by_name("bob")).is_some());
    let target = format!("{SIGNED}x-amz-target: AWSIdentityStore.ListGroups\r\n");
    assert_eq!(server.raw(&post(&target, r#"{"IdentityStoreId":"d-1234567890"}"#), "").await, "");
    // And the next connection is as good as new.
    create(&client, "eve").await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_api_request_is_refused() {
    let server = Server::start(Settings::default()).await;
    let unsigned = server.raw(&post("x-amz-target: AWSIdentityStore.ListUsers\r\n", "{}"), "RequestId").await;
    assert!(unsigned.starts_with("HTTP/1.1 400 "), "{unsigned}");
    assert!(unsigned.contains("MissingAuthenticationTokenException"), "{unsigned}");
    let get = server.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "RequestId").await;
    assert!(get.starts_with("HTTP/1.1 404 ") && get.contains("UnknownOperationException"), "{get}");
    let long = "x".repeat(BODY_LIMIT + 1);
    let long = server.raw(&post(SIGNED, &long), "RequestId").await;
    assert!(long.starts_with("HTTP/1.1 413 "), "{long}");
    server.stop().await;
}

#[tokio::test]
async fn scim_has_its_place_beside_the_api() {
    let server = Server::start(Settings::default()).await;
    let ask = |path: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
    };
    let known = "user-agent: test\r\nauthorization: Bearer sandbox-token\r\n";
    let group = r#"{"displayName":"Admins"}"#;
    let made = server.raw(&ask("/tenant/scim/v2/Groups", known, group), "displayName").await;
    assert!(made.starts_with("HTTP/1.1 201 ") && made.contains("content-type: application/json"), "{made}");
    assert_eq!(server.sandbox.inspect(|s| s.groups().len()), 1);
    let long = "x".repeat(BODY_LIMIT + 1);
    let long = server.raw(&ask("/tenant/scim/v2/Groups", known, &long), "timeStamp").await;
    assert!(long.starts_with("HTTP/1.1 413 "), "{long}");
    let blocked = server.raw(&ask("/tenant/scim/v2/Groups", "", group), "</html>").await;
    assert!(blocked.starts_with("HTTP/1.1 403 "), "{blocked}");
    let elsewhere = server.raw(&ask("/tenant/scim/v3/Groups", known, group), "RequestId").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404 ") && elsewhere.contains("UnknownOperation"), "{elsewhere}");
    server.stop().await;
}
