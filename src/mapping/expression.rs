//! One mapping expression, compiled once at load.

use std::collections::BTreeSet;
use std::fmt;

use super::jmespath::JmesPath;
use super::template::Template;
use super::view::View;

/// The longest expression, in bytes. Longer ones are no mapping, and a parser that recurses must be bounded.
pub const MAX_EXPRESSION: usize = 1024;

/// What a mapping's right-hand side says, compiled. `Display` gives its text.
///
/// Expressions come from the config alone; a value that looks like one is text and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Template(Template),
    JmesPath(JmesPath),
    First(Vec<Expression>),
}

/// Where an expression is wrong: a byte offset and length within its text, for the caret. At the end of the
/// text the length is 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    pub message: String,
    pub offset: usize,
    pub len: usize,
    pub help: Option<String>,
}

/// An expression gave no text for one entry. Holds no value of the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    #[error("`{expression}` gives {what}, and one value is needed")]
    NotText { expression: String, what: String },
    #[error("`{expression}` fails: {reason}")]
    Failed { expression: String, reason: String },
}

/// What an expression needs to have read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributesNeeded {
    /// It may look at every attribute (`@` or `*`).
    pub all: bool,
    /// Those it names, in lower case, without the ones that are computed from the DN.
    pub names: BTreeSet<String>,
}

impl AttributesNeeded {
    pub(super) fn add(&mut self, name: &str) {
        if name != super::view::ASSOCIATED_DOMAIN && name != super::view::DISTINGUISHED_NAME {
            self.names.insert(name.to_owned());
        }
    }

    fn merge(&mut self, other: Self) {
        self.all |= other.all;
        self.names.extend(other.names);
    }
}

impl Expression {
    /// Compiles a template: text with `${attribute}` in it. The whole is empty where any attribute in it is
    /// empty, so that there are no half values; the empty template is always empty, which turns a default
    /// off.
    ///
    /// Forms: `${name}` (the case of the name does not count; of several values the first in the order of
    /// their text is taken); `{associateddomain}` without the dollar, as in AWS's table;
    /// `${proxyaddresses[?type == "SMTP"].value}`, and the same with `"smtp"`; `$${` for a `${` as it stands.
    pub fn template(text: &str) -> Result<Self, ExpressionError> {
        within_limit(text)?;
        Template::parse(text).map(|t| Self(Form::Template(t)))
    }

    /// Compiles a JMESPath expression over the entry as JSON, with the functions of the specification and
    /// `lower`, `upper`, `trim`, `replace`, `split` and `substring`. Names are looked up without regard to case.
    pub fn jmespath(text: &str) -> Result<Self, ExpressionError> {
        within_limit(text)?;
        JmesPath::compile(text).map(|j| Self(Form::JmesPath(j)))
    }

    /// The first of several that is not empty.
    pub fn first(expressions: Vec<Self>) -> Self {
        Self(Form::First(expressions))
    }

    /// What must have been read for it.
    pub fn attributes(&self) -> AttributesNeeded {
        match &self.0 {
            Form::Template(template) => template.attributes(),
            Form::JmesPath(jmespath) => jmespath.attributes(),
            Form::First(list) => {
                let mut needed = AttributesNeeded::default();
                for expression in list {
                    needed.merge(expression.attributes());
                }
                needed
            }
        }
    }

    /// The text for one entry, without white space around it; `None` where it is empty.
    pub fn evaluate(&self, entry: &View<'_>) -> Result<Option<String>, EvaluateError> {
        let text = match &self.0 {
            Form::Template(template) => template.evaluate(entry),
            Form::JmesPath(jmespath) => jmespath.evaluate(entry)?,
            Form::First(list) => {
                for expression in list {
                    if let Some(text) = expression.evaluate(entry)? {
                        return Ok(Some(text));
                    }
                }
                None
            }
        };
        Ok(text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Template(template) => f.write_str(template.source()),
            Form::JmesPath(jmespath) => f.write_str(jmespath.source()),
            Form::First(list) => {
                for (i, expression) in list.iter().enumerate() {
                    write!(f, "{}{expression}", if i == 0 { "" } else { ", else " })?;
                }
                Ok(())
            }
        }
    }
}

