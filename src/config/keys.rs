//! Every key of the file: which table it belongs to, and whether this version can do what it asks for.

/// One key of one table.
pub(super) struct Key {
    pub name: &'static str,
    /// Known, and refused with this reason: it asks for something that this version cannot do.
    pub later: Option<&'static str>,
}

/// The keys of one table.
pub(super) struct Shape {
    /// Dotted, without what is an element of an array; empty for the file itself.
    pub path: &'static str,
    pub keys: &'static [Key],
}

const fn key(name: &'static str) -> Key {
    Key { name, later: None }
}

const fn later(name: &'static str, why: &'static str) -> Key {
    Key { name, later: Some(why) }
}

impl Shape {
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|k| k.name)
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
            | "state" | "log") => format!("[{path}]"),
            "mapping.jmespath" => "the table of a mapping".to_owned(),
            path => format!("`{path}`"),
        }
    }
}

pub(super) const ROOT: Shape = Shape {
    path: "",
    keys: &[
        key("profile"),
        key("directory"),
        key("scope"),
        key("mapping"),
        key("target"),
        key("lifecycle"),
        key("guard"),
        key("schedule"),
        key("state"),
        later("service", "it belongs to `idcsync run`"),
        key("log"),
    ],
};

pub(super) const DIRECTORY: Shape = Shape {
    path: "directory",
    keys: &[
        key("kind"),
        key("urls"),
        key("discover"),
        key("base-dn"),
        key("bind"),
        key("tls"),
        key("allow-plaintext"),
        key("page-size"),
        key("timeout"),
        key("file"),
        key("schema"),
    ],
};

pub(super) const BIND: Shape = Shape {
    path: "directory.bind",
    keys: &[key("dn"), key("password-file"), key("password-env"), key("external")],
};

pub(super) const EXTERNAL: Shape =
    Shape { path: "directory.bind.external", keys: &[key("cert-file"), key("key-file")] };

pub(super) const TLS: Shape = Shape { path: "directory.tls", keys: &[key("ca-file"), key("starttls")] };

pub(super) const SCOPE: Shape = Shape {
    path: "scope",
    keys: &[
        key("groups"),
        key("users"),
        key("nested-groups"),
        key("user-filter"),
        key("primary-group"),
        key("include-distribution-groups"),
    ],
};

pub(super) const SCOPE_GROUP: Shape = Shape { path: "scope.groups", keys: &[key("group"), key("write")] };

pub(super) const MAPPING: Shape = Shape { path: "mapping", keys: &[key("user"), key("group")] };

/// The right-hand side of a mapping that is not a template.
pub(super) const EXPRESSION: Shape = Shape { path: "mapping.jmespath", keys: &[key("jmespath")] };

pub(super) const TARGET: Shape = Shape {
    path: "target",
    keys: &[
        key("kind"),
        key("identity-store-id"),
        key("region"),
        key("endpoint-url"),
        key("requests-per-second"),
        key("scim"),
        key("adopt"),
        key("protect"),
        key("assignments"),
        key("max-apply"),
        key("store"),
        key("request-log"),
    ],
};

pub(super) const LIFECYCLE: Shape = Shape {
    path: "lifecycle",
    keys: &[
        key("disable-after"),
        key("on-directory-delete"),
        key("delete-after"),
        key("delete-on-absence"),
        key("trust-change-log"),
        key("on-directory-disable"),
        key("disable-method"),
        key("on-group-out-of-scope"),
    ],
};

pub(super) const SCIM: Shape = Shape {
    path: "target.scim",
    keys: &[key("url"), key("token-file"), key("token-env"), key("token-expires"), key("remove-form")],
};

pub(super) const GUARD: Shape = Shape {
    path: "guard",
    keys: &[
        key("max-deletes"),
        key("max-disables"),
        key("max-removals"),
        key("max-renames"),
        key("max-growth"),
        key("max-percent"),
    ],
};

/// Why a key of `[schedule]` has to wait.
const FOR_RUN: &str = "it belongs to `idcsync run`; until then, start `idcsync sync` from cron or a CronJob";

pub(super) const SCHEDULE: Shape = Shape {
    path: "schedule",
    keys: &[later("cron", FOR_RUN), later("timezone", FOR_RUN), later("jitter", FOR_RUN), key("drift-check")],
};

pub(super) const STATE: Shape = Shape {
    path: "state",
    keys: &[key("url"), key("password-file"), key("password-env"), key("keep-history")],
};

pub(super) const LOG: Shape = Shape { path: "log", keys: &[key("format"), key("error-log")] };

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
    &LOG,
];

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
