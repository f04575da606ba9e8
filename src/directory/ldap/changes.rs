//! The change log of a server that synchronises content (RFC 4533; slapd with the overlay syncprov). Asked for two
//! things: what is new in it, for a mirror (`increment`); and which entries it reports as deleted since the last time,
//! where what it merely does not mention proves nothing.
//!
//! slapd reports in the same words an entry that was changed and that this account may not see: the bind account must
//! be able to read the whole naming context for the log to be a proof.

use std::collections::{BTreeSet, HashSet};

use ldap3::controls::{Control, MakeCritical, RawControl, RefreshMode, SyncRequest};
use ldap3::{LdapResult, ResultEntry, Scope};
use tracing::debug;

use super::ber::{element, elements};
use super::search::LdapReader;
use super::session::Session;
use super::wire::Ask;
use crate::directory::reader::{RawEntry, Selection};
use crate::ids::{Anchor, Dn};
use crate::model::ChangeCookie;

pub(super) const SYNC_REQUEST: &str = "1.3.6.1.4.1.4203.1.9.1.1";
const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
const SYNC_DONE: &str = "1.3.6.1.4.1.4203.1.9.1.3";
const SYNC_INFO: &[u8] = b"1.3.6.1.4.1.4203.1.9.1.4";
/// Of SyncStateValue (RFC 4533 section 2.2).
const PRESENT: u8 = 0;
const DELETED: u8 = 3;
/// More changed entries than this are a reload of everything, by whatever name.
const MOST_ENTRIES: u32 = 500_000;

/// What the log says, and how far it has been read.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub reported: BTreeSet<Anchor>,
    pub cookie: Option<ChangeCookie>,
}

/// One request for what has changed.
#[derive(Debug, Default)]
struct Refresh {
    reported: BTreeSet<Anchor>,
    entries: u32,
    /// The server lists what there is instead of what went.
    presents: bool,
    malformed: bool,
}

/// How such a request ended.
enum Outcome {
    /// To the end; a new cookie where anything has changed.
    Read(Option<Vec<u8>>),
    /// It may go better next time, with the same cookie.
    Later,
    /// The cookie does not help, or never did.
    Unusable,
}

impl LdapReader {
    /// What was deleted since `known`, as far as this server tells.
    pub(super) async fn changes(&self, known: Option<&ChangeCookie>) -> Changes {
        if !self.change_log {
            return Changes::default();
        }
        let Some(known) = known.filter(|cookie| cookie.server == self.facts.server) else {
            return Changes { cookie: self.first_cookie().await, ..Changes::default() };
        };
        let (outcome, Refresh { reported, entries, .. }) = self.refresh(known).await;
        match outcome {
            Outcome::Read(Some(bytes)) => {
                Changes { reported, cookie: Some(ChangeCookie { server: known.server.clone(), bytes }) }
            }
            // Nothing has changed.
            Outcome::Read(None) if entries == 0 && reported.is_empty() => {
                Changes { reported, cookie: Some(known.clone()) }
            }
            // Much has, and no word how far that goes: so slapd answers a cookie that it cannot read.
            Outcome::Read(None) => Changes { reported, cookie: self.first_cookie().await },
            Outcome::Later => Changes { cookie: Some(known.clone()), ..Changes::default() },
            Outcome::Unusable => Changes { cookie: self.first_cookie().await, ..Changes::default() },
        }
    }

    /// Whether the change log can be read, for `check`; `None` where the server offers none.
    pub(in crate::directory) async fn change_log_answers(&self) -> Option<bool> {
        if !self.change_log {
            return None;
        }
        let Some(cookie) = self.first_cookie().await else { return Some(false) };
        Some(matches!(self.refresh(&cookie).await.0, Outcome::Read(_)))
    }

    /// A cookie as slapd would make it for whoever has read everything by now. Asking for one would bring everything.
    pub(super) async fn first_cookie(&self) -> Option<ChangeCookie> {
        let attributes: Selection = ["contextCSN".to_owned()].into();
        let ask = Ask {
            base: self.facts.context.as_str(),
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes: &attributes,
            page: None,
            controls: &[],
        };
        let (entries, answer) = self.session.collect(ask).await.ok()?;
        let states = entries.first().filter(|_| answer.code == 0)?.values("contextcsn");
        let bytes = cookie_of(states)?;
        Some(ChangeCookie { server: self.facts.server.clone(), bytes })
    }

