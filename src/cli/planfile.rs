//! Plan files: what `sync --dry-run --out` writes for someone to review, as JSON or as a page, and what `apply` lets a
//! cycle do of the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, Exit};
use crate::ids::Fingerprint;
use crate::plan::{ApprovedPlan, PlanPage, PlanView, SCHEMA, StepNo, shown};
use crate::printable::JsonWriter;
use crate::private_file;

/// More than the plan of any store comes to; what is longer is something else.
const LONGEST: u64 = 1 << 30;

/// So many steps of one sort are named on stderr.
const NAMED: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    #[error("the plan cannot be written to {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is no plain file, so no plan is written there", path.display())]
    NotPlain { path: PathBuf },
    #[error("the plan file {} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no plan file: it has more than {LONGEST} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} is a page for people to read, and cannot be applied: make a plan file with `idcsync sync --dry-run --out plan.json`, and see that it has the same plan id", path.display())]
    Page { path: PathBuf },
    #[error("{} is no plan file: make one with `idcsync sync --dry-run --out FILE`", path.display())]
    Shape { path: PathBuf, source: serde_json::Error },
    #[error("{} holds {found}, and this version applies {SCHEMA}: make one with `idcsync sync --dry-run --out FILE`", path.display())]
    Version { path: PathBuf, found: String },
    #[error("{} is a plan of the profile {found}, and the config is of the profile {profile}", path.display())]
    OtherProfile { path: PathBuf, found: String, profile: String },
}

/// Whether the file is to be a page: by the ending of its name.
pub fn is_page(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("html") || ending.eq_ignore_ascii_case("htm"))
}

/// Writes the plan to each of the files, in the form that its name asks for.
pub fn write_all(paths: &[PathBuf], view: &PlanView<'_>) -> Result<(), PlanFileError> {
    let json = paths.iter().find(|path| !is_page(path));
    // As it is to be typed, where it is fit for that.
    let json = json.map(|path| path.display().to_string()).filter(|name| !name.contains(char::is_whitespace));
    for path in paths {
        write(path, &|out| match is_page(path) {
            true => write_page(out, &PlanPage { view, json: json.as_deref() }),
            false => write_json(out, view),
        })?;
    }
    Ok(())
}

