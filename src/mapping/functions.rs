//! The functions of JMESPath expressions: those of the specification, and a few for text.
//!
//! | function | gives |
//! | --- | --- |
//! | `lower(text)`, `upper(text)` | the text in lower, in upper case |
//! | `trim(text)` | the text without white space around it |
//! | `replace(text, from, to)` | the text with each `from` replaced; nothing is where `from` is empty |
//! | `split(text, separator)` | the list of the parts; of the characters where `separator` is empty |
//! | `substring(text, start, length?)` | characters from `start` (from 0; negative: from the end), to the end or `length` of them |
//!
//! Each gives null for a text that is null, so that an absent attribute stays absent.

use std::sync::LazyLock;

use jmespath::functions::Function;
use jmespath::{Context, ErrorReason, JmespathError, Rcvar, Runtime, RuntimeError, Variable};

/// Name, and the least and most arguments: a wrong number is found at load.
const ARITY: &[(&str, usize, usize)] = &[
    ("abs", 1, 1),
    ("avg", 1, 1),
    ("ceil", 1, 1),
    ("contains", 2, 2),
    ("ends_with", 2, 2),
    ("floor", 1, 1),
    ("join", 2, 2),
    ("keys", 1, 1),
    ("length", 1, 1),
    ("lower", 1, 1),
    ("map", 2, 2),
    ("max", 1, 1),
    ("max_by", 2, 2),
    ("merge", 1, usize::MAX),
    ("min", 1, 1),
    ("min_by", 2, 2),
    ("not_null", 1, usize::MAX),
    ("replace", 3, 3),
    ("reverse", 1, 1),
    ("sort", 1, 1),
    ("sort_by", 2, 2),
    ("split", 2, 2),
    ("starts_with", 2, 2),
    ("substring", 2, 3),
    ("sum", 1, 1),
    ("to_array", 1, 1),
    ("to_number", 1, 1),
    ("to_string", 1, 1),
    ("trim", 1, 1),
    ("type", 1, 1),
    ("upper", 1, 1),
    ("values", 1, 1),
];

pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Runtime::new();
    runtime.register_builtin_functions();
    let ours: [(&str, Body); 6] = [
        ("lower", |args, _| Ok(text(args[0].to_lowercase()))),
        ("upper", |args, _| Ok(text(args[0].to_uppercase()))),
        ("trim", |args, _| Ok(text(args[0].trim().to_owned()))),
        ("replace", |args, _| {
            let (from, to) = (args[1], args[2]);
            Ok(text(if from.is_empty() { args[0].to_owned() } else { args[0].replace(from, to) }))
        }),
        ("split", |args, _| {
            let parts = if args[1].is_empty() {
                args[0].chars().map(|c| text(c.to_string())).collect()
            } else {
                args[0].split(args[1]).map(|part| text(part.to_owned())).collect()
            };
            Ok(Rcvar::new(Variable::Array(parts)))
        }),
        ("substring", |args, numbers| Ok(text(substring(args[0], numbers)))),
    ];
    for (name, body) in ours {
        runtime.register_function(name, Box::new(TextFunction { name, body }));
    }
    runtime
});

