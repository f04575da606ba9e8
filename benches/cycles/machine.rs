//! On what it was measured: kinds and sizes, no names.

use std::fs;
use std::path::Path;

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpu, "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 = field(&memory, "MemTotal")
        .and_then(|text| text.split(' ').next().and_then(|n| n.parse().ok()))
        .unwrap_or(0);
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux")
        .trim_matches('"')
        .to_owned();
    let virtual_machine = if cpu.contains(" hypervisor") { ", virtual" } else { "" };
    let gigabytes = (kilobytes + (1 << 19)) >> 20;
    format!("{model}, {cores} cores{virtual_machine}; {gigabytes} GiB of memory; {}; {system}", disk())
}

/// The kind of the first disk that is one.
fn disk() -> &'static str {
    let kinds = ["vda", "nvme0n1", "sda", "xvda"];
    let Some(name) = kinds.iter().find(|name| Path::new("/sys/block").join(name).exists()) else {
        return "disk unknown";
    };
    match (*name, fs::read_to_string(format!("/sys/block/{name}/queue/rotational")).as_deref()) {
        ("vda" | "xvda", _) => "virtual disk",
        (_, Ok("1\n")) => "rotating disk",
        _ => "solid-state disk",
    }
}
