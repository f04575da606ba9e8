//! Disks that are full, fill up in the middle of a cycle, can be read only, are gone, or give back garbage: with the
//! state database on them, and the other files that are written.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bench::Mixed;
use super::support::cuts::assert_nothing_twice;
use super::support::idcsync::{Sandbox, is_write};
use super::support::ports::Loopback;
use super::support::process::run;
use super::support::service::{self, Service};

/// A small file system of its own, at `disk` beside the config. Needs to be root.
struct Disk {
    path: PathBuf,
    /// Takes it away should this process be killed.
    watchdog: Child,
}

impl Disk {
    fn new(mixed: &Mixed) -> Self {
        let path = mixed.idcsync.path("disk");
        fs::create_dir(&path).unwrap();
        // Fails the run where it is refused: a container needs CAP_SYS_ADMIN for it.
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m,mode=700", "idcsync-test"]).arg(&path));
        let watchdog = Command::new("/bin/sh")
            .args(["-c", r#"read -r _; umount -l -- "$0""#])
            .arg(&path)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("start a watchdog");
        Self { path, watchdog }
    }

    /// Nothing more goes onto it.
    fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![0_u8; size];
            while match file.write_all(&block) {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                    false
                }
            } {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }

    fn remount(&self, how: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.path));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its standard input ends, and it does its work.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn bench(sandbox: &[&str]) -> (Mixed, Disk) {
    let mixed = Mixed::new(Sandbox::start_with(sandbox));
    let disk = Disk::new(&mixed);
    mixed.configure(&mixed.sandbox.target(), "[state]\nurl = \"sqlite:disk/state.db\"\n");
    (mixed, disk)
}

fn writes(mixed: &Mixed) -> usize {
    mixed.sandbox.requests().iter().filter(|r| is_write(r)).count()
}

const FULL: &str = "disk/state.db: free some, then run again (nothing that was recorded is lost)";

#[test]
fn a_full_disk_is_said_and_nothing_is_lost_or_done_twice() {
    let (mut mixed, disk) = bench(&["--latency-ms", "20"]);
    // Before there is anything.
    disk.fill();
    let (run, requests) = mixed.sandbox.requests_of(|| mixed.idcsync.run(&["sync"]));
    let run = run.exits(6).complains("error: the state database cannot be used: ");
    println!("{}", run.stderr.lines().last().unwrap());
    assert!(requests.is_empty(), "{requests:?}");
    disk.free();
    mixed.idcsync.run(&["sync"]).exits(0);
    mixed.assert_whole();
    // Before a cycle, and in the middle of one.
    let mut told = 0;
    for after in [0, 1, 2, 4, 6, 9, 11] {
        mixed.change();
        let (sent, before) = (mixed.sandbox.requests().len(), writes(&mixed));
        let mut command = mixed.idcsync.command(&["sync"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if after == 0 {
            disk.fill();
        }
        let mut child = command.spawn().expect("start idcsync");
        if after > 0 {
            let begun = Instant::now();
            while writes(&mixed) < before + after {
                assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60));
                std::thread::sleep(Duration::from_millis(1));
            }
            disk.fill();
        }
        let output = child.wait_with_output().expect("idcsync ends");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let code = output.status.code().unwrap();
        // What fits into what is there already is written all the same.
        assert!(code == 6 && text.contains(FULL) || code == 0 && after > 6, "after {after}: {code}\n{text}");
        told += usize::from(code == 6);
        if after == 0 {
            assert_eq!(writes(&mixed), before, "{text}");
        }
        println!(
            "after {after} writes: {code}: {}",
            text.lines().rfind(|l| l.starts_with("error: ")).unwrap_or("-")
        );
        disk.free();
        let run = mixed.idcsync.run(&["sync"]).exits(0);
        mixed.assert_whole();
        assert_nothing_twice(&mixed.sandbox.requests()[sent..], &|why| {
            format!("after {after}: {why}\n{text}\n{}", run.report())
        });
    }
    assert!(told >= 4, "{told}");
    mixed.assert_settled();
}

/// The same process goes on: its connection to the database was in the middle of a transaction when the disk was full.
#[test]
fn a_service_goes_on_by_itself_once_there_is_room() {
    let (mut mixed, disk) = bench(&["--latency-ms", "20"]);
    let address = Loopback::claim();
    mixed.idcsync.write("http-token", "opensesame-opensesame\n");
    let rest = "[state]\nurl = \"sqlite:disk/state.db\"\n[schedule]\ncron = \"0 0 29 2 *\"\n";
    mixed.configure(&mixed.sandbox.target(), &format!("{rest}{}", service::config(&address)));
    let service = Service::start(&mixed.idcsync, &address, "service");
    service.wait_for("cycle finished", 1);
    mixed.assert_whole();
    mixed.change();
    let (sent, before) = (mixed.sandbox.requests().len(), writes(&mixed));
    service.sync_now();
    service.until("some writes", || (writes(&mixed) > before + 3).then_some(()));
    disk.fill();
    let failed = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("the run failed") && message.contains(FULL)
    };
    service.until("the failure", || service.log().iter().any(failed).then_some(()));
    disk.free();
    service.sync_now();
    service.until("another run", || {
        let done = service.logged("cycle finished").iter().filter(|l| l["outcome"] == "done").count();
        (done >= 2).then_some(())
    });
    mixed.assert_whole();
    assert_nothing_twice(&mixed.sandbox.requests()[sent..], &|why| format!("{why}\n{:#?}", service.log()));
}

