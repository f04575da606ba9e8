//! One directory entry as expressions see it.
//!
//! Names are in lower case. A value is text; a GUID or a SID in its usual form; base64 where it is neither
//! and not UTF-8. LDAP gives values in no order (RFC 4511 section 4.1.7), so several of them are put in the
//! order of their text: an answer in another order changes nothing.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jmespath::{Rcvar, Variable};

use crate::ids::{Anchor, Dn, Sid};
use crate::model::{Attributes, DirectoryGroup, DirectoryKind, DirectoryUser};

/// The DNS domain that the object's DN spells. Computed, never read.
pub(super) const ASSOCIATED_DOMAIN: &str = "associateddomain";
pub(super) const DISTINGUISHED_NAME: &str = "distinguishedname";
pub(super) const PROXY_ADDRESSES: &str = "proxyaddresses";

/// Attributes that hold 16 bytes of GUID in Active Directory ([MS-ADA1] to [MS-ADA3]).
const GUIDS: &[&str] = &[
    "attributesecurityguid",
    "ms-ds-consistencyguid",
    "msds-sourceanchor",
    "msexcharchiveguid",
    "msexchmailboxguid",
    "objectguid",
    "parentguid",
    "schemaidguid",
];

/// Attributes that hold a SID in its binary form.
const SIDS: &[&str] = &[
    "ms-ds-creatorsid",
    "msds-creatorsid",
    "msexchmasteraccountsid",
    "objectsid",
    "securityidentifier",
    "sidhistory",
    "tokengroups",
    "tokengroupsglobalanduniversal",
];

/// Attributes that are lists in JSON however many values there are, so that an expression written against
/// someone with two holds for someone with one or none.
const LISTS: &[&str] = &[
    "businesscategory",
    "carlicense",
    "departmentnumber",
    "ismemberof",
    "mailalternateaddress",
    "member",
    "memberof",
    "memberuid",
    "msds-phoneticdisplayname",
    "objectclass",
    "otherfacsimiletelephonenumber",
    "otherhomephone",
    "otheripphone",
    "othermailbox",
    "othermobile",
    "otherpager",
    "othertelephone",
    "postofficebox",
    "proxyaddresses",
    "seealso",
    "serviceprincipalname",
    "sidhistory",
    "uniquemember",
    "url",
    "usercertificate",
    "wwwhomepage",
];

/// A user or group, read-only, for [`Expression::evaluate`](super::Expression::evaluate).
#[derive(Debug)]
pub struct View<'a> {
    kind: DirectoryKind,
    anchor: Anchor,
    dn: &'a Dn,
    sid: Option<&'a Sid>,
    attributes: &'a Attributes,
    /// Built when the first JMESPath expression asks for it.
    json: OnceCell<Rcvar>,
}

impl<'a> View<'a> {
    pub fn of_user(kind: DirectoryKind, user: &'a DirectoryUser) -> Self {
        Self::new(kind, user.anchor, &user.dn, user.sid.as_ref(), &user.attributes)
    }

    pub fn of_group(kind: DirectoryKind, group: &'a DirectoryGroup) -> Self {
        Self::new(kind, group.anchor, &group.dn, group.sid.as_ref(), &group.attributes)
    }

    fn new(
        kind: DirectoryKind,
        anchor: Anchor,
        dn: &'a Dn,
        sid: Option<&'a Sid>,
        attributes: &'a Attributes,
    ) -> Self {
        Self { kind, anchor, dn, sid, attributes, json: OnceCell::new() }
    }

