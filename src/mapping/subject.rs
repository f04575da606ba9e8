//! How findings of this room name an object: by its SID or anchor, and by what its DN calls it.

use crate::ids::{Anchor, Dn, Sid};
use crate::model::{Kind, Subject};

pub(super) fn of(kind: Kind, anchor: Anchor, sid: Option<&Sid>, dn: &Dn) -> Subject {
    let id = sid.map_or_else(|| anchor.to_string(), ToString::to_string);
    Subject { kind: Some(kind), id, label: dn.leaf() }
}
