//! Whether a server's name can be looked up and its port answers, address by address: for `check`.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};

use super::connect::place;
use crate::directory::error::ServerFailure;
use crate::printable::brief;

/// More addresses than these are not tried.
const MOST: usize = 8;

/// What came of it.
pub(in crate::directory) struct Reached {
    pub host: String,
    pub port: u16,
    /// The name is an address itself.
    pub is_address: bool,
    /// With why there is no answer.
    pub addresses: Vec<(IpAddr, Option<String>)>,
}

impl Reached {
    pub fn answers(&self) -> bool {
        self.addresses.iter().any(|(_, why)| why.is_none())
    }
}

/// `None` where the url is none.
pub(in crate::directory) async fn reach(
    url: &str,
    limit: Duration,
) -> Option<Result<Reached, ServerFailure>> {
    let (host, port) = place(url)?;
    let bare = host.trim_matches(['[', ']']);
    let is_address = bare.parse::<IpAddr>().is_ok();
    let found = match tokio::time::timeout(limit, lookup_host((bare, port))).await {
        Err(_) => return Some(Err(ServerFailure::Timeout { stage: "looking up the name", limit })),
        Ok(Err(error)) => return Some(Err(ServerFailure::Connect(brief(&error.to_string())))),
        Ok(Ok(found)) => found,
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|at| at.ip()) {
        if addresses.len() < MOST && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let tried = addresses.into_iter().map(|address| async move {
        let why = match tokio::time::timeout(limit, TcpStream::connect((address, port))).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(brief(&error.to_string())),
            Err(_) => Some(format!("no answer within {}s", limit.as_secs_f32())),
        };
        (address, why)
    });
    let addresses = futures::future::join_all(tried).await;
    Some(Ok(Reached { host: host.to_owned(), port, is_address, addresses }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_answers_is_told_from_one_that_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let reached = reach(&url, Duration::from_secs(5)).await.unwrap().unwrap();
        assert!(reached.answers() && reached.is_address);
        drop(listener);
        let reached = reach(&url, Duration::from_secs(5)).await.unwrap().unwrap();
        assert!(!reached.answers());
        assert!(reached.addresses[0].1.as_deref().unwrap().contains("refused"));
        assert!(reach("http://x", Duration::from_secs(1)).await.is_none());
        assert!(reach("ldap://does-not-exist.invalid", Duration::from_secs(5)).await.unwrap().is_err());
    }
}
