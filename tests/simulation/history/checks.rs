//! What has to hold after each cycle.

use std::collections::{BTreeMap, BTreeSet};

use idcsync::ids::{LinkNo, TargetId};
use idcsync::model::{Code, Finding, Origin};
use idcsync::run::Done;

use super::super::company::{Account, Company, Guid};
use super::super::judge::{Laws, Written};
use super::super::store::{Contents, group_guid, user_guid};
use super::History;
use super::process::Line;

impl History {
    /// Nothing was done that was not planned, and what a dry run shows is what is planned.
    pub(super) fn check_plan(&mut self, foreseen: Option<String>) {
        if let (Some(foreseen), Some(planned)) = (foreseen, self.plans.ids.first())
            && foreseen != *planned
        {
            self.hub.accuse(format!("the dry run planned {foreseen}, the cycle {planned}"));
        }
        let writes = self.judge.laws().writes.clone();
        self.account.writes += writes.len() as u64;
        for written in &writes {
            if !self.plans.runnable.iter().any(|(word, object, member)| is_of(written, word, object, member))
            {
                self.hub.accuse(format!("{written:?} was not planned"));
            }
        }
    }

    /// The journal has an intent for each write that had its effect.
    pub(super) fn check_journal(&mut self) {
        let seen = self.seen;
        let news = self.with_state(async |state, now| {
            let links = state.load(now).await.expect("load").links;
            let anchor = |no: LinkNo| links.get(&no).map(|l| l.anchor.to_string());
            let adopted: Vec<TargetId> = links
                .values()
                .filter(|l| l.origin == Origin::Adopted)
                .filter_map(|l| l.target_id.clone())
                .collect();
            let mut lines = Vec::new();
            let mut last = seen;
            for cycle in state.cycles(8).await.expect("cycles") {
                if seen.is_some_and(|seen| cycle.id.0 <= seen.0) {
                    continue;
                }
                last = last.max(Some(cycle.id));
                for entry in state.steps(cycle.id).await.expect("steps") {
                    let member = entry.intent.member.and_then(anchor);
                    lines.push((entry.intent.action, anchor(entry.intent.link), member));
                }
            }
            (lines, last, adopted)
        });
        let (lines, last, adopted) = news;
        self.seen = last;
        for id in adopted {
            if id.as_str().starts_with("other-") && !self.judge.laws().adopted.contains_key(&id) {
                self.hub.accuse(format!("{id} was adopted, and nobody approved it"));
            }
        }
        let writes = self.judge.laws().writes.clone();
        for written in &writes {
            let known = lines.iter().any(|(word, object, member)| is_of(written, word, object, member));
            if !known {
                self.hub.accuse(format!("the journal knows nothing of {written:?}"));
            }
        }
    }

    /// Whatever the limits, no group of three or more is emptied without an approval.
    pub(super) fn check_emptied(&mut self) {
        let mut moments = std::mem::take(&mut self.plans.contents);
        moments.push(self.store.contents());
        for pair in moments.windows(2) {
            self.check_emptied_between(&pair[0], &pair[1]);
        }
    }

    fn check_emptied_between(&self, before: &Contents, now: &Contents) {
        let swept = self.judge.laws().paused_since.is_some();
        let approved = self.approved_until >= self.hub.true_now();
        let known = |id: &&TargetId| now.groups.contains_key(*id) && !self.robbed.contains(*id);
        for id in before.groups.keys().filter(known) {
            let had = before.members(id);
            // Those who are gone from the store took their memberships along.
            let deleted = had.iter().any(|user| !now.users.contains_key(user));
            if had.len() >= 3 && now.members(id).is_empty() && !deleted && !swept && !approved {
                self.hub.accuse(format!("{id} was emptied of its {} members without an approval", had.len()));
            }
        }
    }