    /// The values of an attribute as text, without those that are empty, in the order of their text. `name`
    /// in lower case.
    pub fn texts(&self, name: &str) -> Vec<Cow<'a, str>> {
        if let Some(text) = self.own(name) {
            return if text.is_empty() { Vec::new() } else { vec![text] };
        }
        let mut texts: Vec<_> = self
            .attributes
            .values(name)
            .iter()
            .map(|value| value_text(name, value))
            .filter(|text| !text.trim().is_empty())
            .collect();
        texts.sort();
        texts
    }

    /// The value of an attribute: of several, the first in the order of their text. Without white space
    /// around it; `None` where that leaves nothing.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.texts(name).into_iter().next().map(trimmed)
    }

    /// The address of that type (`SMTP` is the primary one, `smtp` any other: the case tells them apart); of
    /// several, the first in the order of their text.
    pub fn proxy_address(&self, kind: &str) -> Option<Cow<'a, str>> {
        let texts = self.texts(PROXY_ADDRESSES);
        let value = texts.iter().filter_map(|t| t.split_once(':')).find(|(k, _)| *k == kind)?.1.trim();
        (!value.is_empty()).then(|| Cow::Owned(value.to_owned()))
    }

    /// What is known of the object without reading it from its attributes.
    fn own(&self, name: &str) -> Option<Cow<'a, str>> {
        match (name, self.kind) {
            (ASSOCIATED_DOMAIN, _) => Some(self.dn.dns_domain().into()),
            (DISTINGUISHED_NAME, _) => Some(self.dn.as_str().into()),
            ("objectsid", _) => self.sid.map(|sid| sid.as_str().into()),
            ("objectguid", DirectoryKind::ActiveDirectory) => Some(self.anchor.to_string().into()),
            // 389 DS may have the anchor in nsUniqueId alone.
            ("entryuuid", DirectoryKind::Ldap) if !self.attributes.has(name) => {
                Some(self.anchor.to_string().into())
            }
            _ => None,
        }
    }

    /// The entry as JSON: a string for one value, an array for several and for [`LISTS`], objects with
    /// `type` and `value` in `proxyaddresses`.
    pub(super) fn json(&self) -> &Rcvar {
        self.json.get_or_init(|| {
            let mut entry: BTreeMap<String, Rcvar> = BTreeMap::new();
            let nothing = Rcvar::new(Variable::Array(Vec::new()));
            for name in LISTS {
                entry.insert((*name).to_owned(), nothing.clone());
            }
            let read = self.attributes.iter().map(|(name, _)| name);
            for name in
                read.chain([ASSOCIATED_DOMAIN, DISTINGUISHED_NAME, "objectsid", "objectguid", "entryuuid"])
            {
                let texts = self.texts(name);
                let is_list = texts.len() > 1 || LISTS.contains(&name);
                let mut values = texts.iter().map(|text| match name {
                    PROXY_ADDRESSES => proxy_object(text),
                    _ => string(text),
                });
                if is_list {
                    entry.insert(name.to_owned(), Rcvar::new(Variable::Array(values.collect())));
                } else if let Some(value) = values.next() {
                    entry.insert(name.to_owned(), value);
                }
            }
            Rcvar::new(Variable::Object(entry))
        })
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn string(text: &str) -> Rcvar {
    Rcvar::new(Variable::String(text.to_owned()))
}

fn proxy_object(text: &str) -> Rcvar {
    let (kind, value) = match text.split_once(':') {
        Some((kind, value)) => (string(kind), value),
        None => (Rcvar::new(Variable::Null), text),
    };
    Rcvar::new(Variable::Object(BTreeMap::from([
        ("type".to_owned(), kind),
        ("value".to_owned(), string(value)),
    ])))
}

fn value_text<'v>(name: &str, value: &'v [u8]) -> Cow<'v, str> {
    // First by name: 16 random bytes are now and then valid UTF-8.
    let special = if GUIDS.contains(&name) {
        Anchor::from_object_guid(value).map(|guid| guid.to_string())
    } else if SIDS.contains(&name) {
        Sid::from_bytes(value).map(|sid| sid.as_str().to_owned())
    } else {
        None
    };
    match (special, std::str::from_utf8(value)) {
        (Some(text), _) => Cow::Owned(text),
        (None, Ok(text)) => Cow::Borrowed(text),
        (None, Err(_)) => Cow::Owned(STANDARD.encode(value)),
    }
}
