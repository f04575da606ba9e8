//! The administrator, who changes the config, pauses and approves, and other hands, which change the target.

use idcsync::ids::TargetId;
use idcsync::model::UserAttribute;
use idcsync::run::{begin_pause, end_pause};
use jiff::SignedDuration;

use super::History;

impl History {
    pub(super) fn administer(&mut self) {
        let company = self.hub.company();
        match self.chance.below(12) {
            0 => {
                let names: Vec<String> = company.groups.values().map(|g| g.name.clone()).collect();
                let name = self.chance.pick(&names).unwrap();
                if !self.settings.groups.contains(&name) {
                    self.hub.say(|| format!("scope: with {name}"));
                    self.settings.groups.push(name);
                }
            }
            1 if self.settings.groups.len() > 1 => {
                let at = self.chance.below(self.settings.groups.len());
                let name = self.settings.groups.remove(at);
                self.hub.say(|| format!("scope: without {name}"));
            }
            2 => {
                let names: Vec<String> = company.people.values().map(|p| p.name.clone()).collect();
                if self.settings.users.pop().is_none() {
                    self.settings.users.extend(self.chance.pick(&names));
                }
                self.hub.say(|| format!("scope: users {:?}", self.settings.users));
            }
            3 => {
                self.settings.disable_days = [7, 28][self.chance.below(2)];
                self.hub.say(|| format!("disable-after {}d", self.settings.disable_days));
            }
            4 => self.pause_or_resume(),
            5 | 6 if self.clear_before => self.approve(),
            _ => self.meddle(),
        }
        self.obey();
    }

    /// An entry of the scope is written from now on, or not any more; or a container comes into it.
    pub(super) fn change_container(&mut self) {
        let company = self.hub.company();
        let names: Vec<String> = company.groups.values().map(|g| g.name.clone()).collect();
        let from = if self.later.one_in(2) { &names } else { &self.settings.groups };
        let Some(name) = self.later.pick(from) else { return };
        let settings = &mut self.settings;
        if !settings.groups.contains(&name) {
            settings.groups.push(name.clone());
            settings.containers.insert(name.clone());
        } else if !settings.containers.remove(&name) {
            settings.containers.insert(name.clone());
        }
        let write = !settings.containers.contains(&name);
        self.hub.say(|| format!("scope: {name}, write = {write}"));
        self.obey();
    }

    fn meddle(&mut self) {
        let contents = self.store.contents();
        let ours = |id: &&TargetId| !id.as_str().starts_with("other-");
        let users: Vec<TargetId> = contents.users.keys().filter(ours).cloned().collect();
        let groups: Vec<TargetId> = contents.groups.keys().filter(ours).cloned().collect();
        let (Some(user), Some(group)) = (self.chance.pick(&users), self.chance.pick(&groups)) else { return };
        let hand = self.chance.below(5);
        self.hub.say(|| format!("others: hand {hand} at {user}, {group}"));
        if hand == 3 {
            self.smuggled.insert((group.clone(), user.clone()));
        } else if hand == 2 {
            self.robbed.insert(group.clone());
        } else if hand == 0 {
            let in_it = |id: &&TargetId| contents.members(id).contains(&user);
            self.robbed.extend(groups.iter().filter(in_it).cloned());
        }
        self.store.meddle(|contents| match hand {
            0 => contents.delete(&user),
            1 => contents.delete(&group),
            2 => {
                contents.groups.get_mut(&group).unwrap().members.get_or_insert_default().remove(&user);
            }
            3 => {
                contents.groups.get_mut(&group).unwrap().members.get_or_insert_default().insert(user.clone());
            }
            _ => {
                let user = contents.users.get_mut(&user).unwrap();
                user.attributes.insert(UserAttribute::Title, "changed by hand".to_owned());
            }
        });
    }

    pub(super) fn pause_or_resume(&mut self) {
        let paused = self.judge.laws().paused_since;
        self.hub.say(|| format!("pause or resume, paused since {paused:?}"));
        self.with_state(async |state, now| match paused {
            None => {
                begin_pause(state, Some("holidays".to_owned()), None, None, now).await.expect("pause");
            }
            Some(_) => {
                end_pause(state, now).await.expect("resume");
            }
        });
        self.judge.laws().paused_since = if paused.is_none() { Some(self.hub.true_now()) } else { None };
    }

    /// Everything that waits is approved by somebody who has looked at it.
    pub(super) fn approve(&mut self) {
        let approved = self.with_state(async |state, now| {
            let Some(plan) = state.latest_held().await.expect("what is held") else { return Vec::new() };
            let fingerprints: Vec<_> = plan.steps.iter().map(|(f, _)| f.clone()).collect();
            let until = now.checked_add(SignedDuration::from_hours(72)).unwrap();
            state.approve(&plan.plan, &fingerprints, "admin", now, until).await.expect("approve");
            plan.steps
        });
        self.hub.say(|| format!("{} steps are approved", approved.len()));
        if !approved.is_empty() {
            self.approved_until = self.hub.true_now().saturating_add(SignedDuration::from_hours(72)).unwrap();
        }
        let mut laws = self.judge.laws();
        for (_, step) in approved {
            if step["action"].as_str().is_some_and(|a| a.starts_with("adopt-")) {
                let id = step["object"]["targetId"].as_str().expect("the id of what is adopted");
                let anchor = step["object"]["anchor"].as_str().expect("for whom it is adopted");
                laws.adopted.insert(TargetId::new(id), anchor.to_owned());
            }
        }
    }
}