#[test]
fn a_disk_that_cannot_be_written_or_is_gone_is_said_before_anything_is_sent() {
    let (mut mixed, disk) = bench(&[]);
    mixed.idcsync.run(&["sync"]).exits(0);
    mixed.change();
    let refused = |words: &str| {
        let (run, requests) = mixed.sandbox.requests_of(|| mixed.idcsync.run(&["sync"]));
        let run = run.exits(6).complains(words);
        println!("{}", run.stderr.lines().last().unwrap());
        assert!(!requests.iter().any(is_write), "{requests:?}");
    };
    disk.remount("ro");
    refused("disk/state.db cannot be ");
    disk.remount("rw");
    let aside = mixed.idcsync.path("aside");
    fs::create_dir(&aside).unwrap();
    let files: Vec<_> = fs::read_dir(&disk.path).unwrap().map(|e| e.unwrap().path()).collect();
    for file in &files {
        fs::copy(file, aside.join(file.file_name().unwrap())).unwrap();
    }
    drop(disk);
    // An empty directory in its place: all the target's objects would be adopted, and that is held where it is not sure.
    fs::remove_dir(mixed.idcsync.path("disk")).unwrap();
    refused("for the state database does not exist: create it");
    fs::rename(&aside, mixed.idcsync.path("disk")).unwrap();
    mixed.idcsync.run(&["sync"]).exits(0);
    mixed.assert_whole();
    mixed.assert_settled();
}

