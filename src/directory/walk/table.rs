//! Every DN that turned up, once: members are numbers, so that half a million memberships of a hundred thousand
//! people take little room.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::ids::{Dn, DnError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NameId(pub u32);

#[derive(Default)]
pub(super) struct Names {
    /// As written: a server nearly always writes a name in one way, which saves parsing it again.
    by_text: HashMap<Arc<str>, NameId, RandomState>,
    by_key: HashMap<Arc<str>, NameId, RandomState>,
    list: Vec<Dn>,
}

enum Named {
    Known(NameId),
    /// In a spelling that did not turn up before.
    Other(Dn),
}

impl Names {
    pub fn of(&mut self, text: &str) -> Result<NameId, DnError> {
        match self.look(text)? {
            Named::Known(id) => Ok(id),
            Named::Other(dn) => Ok(self.add(dn)),
        }
    }

    /// Whether a name turned up before, in this spelling or another one.
    fn look(&self, text: &str) -> Result<Named, DnError> {
        match self.by_text.get(text) {
            Some(id) => Ok(Named::Known(*id)),
            None => Dn::parse(text).map(Named::Other),
        }
    }

    fn known(&self, dn: &Dn) -> Option<NameId> {
        self.by_key.get(dn.key()).copied()
    }

    /// A name in a spelling that did not turn up before.
    fn add(&mut self, dn: Dn) -> NameId {
        let text = dn.shared_text();
        let id = match self.known(&dn) {
            Some(id) => id,
            None => {
                let id = NameId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
                self.by_key.insert(dn.shared_key(), id);
                self.list.push(dn);
                id
            }
        };
        self.by_text.insert(text, id);
        id
    }

    /// The number of a name that turned up before.
    pub fn find(&self, text: &str) -> Option<NameId> {
        match self.look(text).ok()? {
            Named::Known(id) => Some(id),
            Named::Other(dn) => self.known(&dn),
        }
    }

    /// The number of a name; where it has none yet it gets one if it is `wanted`.
    pub fn of_wanted(&mut self, text: &str, wanted: bool) -> Option<NameId> {
        match self.look(text).ok()? {
            Named::Known(id) => Some(id),
            Named::Other(dn) => match self.known(&dn) {
                None if !wanted => None,
                _ => Some(self.add(dn)),
            },
        }
    }

    pub fn dn(&self, id: NameId) -> &Dn {
        &self.list[id.0 as usize]
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        let mut names = Names::default();
        let a = names.of("CN=A\\, B,DC=x").unwrap();
        assert_eq!(names.of("cn=a\\2C b,dc=X").unwrap(), a);
        assert_ne!(names.of("CN=C,DC=x").unwrap(), a);
        assert_eq!(names.len(), 2);
        assert_eq!(names.find("CN=a\\, b, DC=x"), Some(a));
        assert_eq!(names.find("CN=D,DC=x"), None);
        assert_eq!(names.len(), 2);
        assert!(names.of("nonsense").is_err());
    }
}
