//! JMESPath over the entry as JSON.
//!
//! Names are folded to lower case when an expression is compiled, as are the names in the entry: lookups do
//! not regard case, whatever they look into.

use std::collections::BTreeMap;

use jmespath::ast::Ast;
use jmespath::{Context, ErrorReason, JmespathError, Rcvar, RuntimeError, Variable};

use super::expression::{AttributesNeeded, EvaluateError, ExpressionError};
use super::functions::{self, RUNTIME};
use super::view::View;

/// Brackets, braces and parentheses within each other.
const MAX_NESTING: usize = 16;

/// Operators in all: the parser recurses for many of them, and a stack that runs over ends the process. With
/// these bounds the worst expression takes a megabyte of stack in a debug build, of the two that a thread has.
const MAX_OPERATORS: usize = 96;

/// Steps that work on each other's result, as in `a.b.c` or `a || b || c`: the interpreter recurses for each.
const MAX_DEPTH: usize = 40;

/// Positions and strides in slices; the interpreter adds them up in 32 bits.
const MAX_INDEX: i32 = 1_000_000;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct JmesPath {
    source: String,
    ast: Ast,
}

impl JmesPath {
    pub(super) fn compile(source: &str) -> Result<Self, ExpressionError> {
        bounded(source)?;
        let mut ast = jmespath::parse(source).map_err(|e| syntax_error(source, &e))?;
        if depth(&ast) > MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} steps that work on each other's result");
            return Err(ExpressionError { message, offset: 0, len: source.len(), help: None });
        }
        check_and_fold(&mut ast, source)?;
        Ok(Self { source: source.to_owned(), ast })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn attributes(&self) -> AttributesNeeded {
        let mut needed = AttributesNeeded::default();
        needs(&self.ast, true, &mut needed);
        needed
    }

    pub(super) fn evaluate(&self, entry: &View<'_>) -> Result<Option<String>, EvaluateError> {
        let mut context = Context::new(&self.source, &RUNTIME);
        let result = jmespath::interpret(entry.json(), &self.ast, &mut context).map_err(|e| {
            EvaluateError::Failed {
                expression: self.source.clone(),
                reason: runtime_reason(&self.source, &e),
            }
        })?;
        to_text(&result).map_err(|what| EvaluateError::NotText { expression: self.source.clone(), what })
    }
}

/// One value as text: a string, a number, true or false, or a list of one of them.
fn to_text(value: &Variable) -> Result<Option<String>, String> {
    match value {
        Variable::Null => Ok(None),
        Variable::String(text) => Ok(Some(text.clone())),
        Variable::Bool(yes) => Ok(Some(yes.to_string())),
        Variable::Number(number) => Ok(Some(match number.as_f64() {
            // Functions count in floating point: `length(a)` must not end in `.0`.
            Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => format!("{f:.0}"),
            _ => number.to_string(),
        })),
        Variable::Array(list) => match list.as_slice() {
            [] => Ok(None),
            [one] if !one.is_array() => to_text(one),
            [_] => Err("a list in a list; take one value, with `[0][0]` for example".to_owned()),
            more => Err(format!(
                "a list of {} values; take one, with `[0]` for example, or `join` them",
                more.len()
            )),
        },
        Variable::Object(_) => Err("an object; take one value of it, with `.value` for example".to_owned()),
        Variable::Expref(_) => Err("an expression (`&…`), not a value".to_owned()),
    }
}

/// Refuses what would take the parser too deep, before it is parsed.
fn bounded(source: &str) -> Result<(), ExpressionError> {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let mut quote = None;
    let mut chars = source.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if let Some(end) = quote {
            if c == '\\' {
                chars.next();
            } else if c == end {
                quote = None;
            }
            continue;
        }
        match c {
            '\'' | '"' | '`' => quote = Some(c),
            '(' | '[' | '{' => {
                depth += 1;
                operators += 1;
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '|' | '&' | '=' => {
                // `||`, `&&` and `==` are one operator.
                chars.next_if(|(_, next)| *next == c);
                operators += 1;
            }
            '.' | '*' | '!' | '<' | '>' | ',' => operators += 1,
            _ => {}
        }
        if depth > MAX_NESTING || operators > MAX_OPERATORS {
            let message = if depth > MAX_NESTING {
                format!("more than {MAX_NESTING} brackets within each other")
            } else {
                format!("more than {MAX_OPERATORS} operators")
            };
            return Err(ExpressionError { message, offset: at, len: c.len_utf8(), help: None });
        }
    }
    Ok(())
}

