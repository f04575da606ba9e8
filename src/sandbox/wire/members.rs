//! Reading the members of a JSON structure strictly: every one that is there must be known and of the right type, and
//! everything that is wrong is collected, so that one answer names it all.

use serde_json::{Map, Value};

use crate::sandbox::store::{Rule, Violation};

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub struct Problems {
    /// A value of the wrong JSON type; the service answers with a SerializationException before it looks further.
    pub malformed: Option<String>,
    pub violations: Vec<Violation>,
}

impl Problems {
    pub fn add(&mut self, path: impl Into<String>, rule: Rule) {
        self.violations.push(Violation::new(path, rule));
    }

    fn wrong_type(&mut self, path: &str, wanted: &str) {
        self.malformed.get_or_insert_with(|| format!("Value at '{path}' is not {wanted}"));
    }
}

/// One JSON structure, its members taken out as they are read.
#[derive(Debug)]
pub struct Members {
    path: String,
    values: Map<String, Value>,
}

/// `UserName` → `userName`: how the service names members in its messages.
pub fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl Members {
    /// The top of a request.
    pub fn top(values: Map<String, Value>) -> Self {
        Self { path: String::new(), values }
    }

    /// Where the member `name` of this structure stands.
    pub fn path_of(&self, name: &str) -> String {
        let name = lower_first(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    /// Takes the member out; null is the same as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|v| !v.is_null())
    }

    pub fn text(&mut self, name: &str, problems: &mut Problems) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                problems.wrong_type(&self.path_of(name), "a string");
                None
            }
        }
    }

    pub fn boolean(&mut self, name: &str, problems: &mut Problems) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_bool().is_none() {
            problems.wrong_type(&self.path_of(name), "a boolean");
        }
        value.as_bool()
    }

    pub fn integer(&mut self, name: &str, problems: &mut Problems) -> Option<i64> {
        let value = self.take(name)?;
        if value.as_i64().is_none() {
            problems.wrong_type(&self.path_of(name), "an integer");
        }
        value.as_i64()
    }

    /// A member of the type Document: any JSON. Absent and null are both `None`.
    pub fn document(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    pub fn structure(&mut self, name: &str, problems: &mut Problems) -> Option<Self> {
        let path = self.path_of(name);
        match self.take(name)? {
            Value::Object(values) => Some(Self { path, values }),
            _ => {
                problems.wrong_type(&path, "a structure");
                None
            }
        }
    }

    /// A list of structures; `len` gives the least and the greatest number of them.
    pub fn structures(
        &mut self,
        name: &str,
        len: (usize, usize),
        problems: &mut Problems,
    ) -> Option<Vec<Self>> {
        let list = self.path_of(name);
        let items = self.list(name, len, problems)?;
        let mut structures = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            let path = format!("{list}.{}.member", i + 1);
            match item {
                Value::Object(values) => structures.push(Self { path, values }),
                _ => problems.wrong_type(&path, "a structure"),
            }
        }
        Some(structures)
    }

    /// A list of strings with the paths where they stand.
    pub fn texts(
        &mut self,
        name: &str,
        len: (usize, usize),
        problems: &mut Problems,
    ) -> Option<Vec<(String, String)>> {
        let list = self.path_of(name);
        let items = self.list(name, len, problems)?;
        let mut texts = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            let path = format!("{list}.{}.member", i + 1);
            match item {
                Value::String(text) => texts.push((path, text)),
                _ => problems.wrong_type(&path, "a string"),
            }
        }
        Some(texts)
    }

    fn list(&mut self, name: &str, len: (usize, usize), problems: &mut Problems) -> Option<Vec<Value>> {
        let path = self.path_of(name);
        let Value::Array(items) = self.take(name)? else {
            problems.wrong_type(&path, "a list");
            return None;
        };
        if items.len() < len.0 {
            problems.add(&path, Rule::MinLength(len.0));
        }
        if items.len() > len.1 {
            problems.add(&path, Rule::MaxLength(len.1));
        }
        Some(items)
    }

    /// A member that must be there: notes its absence.
    pub fn require<T>(&self, name: &str, value: Option<T>, problems: &mut Problems) -> Option<T> {
        if value.is_none() && problems.malformed.is_none() {
            problems.add(self.path_of(name), Rule::NotNull);
        }
        value
    }

    /// The names of the members not read yet, as sent.
    pub fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// To be called when all known members are read: what is left is not known.
    pub fn finish(self, problems: &mut Problems) {
        for name in self.values.keys() {
            problems.add(self.path_of(name), Rule::UnknownMember);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn top(value: Value) -> Members {
        match value {
            Value::Object(values) => Members::top(values),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn everything_wrong_is_named_with_its_path() {
        let mut problems = Problems::default();
        let mut m = top(json!({"Emails": [{"Value": "a", "Vlaue": "b"}], "Bogus": 1, "Null": null}));
        for mut email in m.structures("Emails", (2, 3), &mut problems).unwrap() {
            assert_eq!(email.text("Value", &mut problems).as_deref(), Some("a"));
            email.finish(&mut problems);
        }
        let missing: Option<String> = m.text("UserId", &mut problems);
        m.require("UserId", missing, &mut problems);
        assert_eq!(m.text("Null", &mut problems), None);
        m.finish(&mut problems);
        let shown: Vec<_> = problems.violations.iter().map(|v| v.path.as_str()).collect();
        assert_eq!(shown, ["emails", "emails.1.member.vlaue", "userId", "bogus"]);
        assert_eq!(problems.malformed, None);
    }

    #[test]
    fn a_wrong_type_is_malformed() {
        for (name, value) in [("T", json!(1)), ("B", json!("true")), ("I", json!(1.5)), ("S", json!([]))] {
            let mut problems = Problems::default();
            let mut m = top(json!({name: value}));
            m.text("T", &mut problems);
            m.boolean("B", &mut problems);
            m.integer("I", &mut problems);
            m.structure("S", &mut problems);
            assert!(problems.malformed.is_some(), "{name}");
        }
    }
}
