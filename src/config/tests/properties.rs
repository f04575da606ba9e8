//! No file, however broken, is more than a list of problems.

use proptest::prelude::*;

use super::*;
use crate::config::keys;

/// Something like a config: known and unknown keys with values of any type.
fn tomlish() -> impl Strategy<Value = String> {
    let keys = keys::ALL
        .iter()
        .flat_map(|s| s.names())
        .chain(["x", "\"name.givenName\"", "title"])
        .collect::<Vec<_>>();
    let scalar = prop_oneof![
        Just("\"ldaps://dc1\"".to_owned()),
        Just("\"30s\"".to_owned()),
        Just("true".to_owned()),
        Just("\"external\"".to_owned()),
        Just("\"ldap\"".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("nan".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "\"[ -!#-\\[\\]-~ü]{0,20}\"",
        "'[ -&(-~€\t]{0,20}'",
        "\"\"\"[ -!#-\\[\\]-~\r\n]{0,20}\"\"\"",
    ];
    let names = keys.clone();
    let value = scalar.prop_recursive(3, 12, 4, move |inner| {
        let table = proptest::collection::vec((proptest::sample::select(names.clone()), inner.clone()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(", "))),
            table.prop_map(|t| {
                let pairs: Vec<String> = t.into_iter().map(|(k, v)| format!("{k} = {v}")).collect();
                format!("{{ {} }}", pairs.join(", "))
            }),
        ]
    });
    let headers = [
        "directory",
        "directory.bind",
        "scope",
        "mapping.user",
        "mapping.group",
        "target",
        "guard",
        "schedule",
        "state",
        "service",
        "metrics",
        "log",
    ];
    let line = prop_oneof![
        1 => proptest::sample::select(headers.to_vec()).prop_map(|h| format!("[{h}]")),
        6 => (proptest::sample::select(keys), value).prop_map(|(k, v)| format!("{k} = {v}")),
    ];
    proptest::collection::vec(line, 0..25).prop_map(|lines| lines.join("\n"))
}

/// Whatever the file, the answer is a config or problems with places in it, and both forms can be shown.
fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Err(error) = Config::from_bytes(bytes, Path::new("corp.toml")) {
        let ConfigError::Invalid(diagnostics) = &error else { panic!("nothing was read") };
        prop_assert!(!diagnostics.is_empty());
        let rendered = diagnostics.render(false, 80);
        for d in diagnostics.list() {
            prop_assert!(d.line >= 1 && d.column >= 1);
            prop_assert!(!d.to_string().contains('\n'), "{d}");
        }
        // Places far from each other are shown apart.
        let places: usize = diagnostics.list().iter().map(|d| 1 + d.also.len()).sum();
        let snippets = rendered.matches("╭─[").count();
        prop_assert!((diagnostics.list().len()..=places).contains(&snippets), "{}", rendered);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_config_like_text_is_survived(text in tomlish()) {
        holds(text.as_bytes())?;
    }

    #[test]
    fn a_good_config_with_any_damage_is_survived(at in 0..GOOD.len(), len in 0_usize..20, put in "[ -~ü\n]{0,6}") {
        let end = (at + len).min(GOOD.len());
        holds(format!("{}{put}{}", &GOOD[..at], &GOOD[end..]).as_bytes())?;
    }
}