    /// Reads what has changed below `base` since `cookie`. Gives the new one, where anything has; `Err`: why the log
    /// cannot be read.
    pub(super) async fn synchronise(
        &self,
        cookie: &[u8],
        base: &Dn,
        attributes: &Selection,
        log: &mut Log,
    ) -> Result<Option<Vec<u8>>, String> {
        let controls = [since(cookie)];
        let ask = Ask {
            base: base.as_str(),
            scope: Scope::Subtree,
            filter: "(objectClass=*)",
            attributes,
            page: None,
            controls: &controls,
        };
        let session = &self.session;
        match session.exchange(ask, &mut |item| log.take(session, item)).await {
            Err(fault) => Err(fault.detail),
            Ok(Some(result)) if result.rc == 0 && !log.malformed => match done(&result.ctrls) {
                Some((cookie, deletes)) => {
                    if cookie.is_some() && !deletes {
                        // It has listed what there is, if that was anything.
                        log.present.get_or_insert_default();
                    }
                    Ok(cookie)
                }
                None => Err("the server passed over the synchronisation".to_owned()),
            },
            Ok(Some(result)) => Err(format!("the server's change log ended with result code {}", result.rc)),
            Ok(None) => Err("so much has changed that everything may as well be read, or the server's change log is not understood".to_owned()),
        }
    }

    async fn refresh(&self, known: &ChangeCookie) -> (Outcome, Refresh) {
        let controls = [since(&known.bytes)];
        let attributes: Selection = ["1.1".to_owned()].into();
        let ask = Ask {
            base: self.facts.context.as_str(),
            scope: Scope::Subtree,
            filter: "(objectClass=*)",
            attributes: &attributes,
            page: None,
            controls: &controls,
        };
        let mut refresh = Refresh::default();
        let answer = self.session.exchange(ask, &mut |item| refresh.take(item)).await;
        let outcome = match answer {
            Err(fault) => {
                debug!(fault.detail, "the server's change log could not be read");
                Outcome::Later
            }
            Ok(None) => Outcome::Unusable,
            Ok(Some(result)) => outcome(&result),
        };
        if let (Outcome::Read(_), false) = (&outcome, refresh.malformed) {
            debug!(reported = refresh.reported.len(), refresh.entries, "read the server's change log");
            return (outcome, refresh);
        }
        debug!(refresh.presents, refresh.malformed, "the server's change log tells nothing this time");
        let outcome = if refresh.malformed { Outcome::Unusable } else { outcome };
        (outcome, Refresh::default())
    }
}

/// Critical: a server that passes over the control would send everything there is.
fn since(cookie: &[u8]) -> RawControl {
    let (mode, cookie) = (RefreshMode::RefreshOnly, Some(cookie.to_vec()));
    RawControl::from(SyncRequest { mode, cookie, reload_hint: false }.critical())
}

/// What the log lists, with the entries as they are now.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub changed: Vec<RawEntry>,
    pub deleted: BTreeSet<Anchor>,
    pub present: Option<HashSet<Anchor>>,
    malformed: bool,
    most: usize,
}

