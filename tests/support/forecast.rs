//! What a plan promises: the target as it was, with the plan's steps (the JSON that users see) done on paper.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::contents::Contents;
use super::store::Store;

/// Everything that plans write, by id; what a plan is to create is known by its name until it is there.
#[derive(Debug, Clone, Default)]
pub struct Target {
    users: BTreeMap<String, BTreeMap<String, String>>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    name: String,
    description: Option<String>,
    members: BTreeSet<String>,
}

/// Where each attribute of a plan stands in the API's records.
const ATTRIBUTES: [(&str, &str); 7] = [
    ("userName", "/UserName"),
    ("displayName", "/DisplayName"),
    ("name.givenName", "/Name/GivenName"),
    ("name.familyName", "/Name/FamilyName"),
    ("name.middleName", "/Name/MiddleName"),
    ("emails[primary].value", "/Emails/0/Value"),
    ("title", "/Title"),
];

impl Target {
    pub fn read(store: &Store) -> Self {
        let mut target = Self::default();
        for user in store.users() {
            let found = ATTRIBUTES.iter().filter_map(|(name, place)| {
                // moto answers with nulls.
                Some(((*name).to_owned(), user.pointer(place)?.as_str()?.to_owned()))
            });
            target.users.insert(text(&user["UserId"]), found.collect());
        }
        for group in store.groups() {
            let id = text(&group["GroupId"]);
            let list = store.list("ListGroupMemberships", "GroupMemberships", json!({ "GroupId": id }));
            let members = list.iter().map(|m| text(&m["MemberId"]["UserId"])).collect();
            let description = group["Description"].as_str().map(str::to_owned);
            target.groups.insert(id, Group { name: text(&group["DisplayName"]), description, members });
        }
        target
    }

    /// The target after all steps of the plan that are not held.
    pub fn after(mut self, plan: &Value) -> Self {
        for step in plan["steps"].as_array().expect("steps") {
            if step["held"].as_array().is_none_or(Vec::is_empty) {
                self.perform(step);
            }
        }
        self
    }

    fn perform(&mut self, step: &Value) {
        let (object, member) = (&step["object"], &step["member"]);
        match text(&step["action"]).as_str() {
            "create-user" => {
                let attributes = step["attributes"].as_object().expect("attributes");
                let attributes = attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
                let twin = self.users.insert(text(&object["label"]), attributes);
                assert!(twin.is_none(), "planned to be created twice: {step}");
            }
            "update-user" => {
                let user = self.users.get_mut(&key(object)).expect("a user to update");
                for change in step["changes"].as_array().expect("changes") {
                    let name = text(&change["attribute"]);
                    let old = match change["new"].as_str() {
                        Some(new) => user.insert(name, new.to_owned()),
                        None => user.remove(&name),
                    };
                    assert_eq!(old.as_deref(), change["old"].as_str(), "the plan is mistaken: {step}");
                }
            }
            "create-group" => {
                let mut group = Group::default();
                group.describe(&step["afterAttributes"]);
                let twin = self.groups.insert(text(&object["label"]), group);
                assert!(twin.is_none(), "planned to be created twice: {step}");
            }
            "update-group" => self.group(object).describe(&step["afterAttributes"]),
            "add-member" => {
                assert!(self.group(object).members.insert(key(member)), "is a member already: {step}");
            }
            "remove-member" => {
                assert!(self.group(object).members.remove(&key(member)), "is no member: {step}");
            }
            "delete-user" => {
                let label = key(object);
                assert!(self.users.remove(&label).is_some(), "deletes nobody: {step}");
                self.groups.values_mut().for_each(|group| {
                    group.members.remove(&label);
                });
            }
            "delete-group" => {
                assert!(self.groups.remove(&key(object)).is_some(), "deletes no group: {step}");
            }
            // Whether someone can sign in is not part of what is forecast.
            "disable-user" | "enable-user" | "revoke-user" | "restore-user" | "report-user" => {}
            "adopt-user" | "adopt-group" | "rebind-entry" => {}
            other => panic!("an action that nobody knows: {other}"),
        }
    }

    fn group(&mut self, object: &Value) -> &mut Group {
        self.groups.get_mut(&key(object)).unwrap_or_else(|| panic!("no such group: {object}"))
    }

    /// The attributes of the user of this name.
    #[track_caller]
    pub fn user(&self, name: &str) -> &BTreeMap<String, String> {
        let mut all = self.users.values().filter(|user| user["userName"] == name);
        let user = all.next().unwrap_or_else(|| panic!("there is no user {name:?}"));
        assert!(all.next().is_none(), "there are two users {name:?}");
        user
    }

    /// The id of the user of this name.
    #[track_caller]
    pub fn id(&self, name: &str) -> String {
        let found = self.users.iter().find(|(_, user)| user["userName"] == name);
        found.unwrap_or_else(|| panic!("there is no user {name:?}")).0.clone()
    }

    /// Names only, to be compared with what the directory says.
    pub fn contents(&self) -> Contents {
        let name = |id: &String| self.users.get(id).expect("a member is a user")["userName"].clone();
        Contents {
            users: self.users.keys().map(name).collect(),
            groups: self.groups.values().map(|group| group.name.clone()).collect(),
            members: (self.groups.values())
                .map(|group| (group.name.clone(), group.members.iter().map(name).collect()))
                .collect(),
        }
    }

    /// Panics unless `found` is the same in every name, attribute and membership.
    #[track_caller]
    pub fn assert_same(&self, found: &Self) {
        self.contents().assert_same(&found.contents());
        for (what, planned, found) in [
            ("users", self.users_by_name(), found.users_by_name()),
            ("groups", self.groups_by_name(), found.groups_by_name()),
        ] {
            let wrong: Vec<_> =
                planned.iter().filter(|(name, value)| found.get(*name) != Some(*value)).collect();
            let are: Vec<_> = wrong.iter().map(|(name, _)| found.get(*name)).collect();
            assert!(wrong.is_empty(), "{what} are not as planned: {wrong:#?}\nbut {are:#?}");
        }
    }

    fn users_by_name(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.users.values().map(|user| (user["userName"].clone(), user.clone())).collect()
    }

    fn groups_by_name(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let description =
            |group: &Group| group.description.iter().map(|d| ("description".to_owned(), d.clone())).collect();
        self.groups.values().map(|group| (group.name.clone(), description(group))).collect()
    }
}

impl Group {
    fn describe(&mut self, attributes: &Value) {
        self.name = text(&attributes["displayName"]);
        self.description = attributes["description"].as_str().map(str::to_owned);
    }
}

/// The id of an object of a plan; its name where it is to be created.
fn key(object: &Value) -> String {
    text(if object["targetId"].is_null() { &object["label"] } else { &object["targetId"] })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}