/// How many nodes lie below each other.
fn depth(ast: &Ast) -> usize {
    let below = match ast {
        Ast::Identity { .. }
        | Ast::Field { .. }
        | Ast::Literal { .. }
        | Ast::Index { .. }
        | Ast::Slice { .. } => 0,
        Ast::Comparison { lhs, rhs, .. }
        | Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Subexpr { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. }
        | Ast::Condition { predicate: lhs, then: rhs, .. } => depth(lhs).max(depth(rhs)),
        Ast::Expref { ast: node, .. }
        | Ast::Flatten { node, .. }
        | Ast::Not { node, .. }
        | Ast::ObjectValues { node, .. } => depth(node),
        Ast::Function { args: list, .. } | Ast::MultiList { elements: list, .. } => {
            list.iter().map(depth).max().unwrap_or_default()
        }
        Ast::MultiHash { elements, .. } => {
            elements.iter().map(|pair| depth(&pair.value)).max().unwrap_or_default()
        }
    };
    below + 1
}

/// The crate's message is for people who know its parser; what stands at the place is said in their words.
fn syntax_error(source: &str, error: &JmespathError) -> ExpressionError {
    let offset = source.floor_char_boundary(error.offset.min(source.len()));
    let len = token_len(&source[offset..]);
    let found = if len == 0 { "the end".to_owned() } else { format!("`{}`", &source[offset..offset + len]) };
    let reason = match &error.reason {
        ErrorReason::Parse(reason) => reason.split(" -- found ").next().unwrap_or_default(),
        ErrorReason::Runtime(_) => "",
    };
    let message = match reason {
        "Unexpected nud token" => format!("a value, name or function must stand here, not {found}"),
        "Unexpected led token" | "Did not parse the complete expression" | "" => {
            format!("{found} cannot follow here")
        }
        reason if reason.starts_with("Unclosed") => format!("{found} begins a quote that is not closed"),
        reason if reason.starts_with("Unable to parse") => {
            "this literal is not JSON; text is written '…'".to_owned()
        }
        reason if reason.starts_with("Invalid character") => format!("{found} means nothing here"),
        reason if reason.starts_with("Expected") => format!("e{}, found {found}", &reason[1..]),
        reason => reason.to_owned(),
    };
    let help = source[offset..].starts_with('$').then(|| {
        "`${…}` is for templates; in JMESPath an attribute is its name alone, as in `mail`".to_owned()
    });
    ExpressionError { message, offset, len, help }
}

/// The bytes of the word, or of the one character, at the beginning.
fn token_len(rest: &str) -> usize {
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) }
}

/// Folds names to lower case, and finds at load what the interpreter would find with each entry anew.
fn check_and_fold(ast: &mut Ast, source: &str) -> Result<(), ExpressionError> {
    match ast {
        Ast::Identity { .. } | Ast::Index { .. } => {}
        Ast::Field { name, .. } => *name = name.to_lowercase(),
        Ast::Literal { value, .. } => *value = fold_literal(value),
        Ast::Slice { offset, start, stop, step } => {
            let far = [*start, *stop, Some(*step)]
                .into_iter()
                .flatten()
                .any(|i| !(-MAX_INDEX..=MAX_INDEX).contains(&i));
            if far || *step == 0 {
                return Err(at(
                    source,
                    *offset,
                    "a slice needs a step other than 0 and numbers up to a million",
                    None,
                ));
            }
        }
        Ast::Comparison { lhs, rhs, .. } => {
            for side in [&**lhs, &**rhs] {
                if let Ast::Field { name, offset } = side
                    && is_needlessly_quoted(name, &source[source.floor_char_boundary(*offset)..])
                {
                    let help = format!("write '{name}' for text; without quotes it would be an attribute");
                    return Err(at(source, *offset, "in double quotes this is a name, not text", Some(help)));
                }
            }
            check_and_fold(lhs, source)?;
            check_and_fold(rhs, source)?;
        }
        Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Subexpr { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. } => {
            check_and_fold(lhs, source)?;
            check_and_fold(rhs, source)?;
        }
        Ast::Condition { predicate, then, .. } => {
            check_and_fold(predicate, source)?;
            check_and_fold(then, source)?;
        }
        Ast::Expref { ast: node, .. }
        | Ast::Flatten { node, .. }
        | Ast::Not { node, .. }
        | Ast::ObjectValues { node, .. } => check_and_fold(node, source)?,
        Ast::Function { name, args, offset } => {
            let start = name_start(source, *offset, name);
            functions::check(name, args.len()).map_err(|(message, help)| ExpressionError {
                message,
                offset: start,
                len: name.len().min(source.len() - start),
                help,
            })?;
            args.iter_mut().try_for_each(|arg| check_and_fold(arg, source))?;
        }
        Ast::MultiList { elements, .. } => {
            elements.iter_mut().try_for_each(|element| check_and_fold(element, source))?;
        }
        Ast::MultiHash { elements, .. } => {
            for pair in elements {
                pair.key = pair.key.to_lowercase();
                check_and_fold(&mut pair.value, source)?;
            }
        }
    }
    Ok(())
}

