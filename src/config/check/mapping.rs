//! `[mapping.user]` and `[mapping.group]`: expressions, compiled here so that their errors have a place.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::config::keys::{self, nearest};
use crate::config::raw::{Reader, Section, Span, Text, shown};
use crate::mapping::{Expression, ExpressionError, Mapping};
use crate::model::{DirectoryKind, GroupAttribute, UserAttribute};

const SCIM_ONLY: &str = "the Identity Store API has it in no input: only kind = \"scim\" writes it";
const API_ONLY: &str = "SCIM has no such attribute: only kind = \"identity-store\" writes it";

/// Attributes of users or of groups, for what both have in common.
trait Attribute: Copy + Ord + 'static {
    const TABLE: &'static str;
    const ALL: &'static [Self];
    fn path(self) -> &'static str;
    fn is_required(self) -> bool;
    /// Whether SCIM alone has it (`true`), or the API alone (`false`).
    fn only_scim(self) -> Option<bool>;
}

impl Attribute for UserAttribute {
    const TABLE: &'static str = "[mapping.user]";
    const ALL: &'static [Self] = UserAttribute::ALL;
    fn path(self) -> &'static str {
        self.path()
    }
    fn is_required(self) -> bool {
        self.is_required()
    }
    fn only_scim(self) -> Option<bool> {
        match self {
            Self::ExternalId => Some(true),
            Self::Website => Some(false),
            _ => None,
        }
    }
}

impl Attribute for GroupAttribute {
    const TABLE: &'static str = "[mapping.group]";
    const ALL: &'static [Self] = GroupAttribute::ALL;
    fn path(self) -> &'static str {
        self.path()
    }
    fn is_required(self) -> bool {
        self == Self::DisplayName
    }
    fn only_scim(self) -> Option<bool> {
        match self {
            Self::ExternalId => Some(true),
            Self::Description => Some(false),
            Self::DisplayName => None,
        }
    }
}

/// `None` only where the kind of the directory, on which the defaults hang, is not known.
pub(super) fn read<'t>(
    r: &mut Reader<'t>,
    section: &Section<'t>,
    kind: Option<DirectoryKind>,
    target: Option<&str>,
) -> Option<Mapping> {
    let scim = target.map(|kind| kind == "scim");
    let user = expressions::<UserAttribute>(r, section, "user", scim);
    let group = expressions::<GroupAttribute>(r, section, "group", scim);
    Some(Mapping::new(kind?, user, group))
}

fn expressions<'t, A: Attribute>(
    r: &mut Reader<'t>,
    section: &Section<'t>,
    key: &'static str,
    scim: Option<bool>,
) -> BTreeMap<A, Expression> {
    let mut out = BTreeMap::new();
    let Some(value) = section.value(key) else { return out };
    let Some(table) = value.value.as_table() else {
        r.wrong_type(value.value, value.span, "a table");
        return out;
    };
    for (name, value) in table.iter() {
        let Some(attribute) = A::ALL.iter().copied().find(|a| a.path() == name.get_ref()) else {
            unknown::<A>(r, name.get_ref(), name.span(), value.get_ref());
            continue;
        };
        if let (Some(only_scim), Some(scim)) = (attribute.only_scim(), scim)
            && only_scim != scim
        {
            r.error(name.span(), format!("`{}` cannot be mapped for this target", attribute.path()))
                .label("never written")
                .help(if only_scim { SCIM_ONLY } else { API_ONLY });
            continue;
        }
        let Some((text, compiled)) = expression(r, value.get_ref(), value.span()) else { continue };
        if attribute.is_required() && text.value.trim().is_empty() {
            r.error(text.span, format!("`{}` cannot be left out: the target requires it", attribute.path()))
                .label("always empty");
            continue;
        }
        match compiled {
            Ok(expression) => {
                out.insert(attribute, expression);
            }
            Err(error) => flawed(r, &text, attribute.path(), error),
        }
    }
    out
}

type Compiled = Result<Expression, ExpressionError>;

/// A template, or `{ jmespath = "…" }`. Blanks count in both.
fn expression<'t>(r: &mut Reader<'t>, value: &'t DeValue<'t>, span: Span) -> Option<(Text<'t>, Compiled)> {
    match value {
        DeValue::String(text) => Some((Text { value: text, span }, Expression::template(text))),
        DeValue::Table(table) => {
            let form = r.section(&keys::EXPRESSION, table, span);
            let Some(inner) = form.value("jmespath") else {
                form.missing(r, "jmespath", "write a template, such as \"${mail}\", or { jmespath = \"…\" }");
                return None;
            };
            let DeValue::String(text) = inner.value else {
                r.wrong_type(inner.value, inner.span, "a JMESPath expression in a string");
                return None;
            };
            Some((Text { value: text, span: inner.span }, Expression::jmespath(text)))
        }
        _ => {
            r.wrong_type(value, span, "a template in a string, or { jmespath = \"…\" }");
            None
        }
    }
}

fn flawed(r: &mut Reader<'_>, text: &Text<'_>, path: &str, error: ExpressionError) {
    let place = r.within(text, error.offset, error.len);
    let problem = r.error(place, format!("the mapping of `{path}` is wrong: {}", error.message));
    problem.label("here");
    if let Some(help) = error.help {
        problem.help(help);
    }
}

fn unknown<A: Attribute>(r: &mut Reader<'_>, name: &str, span: Span, value: &DeValue<'_>) {
    let names = || A::ALL.iter().map(|a| a.path());
    // `name.givenName` without quotes is a table `name` in TOML.
    let unquoted = value.as_table().filter(|t| !t.contains_key("jmespath")).and_then(|t| t.keys().next());
    let help = match (unquoted, nearest(name, names())) {
        (Some(inner), _) => {
            let path = format!("{name}.{}", inner.get_ref());
            format!(
                "a name with a dot in it stands in quotes: \"{}\"",
                nearest(&path, names()).unwrap_or(&path)
            )
        }
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
    };
    r.error(span, format!("unknown attribute `{}` in {}", shown(name), A::TABLE)).label("unknown").help(help);
}