    /// In fair weather nobody keeps what is not theirs: it is taken, or held, or, for a cycle, waited with in the open.
    pub(super) fn check_leavers(&mut self, done: &Done) {
        let (company, contents) = (self.hub.company(), self.store.contents());
        let mut lingering = BTreeMap::new();
        // Nothing is taken away through an entry of which it is not certain what it means; that is said, and held.
        let certain = !done.report.findings.iter().any(|f| f.code.name().starts_with("ScopeEntry"));
        let held = done.report.outcome.held > 0;
        let withheld = |f: &Finding| f.code == Code::RemovalWithheld;
        let smuggled: BTreeSet<_> = self
            .smuggled
            .iter()
            .filter_map(|(group, user)| {
                let group = contents.groups.get(group).and_then(group_guid)?;
                Some((group.to_owned(), user_guid(contents.users.get(user)?)?.to_owned()))
            })
            .collect();
        for (group, user) in surplus(&contents, &company, &self.judge.laws(), certain) {
            if smuggled.contains(&(group.clone(), user.clone())) {
                continue;
            }
            let line: Line = ("remove-member", Some(group.clone()), Some(user.clone()));
            if self.plans.held.contains(&line) {
                continue;
            }
            let shown = done.report.findings.iter().any(withheld)
                || is_shown(&done.report.findings, &company, &group)
                || is_shown(&done.report.findings, &company, &user);
            // What waits for an approval may hold more back, until the cycle after it was given.
            let waits = held || self.held_before || done.report.findings.iter().any(withheld);
            let before = self.lingering.get(&(group.clone(), user.clone())).copied().unwrap_or(0);
            let count = if waits { 0 } else { before + 1 };
            if !shown || count > 2 {
                self.hub.accuse(format!(
                    "{user} is in {group} after a cycle in fair weather, the {count}. in a row, shown: {shown}; \
                     findings: {:?}",
                    done.report.findings.iter().map(|f| (f.code, &f.subject.label)).collect::<Vec<_>>()
                ));
            }
            lingering.insert((group, user), count);
        }
        self.lingering = lingering;
        self.held_before = held;
    }
}

/// What was adopted bears no GUID before its first update, and a stranger none at all.
fn is_of(written: &Written, word: &str, object: &Option<String>, member: &Option<String>) -> bool {
    written.words.contains(&word)
        && (written.object.is_none() || written.object == *object)
        && (written.member.is_none() || written.member == *member || word == "create-group")
}

/// Memberships in groups of ours that the directory does not say: group and user by GUID.
pub(super) fn surplus(
    contents: &Contents,
    company: &Company,
    laws: &Laws,
    certain: bool,
) -> Vec<(String, String)> {
    let least = laws.groups_in_scope(company, true);
    let most = laws.groups_in_scope(company, false);
    let containers = laws.containers(company, false);
    let people = laws.people_in_scope(company, false);
    let mut found = Vec::new();
    for (id, group) in &contents.groups {
        let Some(text) = laws.group_guid(id, group) else { continue };
        let of = Guid(uuid::Uuid::parse_str(text).unwrap().to_bytes_le());
        for member in contents.members(id) {
            let Some(text_of_user) = contents.users.get(&member).and_then(user_guid) else { continue };
            let Ok(uuid) = uuid::Uuid::parse_str(text_of_user) else { continue };
            let person = Guid(uuid.to_bytes_le());
            let enabled = company.people.get(&person).is_some_and(|p| p.account == Account::Enabled);
            // Of a group whose entry may be understood in two ways, the kinder one counts here.
            let rightly = if least.contains(&of) && !containers.contains(&of) {
                company.members(of, laws.nested).contains(&person)
            } else if most.contains(&of) && !containers.contains(&of) {
                true
            } else {
                // Frozen, or a container: whoever is in scope stays.
                people.contains(&person) || !certain
            };
            if !enabled || !rightly {
                found.push((text.to_owned(), text_of_user.to_owned()));
            }
        }
    }
    found
}

/// Whether a finding is about this object: by its SID, or its GUID.
fn is_shown(findings: &[Finding], company: &Company, guid: &str) -> bool {
    let Ok(uuid) = uuid::Uuid::parse_str(guid) else { return false };
    let of = Guid(uuid.to_bytes_le());
    let number = company.people.get(&of).map(|p| p.number).or(company.groups.get(&of).map(|g| g.number));
    let sid = number.map(|number| format!("S-1-5-21-1-2-3-{}", 1000 + number));
    findings.iter().any(|f| f.subject.id == guid || sid.as_ref() == Some(&f.subject.id))
}