type Fill<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// At once or not at all; nobody else may read it.
fn write(path: &Path, content: Fill<'_>) -> Result<(), PlanFileError> {
    let failed = |source| PlanFileError::Write { path: path.to_owned(), source };
    private_file::refuse_foreign_link(path).map_err(failed)?;
    let path = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map_err(failed)?,
        Ok(_) => return Err(PlanFileError::NotPlain { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    let Some(name) = path.file_name() else { return Err(PlanFileError::NotPlain { path }) };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = fill(&beside, content).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The first error is the one to tell of.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(|source| PlanFileError::Write { path, source })
}

fn fill(path: &Path, content: Fill<'_>) -> io::Result<()> {
    let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?);
    content(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn write_json(mut out: &mut dyn Write, view: &PlanView<'_>) -> io::Result<()> {
    serde_json::to_writer_pretty(JsonWriter(&mut out), view).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

fn write_page(out: &mut dyn Write, page: &PlanPage<'_>) -> io::Result<()> {
    // Of bounded length, whatever the plan's.
    let mut text = String::new();
    page.write_to(&mut text).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

/// The steps of a file, by what tells them from others.
#[derive(Clone, Debug)]
pub struct PlanFile {
    path: PathBuf,
    /// The target was read back for the plan, and so it must be for these steps.
    pub full: bool,
    steps: BTreeMap<Fingerprint, Value>,
    /// Done by an earlier cycle of this run.
    done: BTreeSet<Fingerprint>,
}

#[derive(Deserialize)]
struct Shape {
    schema: String,
    profile: String,
    #[serde(default)]
    full: bool,
    steps: Vec<StepShape>,
}

/// The version alone, which says whether the rest can be understood.
#[derive(Deserialize)]
struct Version {
    schema: Option<Value>,
}

#[derive(Deserialize)]
struct StepShape {
    action: String,
    fingerprint: Fingerprint,
    object: Option<Named>,
    member: Option<Named>,
    entry: Option<EntryName>,
}

#[derive(Deserialize)]
struct Named {
    label: String,
}

#[derive(Deserialize)]
struct EntryName {
    name: String,
}

impl StepShape {
    /// What is told of it.
    fn brief(&self) -> Value {
        let object = self.object.as_ref().map(|o| &o.label).or(self.entry.as_ref().map(|e| &e.name));
        json!({
            "action": self.action,
            "object": object,
            "member": self.member.as_ref().map(|m| &m.label),
            "fingerprint": self.fingerprint,
        })
    }
}

impl PlanFile {
    pub fn read(path: &Path, profile: &str) -> Result<Self, PlanFileError> {
        let failed = |source| PlanFileError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let mut text = Vec::new();
        BufReader::new(file).take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > LONGEST {
            return Err(PlanFileError::TooLong { path: path.to_owned() });
        }
        Self::of(&text, path, profile)
    }

    fn of(text: &[u8], path: &Path, profile: &str) -> Result<Self, PlanFileError> {
        let path = path.to_owned();
        let version = match serde_json::from_slice::<Version>(text) {
            Ok(version) => version,
            Err(_) if is_html(text) => return Err(PlanFileError::Page { path }),
            Err(source) => return Err(PlanFileError::Shape { path, source }),
        };
        if let Some(found) = version.schema.as_ref().and_then(Value::as_str).filter(|found| *found != SCHEMA)
        {
            return Err(PlanFileError::Version { path, found: shown(found) });
        }
        let shape = match serde_json::from_slice::<Shape>(text) {
            Ok(shape) => shape,
            Err(source) => return Err(PlanFileError::Shape { path, source }),
        };
        debug_assert_eq!(shape.schema, SCHEMA);
        if shape.profile != profile {
            let (found, profile) = (shown(&shape.profile), profile.to_owned());
            return Err(PlanFileError::OtherProfile { path, found, profile });
        }
        let steps = shape.steps.into_iter().map(|s| (s.fingerprint.clone(), s.brief())).collect();
        Ok(Self { path, full: shape.full, steps, done: BTreeSet::new() })
    }

    pub fn fingerprints(&self) -> BTreeSet<Fingerprint> {
        self.steps.keys().cloned().collect()
    }

    /// A cycle of this run has done what it could of `plan`, and another one follows.
    pub fn note_done(&mut self, plan: &ApprovedPlan) {
        self.done.extend(plan.runnable().map(|(_, step)| plan.plan().fingerprint(&step)));
    }

    /// How the file and what is planned now differ.
    pub fn compare(&self, approved: &ApprovedPlan) -> Differences {
        let plan = approved.plan();
        let planned: BTreeMap<Fingerprint, StepNo> =
            plan.numbered().map(|(no, step)| (plan.fingerprint(&step), no)).collect();
        let gone = self.steps.iter().filter(|(f, _)| !planned.contains_key(*f) && !self.done.contains(*f));
        let (mut lacking, mut waiting) = (Vec::new(), Vec::new());
        for no in approved.left_out() {
            let fingerprint = plan.fingerprint(&plan.step(no));
            match self.steps.get(&fingerprint) {
                Some(step) => waiting.push(step.clone()),
                None => lacking.push(approved.step_json(no)),
            }
        }
        Differences {
            not_planned: gone.map(|(_, step)| step.clone()).collect(),
            not_in_file: lacking,
            waiting,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What was not done, and why.
pub struct Differences {
    /// Of the file, and not planned any more.
    not_planned: Vec<Value>,
    /// Planned, and not in the file.
    not_in_file: Vec<Value>,
    /// Both, but in need of a step that is not in the file.
    waiting: Vec<Value>,
}

impl Differences {
    pub fn json(&self) -> Value {
        json!({ "notPlanned": self.not_planned, "notInFile": self.not_in_file, "waiting": self.waiting })
    }

    /// On stderr.
    pub fn tell(&self, context: &Context, file: &PlanFile) {
        let path = file.path().display();
        for (steps, what) in [
            (&self.not_planned, "No longer planned, and not done"),
            (&self.waiting, "Left out, since they need steps that are not in the file"),
            (&self.not_in_file, "Planned, but not in the file, and left out"),
        ] {
            if steps.is_empty() {
                continue;
            }
            context.say(&format!("{what} ({path}, {}):", steps.len()));
            for step in steps.iter().take(NAMED) {
                context.say(&format!("  {}", line(step)));
            }
            if steps.len() > NAMED {
                context.say(&format!("  and {} more (--output json has all)", steps.len() - NAMED));
            }
        }
    }
}

/// `add-member Team: alice`; of a step in the plan's form, or in the brief one.
fn line(step: &Value) -> String {
    let text = |value: &Value| value.as_str().or_else(|| value["label"].as_str()).map(shown);
    let action = text(&step["action"]).unwrap_or_default();
    let entry = || step["entry"]["name"].as_str().map(shown);
    let object = text(&step["object"]).or_else(entry).unwrap_or_default();
    match text(&step["member"]) {
        Some(member) => format!("{action} {object}: {member}"),
        None => format!("{action} {object}"),
    }
}

fn is_html(text: &[u8]) -> bool {
    const START: &[u8] = b"<!doctype html";
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    text.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// Says why a plan file cannot be used.
pub fn explain(context: &Context, error: &PlanFileError) -> Exit {
    context.complain(&format!("error: {}", crate::cycle::chain(error)));
    match error {
        PlanFileError::Write { .. } => Exit::Unexpected,
        _ => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<PlanFile, String> {
        PlanFile::of(text.as_bytes(), Path::new("p.json"), "corp").map_err(|e| crate::cycle::chain(&e))
    }

    #[test]
    fn only_a_plan_of_this_version_and_profile_is_taken() {
        let plan = |schema: &str, profile: &str| {
            format!(
                r#"{{"schema": "{schema}", "plan": "x", "profile": "{profile}", "steps": [
                {{"step": 1, "action": "add-member", "object": {{"kind": "group", "label": "Team"}},
                  "member": {{"label": "a\u202eb"}}, "fingerprint": "f1"}},
                {{"step": 2, "action": "rebind-entry", "entry": {{"kind": "group", "name": "E"}}, "fingerprint": "f2"}}]}}"#
            )
        };
        let file = read(&plan("idcsync/plan/v1", "corp")).unwrap();
        let lines: Vec<_> = file.steps.values().map(line).collect();
        assert_eq!(lines, ["add-member Team: a\\u{202e}b", "rebind-entry E"]);
        assert_eq!(file.fingerprints().len(), 2);

        let other = read(&plan("idcsync/plan/v1", "test")).unwrap_err();
        assert_eq!(other, "p.json is a plan of the profile test, and the config is of the profile corp");
        let version = read(&plan("idcsync/plan/v2", "corp")).unwrap_err();
        assert!(version.starts_with("p.json holds idcsync/plan/v2, and this version applies"), "{version}");
        let cycle = read(r#"{"schema": "idcsync/cycle/v1", "plan": {"steps": []}}"#).unwrap_err();
        assert!(cycle.contains("idcsync/cycle/v1"), "{cycle}");
        for page in ["<!doctype html>", "\u{feff}\n<!DOCTYPE HTML><html>"] {
            let error = read(page).unwrap_err();
            assert!(
                error.starts_with("p.json is a page for people to read, and cannot be applied"),
                "{error}"
            );
        }
        for text in ["", "no", "[]", "{}", r#"{"schema": "idcsync/plan/v1", "profile": "corp"}"#] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("p.json is no plan file: make one with"), "{error}");
        }
        let bare = r#"{"schema": "idcsync/plan/v1", "profile": "corp", "steps": [{"action": "x"}]}"#;
        assert!(read(bare).unwrap_err().contains("missing field `fingerprint`"));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic_and_none_has_more_steps_than_are_in_it(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut bytes = br#"{"schema": "idcsync/plan/v1", "plan": "x", "profile": "corp", "full": true, "steps": [
                {"step": 1, "action": "add-member", "object": {"kind": "group", "label": "Team"},
                 "member": {"label": "a"}, "fingerprint": "f1"}]}"#.to_vec();
            for (at, byte, how) in edits {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => { bytes.remove(at); }
                }
            }
            for bytes in [bytes, noise] {
                if let Ok(file) = PlanFile::of(&bytes, Path::new("p.json"), "corp") {
                    prop_assert!(file.fingerprints().len() <= 1);
                    file.steps.values().map(line).for_each(|line| {
                        assert!(!line.chars().any(crate::printable::is_hidden));
                    });
                }
            }
        }
    }
}
