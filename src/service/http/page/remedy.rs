//! What to do about a finding: docs/errors.md has it, and is where it is written.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::model::Code;

const DOCS: &str = include_str!("../../../../docs/errors.md");

pub(super) fn remedy(code: Code) -> &'static str {
    static REMEDIES: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    REMEDIES.get_or_init(|| read(DOCS)).get(code.name()).map_or("see docs/errors.md", String::as_str)
}

/// The rows ``| `Code` | cause | remedy |``, without the marks for code.
fn read(text: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| {
        let (code, rest) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")?;
        let (_, remedy) = rest.rsplit_once(" | ")?;
        Some((code.to_owned(), remedy.replace('`', "")))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_remedy() {
        for code in Code::ALL {
            let remedy = remedy(*code);
            assert!(!remedy.is_empty() && !remedy.contains(['`', '|', '[']), "{code:?}: {remedy}");
            assert_ne!(remedy, "see docs/errors.md", "{code:?}");
        }
        assert_eq!(remedy(Code::ScopeEntryAmbiguous), "name it by its DN or objectGUID");
    }
}
