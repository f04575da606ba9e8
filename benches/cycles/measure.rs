//! What a process takes: time, processor, memory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Of one process, from its start to its end.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Seconds.
    pub wall: f64,
    /// Seconds of all threads, in the kernel and out of it.
    pub cpu: f64,
    /// Megabytes (2^20 bytes) that were resident at most.
    pub peak: f64,
    /// Seconds until the directory was read, and until the plan was there, by the program's own log.
    pub read: Option<f64>,
    pub planned: Option<f64>,
}

/// Ticks in a second of `/proc/PID/stat`: 100 on all Linux systems that there are.
const TICKS: f64 = 100.0;

/// Runs it to its end. What it prints goes to `out` and to `out` with `.err` behind. Panics unless it exits with 0.
pub fn run(mut command: Command, out: &Path) -> Cost {
    let errors = out.with_extension("err");
    let file = |path: &Path| fs::File::create(path).expect("create a file for what is printed");
    command.stdin(Stdio::null()).stdout(file(out)).stderr(file(&errors));
    let begun = jiff::Timestamp::now();
    let since = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
    let home = Path::new("/proc").join(child.id().to_string());
    let mut cost = Cost::default();
    let mut kilobytes: u64 = 0;
    // The peak is gone with the process's memory, the time with the process; nobody has waited for it yet.
    loop {
        let status = fs::read_to_string(home.join("status")).unwrap_or_default();
        if let Some(peak) = number(&status, "VmHWM:") {
            kilobytes = kilobytes.max(peak);
        }
        if status.lines().any(|line| line.starts_with("State:") && line.contains('Z')) {
            cost.wall = since.elapsed().as_secs_f64();
            break;
        }
        sleep(Duration::from_millis(2));
    }
    let stat = fs::read_to_string(home.join("stat")).unwrap_or_default();
    let times = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(11).take(2);
    cost.cpu = times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS;
    cost.peak = kilobytes as f64 / 1024.0;
    let status = child.wait().expect("the state of our own child");
    let said = fs::read_to_string(&errors).unwrap_or_default();
    assert!(status.success(), "{command:?} ended with {status}\n{said}");
    let at = |message: &str| {
        let line = said.lines().find(|line| line.contains(&format!("\"message\":\"{message}\"")))?;
        let record: Value = serde_json::from_str(line).ok()?;
        let time: jiff::Timestamp = record["timestamp"].as_str()?.parse().ok()?;
        Some(time.duration_since(begun).as_secs_f64())
    };
    cost.read = at("directory read");
    cost.planned = at("planned");
    cost
}

fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The medians of several runs.
pub fn medians(costs: &[Cost]) -> Value {
    let median = |of: &dyn Fn(&Cost) -> Option<f64>| {
        let mut all: Vec<f64> = costs.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    };
    let walls: Vec<f64> = costs.iter().map(|cost| cost.wall).collect();
    json!({
        "wall": median(&|c| Some(c.wall)),
        "walls": walls,
        "cpu": median(&|c| Some(c.cpu)),
        "peak": median(&|c| Some(c.peak)),
        "read": median(&|c| c.read),
        "planned": median(&|c| c.planned),
    })
}
