//! The request log: one JSON line for each request, in the file before its answer leaves.
//!
//! ```json
//! {"time":"2026-11-02T09:00:00.123Z","requestId":"…","operation":"CreateUser","access":"write",
//!  "resource":{"userName":"ada@example.com","userId":"…"},"outcome":"ok","status":200,"latencyMs":1.25}
//! ```
//!
//! `outcome` is `ok` or the type of the error. `fault` names the fault on demand, if there was one; `withheld` is true
//! where no answer left, and `outcome` is then what was done (`none` if nothing was). `status` is absent then.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::private_file;

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry<'a> {
    pub time: String,
    pub request_id: &'a str,
    /// As in the target header; what the sandbox doesn't know is shown as it came.
    pub operation: &'a str,
    pub access: Option<&'static str>,
    /// The name that the caller's SDK was given (AWS_SDK_UA_APP_ID), to tell several callers apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<&'a str>,
    pub resource: &'a Value,
    pub outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// Milliseconds, the simulated latency included.
    pub latency_ms: f64,
}

/// The file, appended to.
#[derive(Debug)]
pub struct RequestLog {
    file: Mutex<File>,
}

impl RequestLog {
    pub fn open(path: &Path) -> io::Result<Self> {
        // It names whoever was written.
        let file = private_file::append(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Appends one line, in one write.
    pub fn write(&self, entry: &LogEntry<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_appended_across_openings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests.jsonl");
        let resource = json!({"userName": "ada"});
        for withheld in [false, true] {
            let entry = LogEntry {
                time: "2026-11-02T09:00:00Z".into(),
                request_id: "r-1",
                operation: "CreateUser",
                access: Some("write"),
                caller: None,
                resource: &resource,
                outcome: "ok",
                status: (!withheld).then_some(200),
                fault: withheld.then_some("timeout-after"),
                withheld,
                latency_ms: 1.5,
            };
            RequestLog::open(&path).unwrap().write(&entry).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(
            lines[0],
            json!({"time": "2026-11-02T09:00:00Z", "requestId": "r-1", "operation": "CreateUser", "access": "write",
                   "resource": {"userName": "ada"}, "outcome": "ok", "status": 200, "latencyMs": 1.5})
        );
        assert_eq!(lines[1]["withheld"], true);
        assert_eq!(lines[1].get("status"), None);
    }
}