#[test]
fn garbage_in_the_state_database_is_said_and_nothing_is_sent_for_it() {
    let mut mixed = Mixed::new(Sandbox::start());
    mixed.idcsync.run(&["sync"]).exits(0);
    mixed.change();
    let path = mixed.idcsync.path("state.db");
    let whole = fs::read(&path).unwrap();
    let page = 4096;
    let (mut tried, mut said) = (0, std::collections::BTreeMap::<String, usize>::new());
    let mut damages: Vec<(String, Vec<u8>)> = (1..whole.len() / page)
        .map(|number| {
            let mut bytes = whole.clone();
            bytes[number * page..(number + 1) * page].fill(0x5a);
            (format!("page {}", number + 1), bytes)
        })
        .collect();
    let mut header = whole.clone();
    header[..100].fill(0x5a);
    damages.push(("the header".to_owned(), header));
    damages.push(("a file that ends early".to_owned(), whole[..page + 100].to_vec()));
    for (what, bytes) in damages {
        for side in ["state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(mixed.idcsync.path(side));
        }
        fs::write(&path, &bytes).unwrap();
        // A dry run reads the same, and does nothing to the target whatever it reads.
        let run = mixed.idcsync.run(&["sync", "--dry-run"]);
        tried += 1;
        let line = run.stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or("-").to_owned();
        match run.code {
            6 => {
                let told = ["is damaged: stop idcsync", "is not a SQLite database", "makes no sense"];
                assert!(told.iter().any(|words| line.contains(words)), "{what}: {}", run.report());
                let (run, requests) = mixed.sandbox.requests_of(|| mixed.idcsync.run(&["sync"]));
                let run = run.exits(6);
                assert!(!requests.iter().any(is_write), "{what}: {}\n{requests:?}", run.report());
            }
            // A page that nobody looks at in this cycle.
            0 => {}
            other => panic!("{what}: {other}: {}", run.report()),
        }
        *said.entry(format!("{}: {line}", run.code)).or_default() += 1;
    }
    println!("{tried} damages: {said:#?}");
    assert!(
        said.iter().filter(|(line, _)| line.starts_with('6')).map(|(_, n)| n).sum::<usize>() > 5,
        "{said:?}"
    );
    for side in ["state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(mixed.idcsync.path(side));
    }
    fs::write(&path, &whole).unwrap();
    mixed.idcsync.run(&["sync"]).exits(0);
    mixed.assert_whole();
    mixed.assert_settled();
}

#[test]
fn a_full_disk_under_the_files_beside_keeps_no_sync_from_its_work() {
    let (mut mixed, disk) = bench(&[]);
    mixed.configure(
        &mixed.sandbox.target(),
        "[state]\nurl = \"sqlite:state.db\"\n[log]\nerror-log = \"disk/errors.jsonl\"\n[metrics]\n\
         textfile = \"disk/idcsync.prom\"\n",
    );
    mixed.idcsync.run(&["sync"]).exits(0);
    disk.fill();
    // A finding for the error log.
    mixed.export.person("p01").mail = String::new();
    mixed.change();
    let run = mixed
        .idcsync
        .run(&["sync"])
        .exits(0)
        .complains("the error log ")
        .complains("cannot be written: No space left on device")
        .complains("the metrics of this run are not written");
    for line in run.stderr.lines().filter(|l| l.contains("WARN") && l.contains("written")) {
        println!("{line}");
    }
    mixed.assert_whole();

    // A plan that does not fit is not there at all, and what was there before stays.
    mixed.change();
    let plan = mixed.idcsync.path("disk/plan.json");
    let run = mixed.idcsync.run(&["sync", "--dry-run", "--out", "disk/plan.json"]).exits(1);
    let run = run.complains("No space left on device").never_says("Do what it has");
    println!("{}", run.stderr.lines().last().unwrap());
    assert!(!plan.exists());
    assert!(names(&disk.path).iter().all(|name| !name.ends_with(".tmp")), "{:?}", names(&disk.path));
    disk.free();
    mixed.idcsync.run(&["sync", "--dry-run", "--out", "disk/plan.json"]).exits(0);
    let first = fs::read(&plan).unwrap();
    disk.fill();
    mixed.export.person("p02").display_name = "Somebody Else".to_owned();
    mixed.put();
    mixed.idcsync.run(&["sync", "--dry-run", "--out", "disk/plan.json"]).exits(1);
    assert_eq!(fs::read(&plan).unwrap(), first);

    // Nobody to tell it to: it is done all the same, and the exit code is not that of success.
    let mut command = mixed.idcsync.command(&["sync"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
    let output = command.output().expect("run idcsync");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: stdout cannot be written: No space left on device"), "{text}");
    mixed.assert_whole();
    mixed.assert_settled();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