/// Refuses a function that does not exist and a wrong number of arguments, with the message and a help.
pub(super) fn check(name: &str, args: usize) -> Result<(), (String, Option<String>)> {
    let Some((_, least, most)) = ARITY.iter().find(|(known, ..)| *known == name) else {
        let known = ARITY.iter().map(|(known, ..)| *known).collect::<Vec<_>>().join(", ");
        return Err((format!("there is no function `{name}`"), Some(format!("there are {known}"))));
    };
    if (*least..=*most).contains(&args) {
        return Ok(());
    }
    let wanted = match (*least, *most) {
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    Err((format!("`{name}` takes {wanted} argument(s), not {args}"), None))
}

/// Gets the text arguments, and the numbers that follow them.
type Body = fn(&[&str], &[f64]) -> Result<Rcvar, JmespathError>;

struct TextFunction {
    name: &'static str,
    body: Body,
}

impl Function for TextFunction {
    fn evaluate(&self, args: &[Rcvar], ctx: &mut Context<'_>) -> Result<Rcvar, JmespathError> {
        // An absent attribute stays absent, whatever is done with it.
        if args.first().is_none_or(|subject| subject.is_null()) {
            return Ok(Rcvar::new(Variable::Null));
        }
        let texts = if self.name == "substring" { 1 } else { args.len() };
        let mut strings = Vec::with_capacity(texts);
        let mut numbers = Vec::new();
        for (position, arg) in args.iter().enumerate() {
            let wrong = |expected: &str| {
                let (expected, actual) = (expected.to_owned(), arg.get_type().to_string());
                let reason = RuntimeError::InvalidType { expected, actual, position };
                JmespathError::from_ctx(ctx, ErrorReason::Runtime(reason))
            };
            if position < texts {
                strings.push(arg.as_string().ok_or_else(|| wrong("string"))?.as_str());
            } else {
                numbers.push(arg.as_number().ok_or_else(|| wrong("number"))?);
            }
        }
        (self.body)(&strings, &numbers)
    }
}

fn text(text: String) -> Rcvar {
    Rcvar::new(Variable::String(text))
}

fn substring(subject: &str, numbers: &[f64]) -> String {
    let start = numbers.first().copied().unwrap_or_default();
    // A cast from a float saturates, and of what is no number it gives 0.
    let skip =
        if start < 0.0 { subject.chars().count().saturating_sub(-start as usize) } else { start as usize };
    let take = numbers.get(1).map_or(usize::MAX, |length| *length as usize);
    subject.chars().skip(skip).take(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gives(expression: &str) -> String {
        let result = RUNTIME.compile(expression).unwrap().search(()).unwrap();
        serde_json::to_string(&*result).unwrap()
    }

    #[test]
    fn the_functions_for_text() {
        for (expression, result) in [
            ("lower('ÄB')", r#""äb""#),
            ("upper('straße')", r#""STRASSE""#),
            ("trim(' a b\t')", r#""a b""#),
            ("replace('a.b.c', '.', '')", r#""abc""#),
            ("replace('abc', '', 'x')", r#""abc""#),
            ("replace('aaa', 'a', 'aa')", r#""aaaaaa""#),
            ("split('a,b,,c', ',')", r#"["a","b","","c"]"#),
            ("split('äb', '')", r#"["ä","b"]"#),
            ("substring('Jörg', `1`)", r#""örg""#),
            ("substring('Jörg', `0`, `2`)", r#""Jö""#),
            ("substring('Jörg', `-2`)", r#""rg""#),
            ("substring('Jörg', `-9`, `1`)", r#""J""#),
            ("substring('Jörg', `9`)", r#""""#),
            ("substring('Jörg', `0`, `-1`)", r#""""#),
            ("substring('Jörg', `1e300`, `1e300`)", r#""""#),
            ("lower(@)", "null"),
            ("substring(lower(@), `1`)", "null"),
        ] {
            assert_eq!(gives(expression), result, "{expression}");
        }
    }

    #[test]
    fn arguments_of_the_wrong_sort_are_errors() {
        for expression in ["lower(`1`)", "replace('a', `1`, 'b')", "substring('a', 'b')", "split(`[]`, ',')"]
        {
            assert!(RUNTIME.compile(expression).unwrap().search(()).is_err(), "{expression}");
        }
    }

    #[test]
    fn the_table_of_arguments_agrees_with_the_runtime() {
        for (name, least, most) in ARITY {
            let function = RUNTIME.get_function(name).unwrap();
            let mut context = Context::new("", &RUNTIME);
            let null = Rcvar::new(Variable::Null);
            let arity_error = |result: Result<Rcvar, JmespathError>| {
                matches!(
                    result.map_err(|e| e.reason),
                    Err(ErrorReason::Runtime(
                        RuntimeError::NotEnoughArguments { .. } | RuntimeError::TooManyArguments { .. }
                    ))
                )
            };
            assert!(!arity_error(function.evaluate(&vec![null.clone(); *least], &mut context)), "{name}");
            let ours = ["lower", "upper", "trim", "replace", "split", "substring"].contains(name);
            if !ours {
                assert!(
                    arity_error(function.evaluate(&vec![null.clone(); least - 1], &mut context)),
                    "{name}"
                );
                if *most != usize::MAX {
                    assert!(arity_error(function.evaluate(&vec![null; most + 1], &mut context)), "{name}");
                }
            }
        }
        assert!(check("substring", 3).is_ok());
        assert_eq!(check("substring", 4).unwrap_err().0, "`substring` takes 2 to 3 argument(s), not 4");
        assert_eq!(check("merge", 0).unwrap_err().0, "`merge` takes at least 1 argument(s), not 0");
    }
}
