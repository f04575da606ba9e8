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

/// Attributes that hold 16 bytes of GUID in Active Directory.
const GUIDS: &[&str] = &[
    "attributesecurityguid",
    "ms-ds-consistencyguid",
    "msexcharchiveguid",
    "msexchmailboxguid",
    "objectguid",
    "parentguid",
    "schemaidguid",
];

/// Attributes that hold a SID in its binary form.
const SIDS: &[&str] = &[
    "ms-ds-creatorsid",
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
            .map(|value| value_text(name, value))
            .filter(|text| !text.trim().is_empty())
            .collect();
        texts.sort();
        texts
    }

    /// The value of an attribute: of several, the first in the order of their text. Without white space
    /// around it; `None` where that leaves nothing.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        // As nearly always: one value, and it need not be put in an order.
        let mut values = self.attributes.values(name);
        if let (Some(value), None, None) = (values.next(), values.next(), self.own(name)) {
            return Some(trimmed(value_text(name, value))).filter(|text| !text.is_empty());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Expression;
    use crate::model::AccountState;

    fn user(attributes: Vec<(&str, Vec<Vec<u8>>)>) -> DirectoryUser {
        DirectoryUser {
            anchor: Anchor::from_u128(1),
            dn: Dn::parse("uid=a,ou=x,dc=example,dc=org").unwrap(),
            sid: None,
            account: AccountState::Enabled,
            matches_filter: true,
            created: None,
            attributes: Attributes::new(attributes.into_iter().map(|(n, v)| (n.into(), v))),
        }
    }

    fn json(user: &DirectoryUser) -> serde_json::Value {
        let view = View::of_user(DirectoryKind::Ldap, user);
        let mut value = serde_json::to_value(&**view.json()).unwrap();
        value.as_object_mut().unwrap().retain(|_, v| v.as_array().is_none_or(|list| !list.is_empty()));
        value
    }

    #[test]
    fn the_entry_as_json() {
        let user = user(vec![
            ("mail", vec![b"a@x".to_vec()]),
            ("cn", vec![b"b".to_vec(), b"a".to_vec()]),
            ("othermailbox", vec![b"o@x".to_vec()]),
            ("proxyaddresses", vec![b"smtp:b@x".to_vec(), b"SMTP:a:b@x".to_vec(), b"bare".to_vec()]),
            ("objectsid", vec![vec![1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]]),
            ("ms-ds-consistencyguid", vec![b"abcdefghijklmnop".to_vec()]),
            ("thumbnailphoto", vec![vec![0xff, 0xd8, 0xff]]),
            ("title", vec![Vec::new()]),
        ]);
        assert_eq!(
            json(&user),
            serde_json::json!({
                "mail": "a@x",
                "cn": ["a", "b"],
                "othermailbox": ["o@x"],
                "proxyaddresses": [
                    {"type": "SMTP", "value": "a:b@x"},
                    {"type": null, "value": "bare"},
                    {"type": "smtp", "value": "b@x"},
                ],
                "objectsid": "S-1-5-32-544",
                "ms-ds-consistencyguid": "64636261-6665-6867-696a-6b6c6d6e6f70",
                "thumbnailphoto": "/9j/",
                "associateddomain": "example.org",
                "distinguishedname": "uid=a,ou=x,dc=example,dc=org",
                "entryuuid": "00000000-0000-0000-0000-000000000001",
            })
        );
    }

    #[test]
    fn lists_are_lists_with_one_value_and_with_none() {
        let user = user(vec![("memberof", vec![b"cn=g,dc=x".to_vec()])]);
        let view = View::of_user(DirectoryKind::Ldap, &user);
        let text = |expression: &str| Expression::jmespath(expression).unwrap().evaluate(&view).unwrap();
        assert_eq!(text("memberof[0]").as_deref(), Some("cn=g,dc=x"));
        assert_eq!(text("contains(memberOf, 'x')").as_deref(), Some("false"));
        assert_eq!(text("length(otherTelephone)").as_deref(), Some("0"));
        assert_eq!(text("otherTelephone"), None);
    }

    #[test]
    fn the_anchor_stands_in_for_the_attribute_of_its_kind() {
        let mut user = user(vec![]);
        let text = |kind, user: &DirectoryUser, name: &str| {
            View::of_user(kind, user).text(name).map(Cow::into_owned)
        };
        let anchor = Some("00000000-0000-0000-0000-000000000001".to_owned());
        assert_eq!(text(DirectoryKind::ActiveDirectory, &user, "objectguid"), anchor);
        assert_eq!(text(DirectoryKind::Ldap, &user, "entryuuid"), anchor);
        assert_eq!(text(DirectoryKind::Ldap, &user, "objectguid"), None);
        user.attributes = Attributes::from([("entryUUID", "b1b1"), ("associatedDomain", "read.example")]);
        assert_eq!(text(DirectoryKind::Ldap, &user, "entryuuid").as_deref(), Some("b1b1"));
        assert_eq!(text(DirectoryKind::Ldap, &user, "associateddomain").as_deref(), Some("example.org"));
        user.dn = Dn::parse("uid=a,o=Example").unwrap();
        assert_eq!(text(DirectoryKind::Ldap, &user, "associateddomain"), None);
    }
}