impl Log {
    pub fn of_at_most(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    fn take(&mut self, session: &Session, item: ResultEntry) -> bool {
        if item.is_intermediate() {
            match info(item) {
                Some(Info::Deleted(anchors)) => self.deleted.extend(anchors),
                Some(Info::Present(anchors)) => self.present.get_or_insert_default().extend(anchors),
                Some(Info::Other) => {}
                None => self.malformed = true,
            }
        } else if !item.is_ref() {
            match state(&item.1) {
                Some((DELETED, anchor)) => {
                    self.deleted.insert(anchor);
                }
                Some((PRESENT, anchor)) => {
                    self.present.get_or_insert_default().insert(anchor);
                }
                Some(_) => match session.entry(item) {
                    Some(entry) => self.changed.push(entry),
                    None => self.malformed = true,
                },
                None => self.malformed = true,
            }
        }
        !self.malformed && self.changed.len() <= self.most
    }
}

impl Refresh {
    /// Whether to go on.
    fn take(&mut self, item: ResultEntry) -> bool {
        if item.is_intermediate() {
            match info(item) {
                Some(Info::Deleted(anchors)) => self.reported.extend(anchors),
                Some(Info::Present(_)) => self.presents = true,
                Some(Info::Other) => {}
                None => self.malformed = true,
            }
        } else if !item.is_ref() {
            self.entries += 1;
            match state(&item.1) {
                Some((DELETED, anchor)) => {
                    self.reported.insert(anchor);
                }
                Some(_) => {}
                None => self.malformed = true,
            }
        }
        !self.presents && !self.malformed && self.entries < MOST_ENTRIES
    }
}

fn outcome(result: &LdapResult) -> Outcome {
    match (result.rc, done(&result.ctrls)) {
        (0, Some((cookie, _))) => Outcome::Read(cookie),
        // busy, unavailable
        (51 | 52, _) => Outcome::Later,
        // Among them e-syncRefreshRequired (4096).
        _ => Outcome::Unusable,
    }
}

/// The form in which slapd writes its cookies.
fn cookie_of<'s>(states: impl Iterator<Item = &'s [u8]>) -> Option<Vec<u8>> {
    let states: Vec<&[u8]> = states.filter(|csn| !csn.is_empty()).collect();
    (!states.is_empty()).then(|| [b"rid=000,csn=".as_slice(), &states.join(&b';')].concat())
}

#[derive(Debug, PartialEq, Eq)]
enum Info {
    Deleted(Vec<Anchor>),
    /// A part of a list of what there is, or its end.
    Present(Vec<Anchor>),
    Other,
}

/// A Sync Info Message (RFC 4533 section 2.5); `None` where it cannot be decoded.
fn info(item: ResultEntry) -> Option<Info> {
    let (mut name, mut value) = (None, None);
    for part in item.0.expect_constructed()? {
        match part.id {
            0 => name = part.expect_primitive(),
            1 => value = part.expect_primitive(),
            _ => {}
        }
    }
    if name.as_deref() != Some(SYNC_INFO) {
        return Some(Info::Other);
    }
    info_value(&value?)
}

fn info_value(value: &[u8]) -> Option<Info> {
    let (tag, content, _) = element(value)?;
    match tag {
        0x80 | 0xa1 => Some(Info::Other),
        0xa2 => Some(Info::Present(Vec::new())),
        0xa3 => {
            let mut deletes = false;
            let mut anchors = None;
            for (tag, content) in elements(content)? {
                match tag {
                    0x01 => deletes = *content.first()? != 0,
                    0x31 => {
                        let list = elements(content)?.into_iter();
                        anchors =
                            list.map(|(_, bytes)| Anchor::from_bytes(bytes)).collect::<Option<Vec<_>>>();
                    }
                    _ => {}
                }
            }
            let anchors = anchors?;
            Some(if deletes { Info::Deleted(anchors) } else { Info::Present(anchors) })
        }
        _ => None,
    }
}

/// What the Sync State control says of an entry (RFC 4533 section 2.2).
fn state(controls: &[Control]) -> Option<(u8, Anchor)> {
    let (_, content, _) = element(value(controls, SYNC_STATE)?)?;
    match elements(content)?.as_slice() {
        [(0x0a, [state]), (0x04, anchor), ..] => Some((*state, Anchor::from_bytes(anchor)?)),
        _ => None,
    }
}

/// The cookie of the Sync Done control (RFC 4533 section 2.4), which may have none, and whether the server has told what
/// was deleted (else: what there is). `None`: there was no such control, hence no synchronisation.
fn done(controls: &[Control]) -> Option<(Option<Vec<u8>>, bool)> {
    let (_, content, _) = element(value(controls, SYNC_DONE)?)?;
    let (mut cookie, mut deletes) = (None, false);
    for (tag, bytes) in elements(content)? {
        match tag {
            0x04 => cookie = Some(bytes.to_vec()).filter(|bytes| !bytes.is_empty()),
            0x01 => deletes = *bytes.first()? != 0,
            _ => {}
        }
    }
    Some((cookie, deletes))
}

