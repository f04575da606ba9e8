//! What a session speaks through: a bound connection, and who makes one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ldap3::controls::{PagedResults, RawControl};
use ldap3::{Ldap, LdapError, LdapResult, ResultEntry, Scope};
use tokio::task::JoinHandle;

use super::connect::Setback;
use super::guard::Verdict;
use crate::directory::reader::Selection;

/// So often the time-out may one answer take in all: a server that sends a little now and then never ends otherwise.
const PATIENCE: u32 = 20;

/// For taking leave of a server.
const GOODBYE: Duration = Duration::from_secs(1);

/// One search request.
#[derive(Clone)]
pub struct Ask<'a> {
    pub base: &'a str,
    pub scope: Scope,
    /// RFC 4515.
    pub filter: &'a str,
    pub attributes: &'a Selection,
    /// Size and cookie of the paging control.
    pub page: Option<(i32, Vec<u8>)>,
    /// Sent beside it.
    pub controls: &'a [RawControl],
}

impl<'a> Ask<'a> {
    /// One entry, by its name.
    pub fn entry(dn: &'a str, attributes: &'a Selection) -> Self {
        let filter = "(objectClass=*)";
        Self { base: dn, scope: Scope::Base, filter, attributes, page: None, controls: &[] }
    }
}

/// Why there is no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The filter was refused before anything was sent.
    Filter,
    /// The connection is gone: in words.
    Lost(String),
    /// The answer took longer than this in all.
    Slow(Duration),
    /// Nothing came for so long that the connection was given up.
    Silent(Duration),
}

/// Takes what comes, message by message; whether to go on.
pub type Take<'a> = &'a mut (dyn FnMut(ResultEntry) -> bool + Send);

/// A connection to a server, bound.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Sends one search and hands over all that comes back, entries in either form that [`super::session`] takes (in
    /// bytes, or taken apart). `None`: `take` had enough, and the rest was called off. After an error other than [`Broken::Filter`] nothing can be asked any more.
    async fn search(&self, ask: &Ask<'_>, take: Take<'_>) -> Result<Option<LdapResult>, Broken>;

    async fn close(&self);
}

/// Who connects: in earnest the network; in a rehearsal, somebody who has the servers in hand.
#[async_trait]
pub trait Network: Send + Sync {
    /// Connects to the server of this url, and binds.
    async fn connect(&self, url: &str) -> Result<Box<dyn Wire>, Setback>;

    /// By this machine's clock, for comparing with the server's.
    fn now(&self) -> Timestamp;
}

/// A connection of the library's.
pub(super) struct Connection {
    ldap: Ldap,
    /// Moves the bytes; ends with the connection.
    driver: Mutex<Option<JoinHandle<()>>>,
    timeout: Duration,
    /// What the relay has against the server.
    verdict: Verdict,
}

impl Connection {
    pub fn new(ldap: Ldap, driver: JoinHandle<()>, timeout: Duration, verdict: Verdict) -> Self {
        Self { ldap, driver: Mutex::new(Some(driver)), timeout, verdict }
    }

    pub fn handle(&self) -> Ldap {
        self.ldap.clone()
    }

    /// Why the connection was ended on this side.
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }

    fn driver(&self) -> Option<JoinHandle<()>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn abort(&self) {
        if let Some(driver) = self.driver() {
            driver.abort();
        }
    }

    fn silent(&self) -> Broken {
        self.abort();
        Broken::Silent(self.timeout)
    }

    fn slow(&self) -> Broken {
        self.abort();
        Broken::Slow(self.timeout * PATIENCE)
    }

    fn lost(&self, error: &LdapError) -> Broken {
        if let Some(why) = self.verdict() {
            return Broken::Lost(why.to_owned());
        }
        Broken::Lost(match error {
            LdapError::Io { source } => format!("the connection was lost ({source})"),
            _ => "the server closed the connection in the middle".to_owned(),
        })
    }
}

#[async_trait]
impl Wire for Connection {
    async fn search(&self, ask: &Ask<'_>, take: Take<'_>) -> Result<Option<LdapResult>, Broken> {
        let mut ldap = self.ldap.clone();
        let page =
            ask.page.as_ref().map(|(size, cookie)| PagedResults { size: *size, cookie: cookie.clone() });
        let controls: Vec<RawControl> =
            ask.controls.iter().cloned().chain(page.map(RawControl::from)).collect();
        if !controls.is_empty() {
            ldap.with_controls(controls);
        }
        let started = ldap.streaming_search(ask.base, ask.scope, ask.filter, ask.attributes.clone());
        let mut stream = match tokio::time::timeout(self.timeout, started).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(LdapError::FilterParsing)) => return Err(Broken::Filter),
            Ok(Err(error)) => return Err(self.lost(&error)),
            Err(_) => return Err(self.silent()),
        };
        let end = tokio::time::Instant::now() + self.timeout * PATIENCE;
        loop {
            let limit = end.min(tokio::time::Instant::now() + self.timeout);
            match tokio::time::timeout_at(limit, stream.next()).await {
                Ok(Ok(Some(item))) => {
                    if !take(item) {
                        break;
                    }
                }
                Ok(Ok(None)) => return Ok(Some(stream.finish().await)),
                Ok(Err(error)) => return Err(self.lost(&error)),
                Err(_) if limit == end => return Err(self.slow()),
                Err(_) => return Err(self.silent()),
            }
        }
        let number = stream.ldap_handle().last_id();
        stream.finish().await;
        match tokio::time::timeout(self.timeout, self.ldap.clone().abandon(number)).await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    async fn close(&self) {
        let mut ldap = self.ldap.clone();
        // Whether the server hears it does not matter; but that it is on its way is waited for.
        let said = tokio::time::timeout(GOODBYE, ldap.unbind()).await;
        if let (Ok(Ok(())), Some(mut driver)) = (said, self.driver())
            && tokio::time::timeout(GOODBYE, &mut driver).await.is_err()
        {
            driver.abort();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.abort();
    }
}
