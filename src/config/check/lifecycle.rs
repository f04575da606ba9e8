//! `[lifecycle]`: what becomes of those who leave.

use std::time::Duration;

use jiff::SignedDuration;

use crate::config::raw::{Reader, Section};
use crate::config::values::{DAY, HOUR};
use crate::plan::{DisableMethod, Lifecycle, OnDelete, OnDisable, OnGroupOut};
use crate::target::TargetSettings;

pub(super) const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

const ON_DELETE: &[(&str, OnDelete)] = &[("delete", OnDelete::Delete), ("disable", OnDelete::Disable)];
const ON_DISABLE: &[(&str, OnDisable)] = &[("disable", OnDisable::Disable), ("ignore", OnDisable::Ignore)];
const METHODS: &[(&str, DisableMethod)] = &[
    ("revoke", DisableMethod::Revoke),
    ("report", DisableMethod::Report),
    ("delete", DisableMethod::Delete),
];
const ON_GROUP_OUT: &[(&str, OnGroupOut)] = &[("freeze", OnGroupOut::Freeze), ("empty", OnGroupOut::Empty)];

/// `target`: where it is known, which it is not while the table has errors.
pub(super) fn read<'t>(
    r: &mut Reader<'t>,
    section: &Section<'t>,
    target: Option<&TargetSettings>,
) -> Lifecycle {
    let mut lifecycle = Lifecycle::default();
    if let Some(time) = section.duration(r, "disable-after", HOUR..=LONGEST) {
        lifecycle.disable_after = signed(time);
    }
    if let Some((what, _)) = section.choice(r, "on-directory-delete", ON_DELETE) {
        lifecycle.on_directory_delete = what;
    }
    if let Some(time) = section.duration(r, "delete-after", Duration::ZERO..=LONGEST) {
        lifecycle.delete_after = signed(time);
        if let (OnDelete::Disable, Some(span)) =
            (lifecycle.on_directory_delete, section.key_span("delete-after"))
        {
            r.warn(
                span,
                "`delete-after` has no effect: with on-directory-delete = \"disable\" nobody is deleted",
            )
            .label("not used");
        }
    }
    lifecycle.delete_on_absence = delete_on_absence(r, section);
    if let Some((trust, _)) = section.bool(r, "trust-change-log") {
        lifecycle.trust_change_log = trust;
    }
    if let Some((what, _)) = section.choice(r, "on-directory-disable", ON_DISABLE) {
        lifecycle.on_directory_disable = what;
    }
    if let Some((method, span)) = section.choice(r, "disable-method", METHODS) {
        lifecycle.disable_method = method;
        if target.is_some_and(TargetSettings::disables) {
            r.warn(span, "`disable-method` has no effect: over SCIM this target can disable users, and does")
                .label("not used");
        }
    }
    if let Some((what, _)) = section.choice(r, "on-group-out-of-scope", ON_GROUP_OUT) {
        lifecycle.on_group_out_of_scope = what;
    }
    lifecycle
}

/// "never", or a time. Whoever is not found for less than a day may only have been moved.
fn delete_on_absence<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<SignedDuration> {
    const KEY: &str = "delete-on-absence";
    if section.value(KEY).and_then(|v| v.value.as_str()) == Some("never") {
        return None;
    }
    let before = r.errors.len();
    let time = section.duration(r, KEY, DAY..=LONGEST).map(signed);
    if let Some(problem) = r.errors.get_mut(before) {
        problem.help("\"never\", or a time such as \"30d\", 24 hours at least");
    }
    time
}

/// What the file can say is far from the limit.
pub(super) fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::de::DeTable;

    use super::*;
    use crate::config::keys;
    use crate::secret::SecretSource;
    use crate::target::{IdentityStoreSettings, ScimSettings};

    /// The warnings about these lines for such a target.
    fn warnings(text: &str, target: &TargetSettings) -> usize {
        let table = DeTable::parse(text).unwrap();
        let mut r = Reader { text, base: Path::new("."), errors: Vec::new(), warnings: Vec::new() };
        let section = r.section(&keys::LIFECYCLE, table.get_ref(), 0..0);
        read(&mut r, &section, Some(target));
        assert!(r.errors.is_empty());
        r.warnings.len()
    }

    #[test]
    fn a_method_is_for_targets_that_cannot_disable() {
        let scim = ScimSettings {
            url: "https://scim.example/scim/v2".to_owned(),
            token: SecretSource::Env("TOKEN".to_owned()),
            token_expires: None,
            identity_store_id: None,
            rfc_remove: false,
            requests_per_second: 18,
        };
        let api = |scim| {
            TargetSettings::IdentityStore(IdentityStoreSettings {
                identity_store_id: None,
                region: None,
                endpoint_url: None,
                requests_per_second: 18,
                scim,
            })
        };
        let report = "disable-method = \"report\"";
        assert_eq!(warnings(report, &TargetSettings::Scim(scim.clone())), 1);
        assert_eq!(warnings(report, &api(Some(scim.clone()))), 1);
        assert_eq!(warnings(report, &api(None)), 0);
        assert_eq!(warnings("disable-after = \"1h\"", &TargetSettings::Scim(scim)), 0);
    }
}
