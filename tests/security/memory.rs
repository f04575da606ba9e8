//! What is in the memory of the process stays there: no core dumps, no looks from other processes of the same user.

use std::fs;
use std::process::{Command, Output, Stdio};

use super::support::export::Export;
use super::support::idcsync::Idcsync;
use super::support::ports::Loopback;
use super::support::process::{Server, output};
use super::support::service::{self, Service};
use super::{export, is_root, through};

/// With nothing of root's power, where root runs the tests: to root nothing is closed.
fn without_power(command: &Command) -> Command {
    if is_root() {
        through("setpriv", &["--bounding-set", "-all", "--inh-caps", "-all", "--"], command)
    } else {
        through("/usr/bin/env", &["--"], command)
    }
}

fn read(pid: u32, file: &str) -> Output {
    let mut cat = Command::new("cat");
    cat.arg(format!("/proc/{pid}/{file}")).current_dir("/");
    output(&mut without_power(&cat))
}

#[test]
fn there_is_no_core_dump_and_no_look_into_the_process() {
    let address = Loopback::claim();
    let idcsync = Idcsync::new(&format!(
        "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\n\
         [state]\nurl = \"sqlite:state.db\"\n{}[schedule]\ncron = \"0 0 29 2 *\"\n",
        Export::config(&["Team"]),
        service::config(&address)
    ));
    idcsync.write("directory.ldif", &export().text());
    idcsync.write("http-token", "opensesame-opensesame\n");
    let mut command = idcsync.command(&["run"]);
    command.env("SECRET_OF_THE_TEST", "in the environment");
    let mut service = Service::start_as(without_power(&command), &idcsync, &address, "service");
    // The work goes on as ever: what is asked of /proc for the lease can still be had.
    service.wait_for("cycle finished", 1);
    let pid = service.server().pid();

    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let cores = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "0", "0"], "{cores}");

    let mut sleep = Command::new("sleep");
    sleep.arg("60").env("SECRET_OF_THE_TEST", "in the environment").current_dir("/");
    let home = crate::support::dirs::private();
    let mut sleep = without_power(&sleep);
    sleep.stdin(Stdio::null());
    let neighbour = Server::start("sleep", sleep, home.path(), || true);
    let is_open = |pid: u32, file: &str| {
        let output = read(pid, file);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && (file != "environ" || text.contains("in the environment"))
    };
    for file in ["environ", "auxv"] {
        // Any other process of the same user can be looked into. It takes a moment until `sleep` is itself.
        let since = std::time::Instant::now();
        while !is_open(neighbour.pid(), file) {
            assert!(since.elapsed().as_secs() < 20, "{:?}", read(neighbour.pid(), file));
        }
        let refused = read(pid, file);
        assert!(!refused.status.success(), "{file} of the service can be read");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("ermission denied"), "{refused:?}");
    }
}

#[test]
fn who_pauses_is_still_known_by_number() {
    let idcsync = Idcsync::new(&format!(
        "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\n[state]\nurl = \"sqlite:state.db\"\n",
        Export::config(&["Team"])
    ));
    idcsync.write("directory.ldif", &export().text());
    let mut pause = idcsync.command(&["pause"]);
    pause.env_remove("USER").env_remove("LOGNAME");
    assert!(output(&mut pause).status.success());
    let uid = output(Command::new("id").arg("-u"));
    let uid = String::from_utf8(uid.stdout).unwrap();
    idcsync.run(&["status"]).exits(0).says(&format!("uid {}", uid.trim()));
}