fn at(source: &str, offset: usize, message: &str, help: Option<String>) -> ExpressionError {
    let offset = source.floor_char_boundary(offset.min(source.len()));
    let rest = &source[offset..];
    let quoted = rest.strip_prefix('"').and_then(|r| r.find('"')).map(|end| end + 2);
    ExpressionError {
        message: message.to_owned(),
        offset,
        len: quoted.unwrap_or_else(|| token_len(rest)),
        help,
    }
}

/// `type == "SMTP"` is what AWS's templates have; JMESPath would quietly look for an attribute `SMTP`.
fn is_needlessly_quoted(name: &str, rest: &str) -> bool {
    rest.starts_with('"')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The parser gives the place of a function's parenthesis.
fn name_start(source: &str, paren: usize, name: &str) -> usize {
    let paren = source.floor_char_boundary(paren.min(source.len()));
    source[..paren].rfind(name).unwrap_or(paren)
}

fn fold_literal(value: &Rcvar) -> Rcvar {
    match &**value {
        Variable::Object(object) => {
            let folded: BTreeMap<_, _> =
                object.iter().map(|(key, value)| (key.to_lowercase(), fold_literal(value))).collect();
            Rcvar::new(Variable::Object(folded))
        }
        Variable::Array(list) => Rcvar::new(Variable::Array(list.iter().map(fold_literal).collect())),
        _ => value.clone(),
    }
}

/// Collects the attributes that `ast` looks up; `entry` says that it is evaluated on the entry itself and not
/// on something taken from it.
fn needs(ast: &Ast, entry: bool, needed: &mut AttributesNeeded) {
    match ast {
        Ast::Identity { .. } => needed.all |= entry,
        Ast::Field { name, .. } => {
            if entry {
                needed.add(name);
            }
        }
        Ast::Literal { .. } | Ast::Index { .. } | Ast::Slice { .. } => {}
        Ast::Comparison { lhs, rhs, .. } | Ast::And { lhs, rhs, .. } | Ast::Or { lhs, rhs, .. } => {
            needs(lhs, entry, needed);
            needs(rhs, entry, needed);
        }
        // Where the left side gives the entry itself, it has asked for everything.
        Ast::Subexpr { lhs, rhs, .. } | Ast::Projection { lhs, rhs, .. } => {
            needs(lhs, entry, needed);
            needs(rhs, false, needed);
        }
        Ast::Condition { predicate, then, .. } => {
            needs(predicate, entry, needed);
            needs(then, entry, needed);
        }
        Ast::Expref { ast: node, .. } => needs(node, false, needed),
        Ast::Flatten { node, .. } | Ast::Not { node, .. } | Ast::ObjectValues { node, .. } => {
            needs(node, entry, needed);
        }
        Ast::Function { args: list, .. } | Ast::MultiList { elements: list, .. } => {
            list.iter().for_each(|node| needs(node, entry, needed));
        }
        Ast::MultiHash { elements, .. } => {
            elements.iter().for_each(|pair| needs(&pair.value, entry, needed));
        }
    }
}

/// Why the interpreter gave up, in words that name the function and hold no value.
fn runtime_reason(source: &str, error: &JmespathError) -> String {
    let paren = source.floor_char_boundary(error.offset.min(source.len()));
    let before = source[..paren].trim_end();
    let start = before
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let function = &before[start..];
    match &error.reason {
        ErrorReason::Runtime(RuntimeError::InvalidType { expected, actual, position }) => {
            let hint = if expected == "array[string]" {
                "; a list has a gap, as in `[givenname, sn]` without `sn`: `[…][?@]` leaves gaps out"
            } else if actual == "null" {
                "; put `|| ''` behind an attribute that may be absent"
            } else {
                ""
            };
            format!("argument {} of `{function}` is {actual}, and must be {expected}{hint}", position + 1)
        }
        ErrorReason::Runtime(RuntimeError::InvalidReturnType { expected, actual, .. }) => {
            format!("the expression given to `{function}` must give {expected}, and gives {actual}")
        }
        ErrorReason::Runtime(other) => other.to_string(),
        ErrorReason::Parse(other) => other.clone(),
    }
}

#[cfg(test)]
mod tests;