fn value<'c>(controls: &'c [Control], oid: &str) -> Option<&'c [u8]> {
    controls.iter().find(|Control(_, raw)| raw.ctype == oid)?.1.val.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(flag: Option<u8>, uuids: &[[u8; 16]]) -> Vec<u8> {
        let list: Vec<u8> = uuids.iter().flat_map(|u| [&[4, 16][..], u].concat()).collect();
        let mut content = vec![4, 1, b'c'];
        content.extend(flag.into_iter().flat_map(|f| [1, 1, f]));
        content.extend([0x31, u8::try_from(list.len()).unwrap()]);
        content.extend(list);
        [vec![0xa3, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn controls(oid: &str, value: &[u8]) -> Vec<Control> {
        vec![Control(None, RawControl { ctype: oid.to_owned(), crit: false, val: Some(value.to_vec()) })]
    }

    #[test]
    fn only_sets_of_deletes_are_deletes() {
        let anchors = vec![Anchor::from_u128(0x0101_0101_0101_0101_0101_0101_0101_0101)];
        assert_eq!(info_value(&set(Some(0xff), &[[1; 16]])), Some(Info::Deleted(anchors.clone())));
        assert_eq!(info_value(&set(Some(0), &[[1; 16]])), Some(Info::Present(anchors.clone())));
        assert_eq!(info_value(&set(None, &[[1; 16]])), Some(Info::Present(anchors)));
        // refreshPresent, refreshDelete, newcookie
        assert_eq!(info_value(&[0xa2, 0]), Some(Info::Present(vec![])));
        assert_eq!(info_value(&[0xa1, 0]), Some(Info::Other));
        assert_eq!(info_value(&[0x80, 1, b'c']), Some(Info::Other));
        for bad in
            [&[][..], &[0xa3, 9, 1], &[0xa3, 2, 1, 0], &[0xa3, 0], &[0xa3, 5, 0x31, 3, 4, 1, 9], &[0x99, 0]]
        {
            assert_eq!(info_value(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn states_and_endings_are_read_and_nonsense_is_refused() {
        let value = [&[0x30, 21, 0x0a, 1, 3, 4, 16][..], &[7; 16]].concat();
        let (state_of, anchor) = state(&controls(SYNC_STATE, &value)).unwrap();
        assert_eq!((state_of, anchor.as_bytes()), (DELETED, &[7; 16]));
        assert_eq!(state(&controls(SYNC_STATE, &[0x30, 3, 0x0a, 1, 3])), None);
        assert_eq!(state(&[]), None);
        assert_eq!(
            done(&controls(SYNC_DONE, &[0x30, 6, 4, 1, b'c', 1, 1, 0])),
            Some((Some(b"c".to_vec()), false))
        );
        assert_eq!(done(&controls(SYNC_DONE, &[0x30, 3, 1, 1, 0xff])), Some((None, true)));
        assert_eq!(done(&controls(SYNC_DONE, &[0x30, 9])), None);
        assert_eq!(done(&[]), None);
    }

    #[test]
    fn an_answer_without_its_ending_tells_nothing() {
        let result =
            |rc, ctrls| LdapResult { rc, matched: String::new(), text: String::new(), refs: vec![], ctrls };
        let whole = || controls(SYNC_DONE, &[0x30, 0]);
        assert!(matches!(outcome(&result(0, whole())), Outcome::Read(None)));
        assert!(matches!(outcome(&result(0, vec![])), Outcome::Unusable));
        assert!(matches!(outcome(&result(4096, whole())), Outcome::Unusable));
        assert!(matches!(outcome(&result(4, whole())), Outcome::Unusable));
        assert!(matches!(outcome(&result(51, vec![])), Outcome::Later));
    }

    #[test]
    fn a_first_cookie_names_the_state_of_each_server() {
        assert_eq!(cookie_of(std::iter::empty()), None);
        let two = cookie_of([b"20261103120000.000000Z#000000#001#000000".as_slice(), b"x"].into_iter());
        assert_eq!(two.unwrap(), b"rid=000,csn=20261103120000.000000Z#000000#001#000000;x");
    }
}
