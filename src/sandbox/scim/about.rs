//! What the endpoint says about itself.

use serde_json::{Value, json};

use super::ScimPaging;
use super::list::OLDER_MAX;
use super::query::COUNT_MAX;
use super::{group, user};

pub fn service_provider_config(paging: ScimPaging) -> Value {
    let most = match paging {
        ScimPaging::Cursor => COUNT_MAX,
        ScimPaging::Older => OLDER_MAX,
    };
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "OAuth Bearer Token",
            "description": "Authentication scheme using the OAuth Bearer Token Standard",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 1, "maxPayloadSize": 1_048_576},
        "filter": {"supported": true, "maxResults": most},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": false},
    })
}

pub fn resource_types() -> Value {
    let resource_type = |name: &str, schema: &str, extensions: Value| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name,
            "name": name,
            "endpoint": format!("/{name}s"),
            "schema": schema,
            "schemaExtensions": extensions,
        })
    };
    list(vec![
        resource_type("User", user::CORE, json!([{"schema": user::ENTERPRISE, "required": false}])),
        resource_type("Group", group::CORE, json!([])),
    ])
}

pub fn schemas() -> Value {
    list(vec![user_schema(), enterprise_schema(), group_schema()])
}

/// The schema with this id.
pub fn schema(id: &str) -> Option<Value> {
    [user_schema(), enterprise_schema(), group_schema()].into_iter().find(|schema| schema["id"] == id)
}

fn list(resources: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": resources.len(),
        "itemsPerPage": resources.len(),
        "startIndex": 1,
        "Resources": resources,
    })
}

fn schema_of(id: &str, name: &str, attributes: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id,
        "name": name,
        "attributes": attributes,
    })
}

fn attribute(name: &str, kind: &str, required: bool) -> Value {
    json!({
        "name": name,
        "type": kind,
        "multiValued": false,
        "required": required,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    })
}

fn text(name: &str) -> Value {
    attribute(name, "string", false)
}

fn complex(name: &str, many: bool, required: bool, parts: &[Value]) -> Value {
    let mut complex = attribute(name, "complex", required);
    complex["multiValued"] = json!(many);
    complex["subAttributes"] = json!(parts);
    complex
}

fn entries(name: &str) -> Value {
    complex(name, true, false, &[text("value"), text("type"), attribute("primary", "boolean", false)])
}

fn user_schema() -> Value {
    let names = ["formatted", "middleName", "honorificPrefix", "honorificSuffix"].map(text);
    let required = ["familyName", "givenName"].map(|name| attribute(name, "string", true));
    let places =
        ["formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"].map(text);
    let mut attributes = vec![
        attribute("userName", "string", true),
        complex("name", false, true, &[&required[..], &names[..]].concat()),
        attribute("displayName", "string", true),
    ];
    let plain = ["nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone"];
    attributes.extend(plain.map(text));
    attributes.push(attribute("active", "boolean", false));
    attributes.extend(["emails", "phoneNumbers", "roles"].map(entries));
    let primary = attribute("primary", "boolean", false);
    attributes.push(complex("addresses", true, false, &[&places[..], &[primary]].concat()));
    attributes[0]["uniqueness"] = json!("server");
    schema_of(user::CORE, "User", attributes)
}

fn enterprise_schema() -> Value {
    let mut attributes: Vec<_> =
        ["employeeNumber", "costCenter", "organization", "division", "department"].map(text).into();
    attributes.push(complex("manager", false, false, &[text("value"), text("$ref")]));
    schema_of(user::ENTERPRISE, "EnterpriseUser", attributes)
}

fn group_schema() -> Value {
    let mut name = attribute("displayName", "string", true);
    name["uniqueness"] = json!("server");
    let members = complex("members", true, false, &[text("value"), text("$ref"), text("type")]);
    schema_of(group::CORE, "Group", vec![name, members])
}
