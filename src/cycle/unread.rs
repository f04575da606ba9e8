//! Findings about objects that a read which was cut short did not come to: nobody can say that they are mended.

use std::collections::BTreeSet;

use crate::model::{Finding, Snapshot};

/// What identifies the objects that were read, as findings name them.
#[derive(Debug)]
pub struct ReadIds(BTreeSet<String>);

impl ReadIds {
    pub fn of(snapshot: &Snapshot) -> Self {
        let users = snapshot.users.iter().map(|u| (u.sid.as_ref(), u.anchor));
        let groups = snapshot.groups.iter().map(|g| (g.sid.as_ref(), g.anchor));
        let id = |(sid, anchor): (Option<&crate::ids::Sid>, crate::ids::Anchor)| {
            sid.map_or_else(|| anchor.to_string(), ToString::to_string)
        };
        Self(users.chain(groups).map(id).collect())
    }

    /// The findings of this cycle, and of those that stood before it the ones about objects that it did not read.
    pub fn with_those_of_unread_objects(
        &self,
        mut findings: Vec<Finding>,
        standing: impl Iterator<Item = Finding>,
    ) -> Vec<Finding> {
        let now: BTreeSet<_> = findings.iter().map(|f| (f.code, f.subject.id.clone())).collect();
        findings.extend(standing.filter(|f| {
            f.subject.kind.is_some()
                && !self.0.contains(&f.subject.id)
                && !now.contains(&(f.code, f.subject.id.clone()))
        }));
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Code, Kind, Subject};

    fn finding(code: Code, kind: Option<Kind>, id: &str) -> Finding {
        Finding::new(code, Subject { kind, id: id.to_owned(), label: id.to_owned() }, "…")
    }

    #[test]
    fn what_was_not_read_is_not_mended() {
        let read = ReadIds(BTreeSet::from(["S-1".to_owned()]));
        let user = Some(Kind::User);
        let now = vec![finding(Code::MappingFailed, user, "S-3")];
        let standing = [
            finding(Code::EmailMissing, user, "S-1"),
            finding(Code::EmailMissing, user, "S-2"),
            finding(Code::MappingFailed, user, "S-3"),
            finding(Code::DirectoryUnavailable, None, "corp"),
        ];
        let all = read.with_those_of_unread_objects(now, standing.into_iter());
        let ids: Vec<_> = all.iter().map(|f| (f.code, f.subject.id.as_str())).collect();
        assert_eq!(ids, [(Code::MappingFailed, "S-3"), (Code::EmailMissing, "S-2")]);
    }
}
