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
