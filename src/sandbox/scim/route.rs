//! From method and path to an operation.

use bytes::Bytes;

use super::error::ScimError;
use super::operation::ScimOperation;

/// A request to the SCIM endpoint, of which only this much matters.
#[derive(Debug, Clone, Default)]
pub struct ScimRequest {
    pub method: String,
    /// The whole path: `/TENANT/scim/v2/Users`.
    pub path: String,
    /// What stands after the question mark, still encoded.
    pub query: Option<String>,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    pub body: Bytes,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub operation: ScimOperation,
    /// The id in the path, or the empty string where there is none.
    pub id: String,
}

/// Whether the SCIM endpoint has to answer for this path, be it only with an error.
pub fn is_scim_path(path: &str) -> bool {
    split(path).is_some()
}

/// The tenant and what follows the base.
fn split(path: &str) -> Option<(&str, &str)> {
    let (tenant, rest) = path.strip_prefix('/')?.split_once("/scim/v2")?;
    let plain = !tenant.is_empty() && !tenant.contains('/') && (rest.is_empty() || rest.starts_with('/'));
    plain.then_some((tenant, rest))
}

/// The tenant that the path names.
pub fn tenant(path: &str) -> Option<&str> {
    split(path).map(|(tenant, _)| tenant)
}

/// The operation, or the refusal of what does not exist: `/Bulk`, `/Me`, `/.search`, PUT on a group.
pub fn route(request: &ScimRequest) -> Result<Route, ScimError> {
    use ScimOperation as O;
    let (_, rest) = split(&request.path).ok_or_else(|| ScimError::not_found("endpoint"))?;
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let (kind, id) = rest.split_once('/').map_or((rest, None), |(kind, id)| (kind, Some(id)));
    // `Users/` is neither the list nor one user.
    let one = id.filter(|id| !id.is_empty() && !id.contains('/') && !id.starts_with('.'));
    if id.is_some() && one.is_none() {
        return Err(ScimError::not_found("endpoint"));
    }
    let operation = match (kind, one.is_some(), request.method.as_str()) {
        ("Users", false, "POST") => O::CreateUser,
        ("Users", false, "GET") => O::ListUsers,
        ("Users", true, "GET") => O::GetUser,
        ("Users", true, "PATCH") => O::PatchUser,
        ("Users", true, "PUT") => O::PutUser,
        ("Users", true, "DELETE") => O::DeleteUser,
        ("Groups", false, "POST") => O::CreateGroup,
        ("Groups", false, "GET") => O::ListGroups,
        ("Groups", true, "GET") => O::GetGroup,
        ("Groups", true, "PATCH") => O::PatchGroup,
        ("Groups", true, "DELETE") => O::DeleteGroup,
        ("ServiceProviderConfig", false, "GET") => O::ServiceProviderConfig,
        ("Schemas", false, "GET") => O::ListSchemas,
        ("Schemas", true, "GET") => O::GetSchema,
        ("ResourceTypes", false, "GET") => O::ListResourceTypes,
        ("Users" | "Groups" | "Schemas", _, _) | ("ServiceProviderConfig" | "ResourceTypes", false, _) => {
            return Err(ScimError::method_not_allowed());
        }
        _ => return Err(ScimError::not_found("endpoint")),
    };
    Ok(Route { operation, id: one.unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(method: &str, path: &str) -> Result<(&'static str, String), u16> {
        let request = ScimRequest {
            method: method.into(),
            path: format!("/t/scim/v2{path}"),
            ..ScimRequest::default()
        };
        route(&request).map(|r| (r.operation.name(), r.id)).map_err(|e| e.status)
    }

    #[test]
    fn each_operation_has_its_place() {
        for (method, path, name, id) in [
            ("POST", "/Users", "scim:CreateUser", ""),
            ("GET", "/Users", "scim:ListUsers", ""),
            ("PUT", "/Users/u-1", "scim:PutUser", "u-1"),
            ("PATCH", "/Groups/g-1", "scim:PatchGroup", "g-1"),
            ("GET", "/ServiceProviderConfig", "scim:ServiceProviderConfig", ""),
            ("GET", "/Schemas/urn:x", "scim:GetSchema", "urn:x"),
        ] {
            assert_eq!(to(method, path), Ok((name, id.to_owned())), "{method} {path}");
        }
    }

    #[test]
    fn what_aws_does_not_have_is_refused() {
        for (method, path, status) in [
            ("PUT", "/Groups/g-1", 405),
            ("DELETE", "/Users", 405),
            ("POST", "/Bulk", 404),
            ("GET", "/Me", 404),
            ("POST", "/.search", 404),
            ("POST", "/Users/.search", 404),
            ("GET", "/Users/", 404),
            ("GET", "//Users", 404),
            ("GET", "/users", 404),
            ("GET", "/Users/a/b", 404),
            ("GET", "", 404),
        ] {
            assert_eq!(to(method, path), Err(status), "{method} {path}");
        }
    }

    #[test]
    fn other_paths_are_not_of_this_endpoint() {
        assert_eq!(tenant("/t/scim/v2/Users"), Some("t"));
        for path in ["/", "/scim/v2/Users", "/t/scim/v3/Users", "/t/scim/v2x/Users", "/a/b/scim/v2/Users"] {
            assert!(!is_scim_path(path), "{path}");
        }
    }
}
