//! Filters: `attribute eq "value"`, and of two of them only the pair that AWS lists.
//!
//! Source: IAM Identity Center SCIM Implementation Developer Guide, ListUsers and ListGroups, "Supported filter
//! combinations".

use serde_json::Value;

use super::error::ScimError;

/// Which users are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserFilter {
    All,
    UserName(String),
    ExternalId(String),
    /// The id of a group.
    MemberOf(String),
    Id(String),
    Manager(String),
    IdAndManager(String, String),
}

/// Which groups are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupFilter {
    All,
    DisplayName(String),
    ExternalId(String),
    /// The id of a user.
    WithMember(String),
    Id(String),
    IdAndMember(String, String),
}

pub fn users(filter: Option<&str>) -> Result<UserFilter, ScimError> {
    let Some(text) = filter else { return Ok(UserFilter::All) };
    Ok(match <[_; 2]>::try_from(terms(text)?) {
        Ok([("id", id), ("manager", manager)] | [("manager", manager), ("id", id)]) => {
            UserFilter::IdAndManager(id, manager)
        }
        Ok(_) => return Err(unsupported(text)),
        Err(mut terms) => match (terms.pop(), terms.is_empty()) {
            (Some(("userName", name)), true) => UserFilter::UserName(name),
            (Some(("externalId", id)), true) => UserFilter::ExternalId(id),
            (Some(("groups.value", group)), true) => UserFilter::MemberOf(group),
            (Some(("id", id)), true) => UserFilter::Id(id),
            (Some(("manager", manager)), true) => UserFilter::Manager(manager),
            _ => return Err(unsupported(text)),
        },
    })
}

pub fn groups(filter: Option<&str>) -> Result<GroupFilter, ScimError> {
    let Some(text) = filter else { return Ok(GroupFilter::All) };
    Ok(match <[_; 2]>::try_from(terms(text)?) {
        Ok([("id", id), ("member" | "members", member)] | [("member" | "members", member), ("id", id)]) => {
            GroupFilter::IdAndMember(id, member)
        }
        Ok(_) => return Err(unsupported(text)),
        Err(mut terms) => match (terms.pop(), terms.is_empty()) {
            (Some(("displayName", name)), true) => GroupFilter::DisplayName(name),
            (Some(("externalId", id)), true) => GroupFilter::ExternalId(id),
            (Some(("members.value" | "members" | "member", user)), true) => GroupFilter::WithMember(user),
            (Some(("id", id)), true) => GroupFilter::Id(id),
            _ => return Err(unsupported(text)),
        },
    })
}

fn unsupported(text: &str) -> ScimError {
    ScimError::invalid(format!("the filter {text:?} is not supported"))
}

/// `a eq "x" and b eq "y"` → `[("a", "x"), ("b", "y")]`
fn terms(text: &str) -> Result<Vec<(&str, String)>, ScimError> {
    let (mut terms, mut rest) = (Vec::new(), text);
    loop {
        let (term, after) = term(rest).ok_or_else(|| unsupported(text))?;
        terms.push(term);
        match after.strip_prefix(" and ") {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(terms),
            None => return Err(unsupported(text)),
        }
    }
}

fn term(text: &str) -> Option<((&str, String), &str)> {
    match comparison(text)? {
        ((name, Value::String(value)), rest) => Some(((name, value), rest)),
        _ => None,
    }
}

/// `attribute eq VALUE`, and what stands after it. The value is one of JSON (RFC 7644, section 3.4.2.2).
pub fn comparison(text: &str) -> Option<((&str, Value), &str)> {
    let (name, after) = text.split_once(' ')?;
    let value = after.strip_prefix("eq ").filter(|value| !value.starts_with(' '))?;
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    let parsed = values.next()?.ok()?;
    Some(((name, parsed), value.get(values.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_combinations_are_understood() {
        let user = |text: &str| users(Some(text)).unwrap();
        assert_eq!(user("userName eq \"a\\\"b\""), UserFilter::UserName("a\"b".into()));
        assert_eq!(user("externalId eq \"x y\""), UserFilter::ExternalId("x y".into()));
        assert_eq!(user("groups.value eq \"g\""), UserFilter::MemberOf("g".into()));
        let both = UserFilter::IdAndManager("i".into(), "m".into());
        assert_eq!(user("id eq \"i\" and manager eq \"m\""), both);
        assert_eq!(user("manager eq \"m\" and id eq \"i\""), both);
        assert_eq!(users(None).unwrap(), UserFilter::All);
        let group = |text: &str| groups(Some(text)).unwrap();
        assert_eq!(group("displayName eq \"A and B\""), GroupFilter::DisplayName("A and B".into()));
        assert_eq!(group("members.value eq \"u\""), GroupFilter::WithMember("u".into()));
        assert_eq!(
            group("id eq \"g\" and member eq \"u\""),
            GroupFilter::IdAndMember("g".into(), "u".into())
        );
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "",
            "userName",
            "userName co \"a\"",
            "userName eq a",
            "userName eq true",
            "userName eq \"a",
            "userName eq \"a\" or id eq \"b\"",
            "userName eq \"a\" and id eq \"b\"",
            "id eq \"a\" and manager eq \"b\" and id eq \"c\"",
            "(userName eq \"a\")",
            "not (userName eq \"a\")",
            "emails.value eq \"a\"",
            "displayName eq \"a\"",
            "userName eq \"a\" ",
        ] {
            assert_eq!(users(Some(text)).map_err(|e| e.status), Err(400), "{text}");
        }
        for text in ["userName eq \"a\"", "displayName sw \"a\"", "displayName eq \"a\" and id eq \"b\""] {
            assert_eq!(groups(Some(text)).map_err(|e| e.status), Err(400), "{text}");
        }
    }
}