fn within_limit(text: &str) -> Result<(), ExpressionError> {
    if text.len() <= MAX_EXPRESSION {
        return Ok(());
    }
    let offset = text.floor_char_boundary(MAX_EXPRESSION);
    Err(ExpressionError {
        message: format!("the expression has {} bytes; {MAX_EXPRESSION} are allowed", text.len()),
        offset,
        len: text.len() - offset,
        help: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Anchor, Dn};
    use crate::model::{AccountState, Attributes, DirectoryKind, DirectoryUser};

    fn user(attributes: Attributes) -> DirectoryUser {
        DirectoryUser {
            anchor: Anchor::from_u128(1),
            dn: Dn::parse("cn=a,dc=corp,dc=example").unwrap(),
            sid: None,
            account: AccountState::Enabled,
            matches_filter: true,
            created: None,
            attributes,
        }
    }

    fn jmespath(expression: &str, attributes: Attributes) -> Result<Option<String>, EvaluateError> {
        let user = user(attributes);
        Expression::jmespath(expression)
            .unwrap()
            .evaluate(&View::of_user(DirectoryKind::ActiveDirectory, &user))
    }

    fn someone() -> Attributes {
        Attributes::new(vec![
            ("givenname".into(), vec![b" Anna ".to_vec()]),
            ("mail".into(), vec![b"Anna@X".to_vec()]),
            ("employeenumber".into(), vec![b"0042".to_vec()]),
            ("proxyaddresses".into(), vec![b"smtp:b@x".to_vec(), b"SMTP:a@x".to_vec()]),
            ("memberof".into(), vec![b"cn=h".to_vec(), b"cn=g".to_vec()]),
        ])
    }

    #[test]
    fn jmespath_gives_text() {
        for (expression, value) in [
            ("title || 'Employee'", Some("Employee")),
            ("givenName", Some("Anna")),
            ("GIVENNAME", Some("Anna")),
            ("lower(MAIL)", Some("anna@x")),
            ("split(mail, '@')[0]", Some("Anna")),
            ("substring(employeeNumber, `-2`)", Some("42")),
            ("proxyAddresses[?type == 'SMTP'].value", Some("a@x")),
            ("proxyAddresses[?Type == 'SMTP'].VALUE | [0]", Some("a@x")),
            ("{Foo: mail}.foo", Some("Anna@X")),
            ("`{\"CH\": \"x\"}`.CH", Some("x")),
            ("[{A: mail}, @][0].a", Some("Anna@X")),
            ("not_null(title, mail)", Some("Anna@X")),
            ("join('+', sort(memberOf))", Some("cn=g+cn=h")),
            ("memberof[0]", Some("cn=g")),
            ("length(memberof)", Some("2")),
            ("to_number('42')", Some("42")),
            // Not a number in JSON.
            ("to_number(employeenumber)", None),
            ("sum([`1.5`, `2`])", Some("3.5")),
            ("mail == 'x'", Some("false")),
            ("associatedDomain", Some("corp.example")),
            ("objectGUID", Some("00000000-0000-0000-0000-000000000001")),
            ("title", None),
            ("''", None),
            ("'  '", None),
            ("lower(title)", None),
            ("proxyaddresses[?type == 'X500'].value", None),
            ("join(' ', [givenname, sn][?@])", Some("Anna")),
        ] {
            assert_eq!(jmespath(expression, someone()).unwrap().as_deref(), value, "{expression}");
        }
    }

    #[test]
    fn what_is_not_one_value_is_an_error_that_says_so() {
        let message = |expression: &str| jmespath(expression, someone()).unwrap_err().to_string();
        assert_eq!(
            message("memberof"),
            "`memberof` gives a list of 2 values; take one, with `[0]` for example, or `join` them, and one value \
             is needed"
        );
        assert!(message("proxyaddresses[0]").contains("an object"));
        assert!(message("[[mail]]").contains("a list in a list"));
        assert!(message("&mail").contains("an expression"));
        assert_eq!(
            message("join(' ', [givenname, sn])"),
            "`join(' ', [givenname, sn])` fails: argument 2 of `join` is array, and must be array[string]; a list \
             has a gap, as in `[givenname, sn]` without `sn`: `[…][?@]` leaves gaps out"
        );
        assert!(message("starts_with(title, 'x')").contains("argument 1 of `starts_with` is null"));
        assert!(message("lower(memberof)").contains("argument 1 of `lower` is array, and must be string"));
    }

    #[test]
    fn the_first_that_is_not_empty_counts() {
        let first = Expression::first(vec![
            Expression::template("${userprincipalname}").unwrap(),
            Expression::jmespath("title").unwrap(),
            Expression::template("${mail}").unwrap(),
        ]);
        let user = user(someone());
        assert_eq!(
            first.evaluate(&View::of_user(DirectoryKind::ActiveDirectory, &user)).unwrap().as_deref(),
            Some("Anna@X")
        );
        assert_eq!(first.to_string(), "${userprincipalname}, else title, else ${mail}");
        let needed = first.attributes();
        assert_eq!(needed.names.into_iter().collect::<Vec<_>>(), ["mail", "title", "userprincipalname"]);
    }

    #[test]
    fn the_empty_template_turns_a_default_off() {
        let user = user(someone());
        let off = Expression::template("").unwrap();
        assert_eq!(off.evaluate(&View::of_user(DirectoryKind::ActiveDirectory, &user)), Ok(None));
        assert_eq!(off.attributes(), AttributesNeeded::default());
    }

    #[test]
    fn expressions_are_limited_in_length() {
        assert!(Expression::template(&"x".repeat(1024)).is_ok());
        let e = Expression::template(&format!("{}ä", "x".repeat(1023))).unwrap_err();
        assert_eq!((e.offset, e.len), (1023, 2));
        assert!(Expression::jmespath(&format!("'{}'", "x".repeat(1023))).is_err());
    }

    #[test]
    fn a_value_is_never_read_as_an_expression() {
        for hostile in
            ["`1`", "'", "mail", "@", "${mail}", "\\", "\"", "a' || mail || '", "\u{0}", "\u{202e}x"]
        {
            let attributes = Attributes::from([("cn", hostile), ("mail", "secret")]);
            assert_eq!(jmespath("cn", attributes.clone()).unwrap().as_deref(), Some(hostile.trim()));
            assert_eq!(jmespath("join('', [cn])", attributes).unwrap().as_deref(), Some(hostile.trim()));
        }
        let long = "x".repeat(1 << 20);
        let value = jmespath("upper(cn)", Attributes::from([("cn", long.as_str())])).unwrap().unwrap();
        assert_eq!(value.len(), 1 << 20);
    }

    const EXPRESSIONS: &[&str] = &[
        "a",
        "lower(a) || upper(b)",
        "replace(a, b, c)",
        "split(a, b)[-1]",
        "substring(a, length(b), length(c))",
        "proxyaddresses[?type == a].value",
        "to_number(a)",
        "sort(proxyaddresses[*].value)[::-1]",
        "join(a, [b, c][?@])",
        "@",
        "*",
        "to_string(@)",
    ];

    proptest! {
        #[test]
        fn no_entry_makes_an_expression_panic(
            list in prop::collection::vec(
                ("[a-c]|proxyaddresses|objectguid|sidhistory", prop::collection::vec(any::<Vec<u8>>(), 0..4)),
                0..6,
            )
        ) {
            let attributes = Attributes::new(list.into_iter().map(|(n, v)| (n.into(), v)));
            let user = user(attributes);
            let view = View::of_user(DirectoryKind::Ldap, &user);
            for expression in EXPRESSIONS {
                let _ = Expression::jmespath(expression).unwrap().evaluate(&view);
            }
            let template = r#"${a}${proxyaddresses[?type == "SMTP"].value}"#;
            let _ = Expression::template(template).unwrap().evaluate(&view);
        }

        #[test]
        fn no_text_makes_compiling_or_evaluating_panic(
            text in "[a-c@*.\\[\\](){}|&!=<>,:?'\"`\\\\0-9 $-]{0,40}|(lower|split|sort_by|max_by|map|a|\\(|\\)|,|&|\\[|\\]|'x'|@){0,20}"
        ) {
            let user = user(Attributes::from([("a", "x"), ("b", "7")]));
            let view = View::of_user(DirectoryKind::Ldap, &user);
            for compiled in [Expression::jmespath(&text), Expression::template(&text)].into_iter().flatten() {
                compiled.attributes();
                let _ = compiled.evaluate(&view);
            }
        }
    }
}
