//! Every key of the file, and which table it belongs to.

use std::collections::BTreeSet;

use crate::model::{GroupAttribute, UserAttribute};

/// The keys of one table.
pub(super) struct Shape {
    /// Dotted, without what is an element of an array; empty for the file itself.
    pub path: &'static str,
    pub keys: &'static [&'static str],
}

impl Shape {
    pub fn has(&self, name: &str) -> bool {
        self.keys.contains(&name)
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().copied()
    }

    /// The two keys by which a secret is found, where the table has them.
    pub fn secret(&self) -> Option<(&'static str, &'static str)> {
        self.names().find_map(|file| {
            let stem = file.strip_suffix("-file")?;
            let env = self.names().find(|n| n.strip_suffix("-env") == Some(stem))?;
            Some((file, env))
        })
    }

    /// How a message calls the table.
    pub fn title(&self) -> String {
        match self.path {
            "" => "the file".to_owned(),
            path @ ("directory" | "scope" | "mapping" | "target" | "lifecycle" | "guard" | "schedule"
            | "state" | "service" | "metrics" | "log") => format!("[{path}]"),
            "mapping.jmespath" => "the table of a mapping".to_owned(),
            path => format!("`{path}`"),
        }
    }
}

pub(super) const ROOT: Shape = Shape {
    path: "",
    keys: &[
        "profile",
        "directory",
        "scope",
        "mapping",
        "target",
        "lifecycle",
        "guard",
        "schedule",
        "state",
        "service",
        "metrics",
        "log",
    ],
};

pub(super) const DIRECTORY: Shape = Shape {
    path: "directory",
    keys: &[
        "kind",
        "urls",
        "discover",
        "base-dn",
        "bind",
        "tls",
        "allow-plaintext",
        "page-size",
        "timeout",
        "file",
        "schema",
    ],
};

pub(super) const BIND: Shape =
    Shape { path: "directory.bind", keys: &["dn", "password-file", "password-env", "external"] };

pub(super) const EXTERNAL: Shape =
    Shape { path: "directory.bind.external", keys: &["cert-file", "key-file"] };

pub(super) const TLS: Shape = Shape { path: "directory.tls", keys: &["ca-file", "starttls"] };

pub(super) const SCOPE: Shape = Shape {
    path: "scope",
    keys: &[
        "groups",
        "users",
        "nested-groups",
        "user-filter",
        "primary-group",
        "include-distribution-groups",
    ],
};

pub(super) const SCOPE_GROUP: Shape = Shape { path: "scope.groups", keys: &["group", "write"] };

pub(super) const MAPPING: Shape = Shape { path: "mapping", keys: &["user", "group"] };

/// The right-hand side of a mapping that is not a template.
pub(super) const EXPRESSION: Shape = Shape { path: "mapping.jmespath", keys: &["jmespath"] };

pub(super) const TARGET: Shape = Shape {
    path: "target",
    keys: &[
        "kind",
        "identity-store-id",
        "region",
        "endpoint-url",
        "requests-per-second",
        "scim",
        "adopt",
        "protect",
        "assignments",
        "max-apply",
        "store",
        "request-log",
    ],
};

pub(super) const LIFECYCLE: Shape = Shape {
    path: "lifecycle",
    keys: &[
        "disable-after",
        "on-directory-delete",
        "delete-after",
        "delete-on-absence",
        "trust-change-log",
        "on-directory-disable",
        "disable-method",
        "on-group-out-of-scope",
    ],
};

pub(super) const SCIM: Shape =
    Shape { path: "target.scim", keys: &["url", "token-file", "token-env", "token-expires", "remove-form"] };

pub(super) const GUARD: Shape = Shape {
    path: "guard",
    keys: &["max-deletes", "max-disables", "max-removals", "max-renames", "max-growth", "max-percent"],
};

pub(super) const SCHEDULE: Shape = Shape {
    path: "schedule",
    keys: &["cron", "timezone", "jitter", "drift-check", "full-read-every", "follow"],
};

pub(super) const STATE: Shape =
    Shape { path: "state", keys: &["url", "password-file", "password-env", "keep-history"] };

pub(super) const SERVICE: Shape =
    Shape { path: "service", keys: &["listen", "token-file", "token-env", "grace"] };

pub(super) const METRICS: Shape = Shape { path: "metrics", keys: &["textfile"] };

pub(super) const LOG: Shape = Shape { path: "log", keys: &["format", "error-log"] };

/// Every table with a fixed set of keys. Those of `[mapping.user]` are `UserAttribute::ALL`.
pub(super) const ALL: &[&Shape] = &[
    &ROOT,
    &DIRECTORY,
    &BIND,
    &EXTERNAL,
    &TLS,
    &SCOPE,
    &SCOPE_GROUP,
    &MAPPING,
    &EXPRESSION,
    &TARGET,
    &LIFECYCLE,
    &SCIM,
    &GUARD,
    &SCHEDULE,
    &STATE,
    &SERVICE,
    &METRICS,
    &LOG,
];

/// Dotted paths of all keys that a config file may have; the names of attributes in quotes, as they stand there.
pub fn all_keys() -> BTreeSet<String> {
    let shapes = ALL.iter().filter(|shape| shape.path != EXPRESSION.path);
    let fixed = shapes.flat_map(|shape| shape.names().map(|key| format!("{}.{key}", shape.path)));
    let users = UserAttribute::ALL.iter().map(|a| format!("mapping.user.\"{a}\""));
    let groups = GroupAttribute::ALL.iter().map(|a| format!("mapping.group.\"{a}\""));
    fixed.chain(users).chain(groups).map(|path| path.trim_start_matches('.').to_owned()).collect()
}

/// The known name that was most likely meant: the nearest one, when it is near at all.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long text is no misspelt key, and the distance is quadratic in it.
    if word.len() > 64 {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    let word = fold(word);
    known
        .into_iter()
        .map(|name| {
            let folded = fold(name);
            let limit = (folded.chars().count().min(word.chars().count()) / 3).max(1);
            (strsim::damerau_levenshtein(&word, &folded), limit, name)
        })
        .filter(|(distance, limit, _)| distance <= limit)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_slips_and_other_spellings_but_does_not_guess() {
        let names = || DIRECTORY.names();
        assert_eq!(nearest("page_size", names()), Some("page-size"));
        assert_eq!(nearest("Timeout", names()), Some("timeout"));
        assert_eq!(nearest("bse-dn", names()), Some("base-dn"));
        assert_eq!(nearest("url", names()), Some("urls"));
        assert_eq!(nearest("follow-referrals", names()), None);
        assert_eq!(nearest(&"x".repeat(10_000), names()), None);
    }
}
