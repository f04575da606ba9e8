//! The status page and a plan's page in a browser: tests/page/browse.py looks and clicks, here is what it looks at.
//! Its pictures are in target/rig/page.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::dirs;
use support::export::{Export, people};
use support::idcsync::{Idcsync, Sandbox};
use support::moto::venv;
use support::ports::Loopback;
use support::service::{self, Service};

const TOKEN: &str = "opensesame-opensesame";
const SCRIPT: &str = "<script>window.hacked=1</script>@ex.test";
const IMAGE: &str = "\"><img/src=x/onerror=window.hacked=1>@ex.test";

fn export() -> Export {
    let mut export = Export::of(130).group("All", people(0..130)).group("<b>Bold</b>", people(0..60));
    export.person("p01").user_name = SCRIPT.to_owned();
    export.person("p02").user_name = IMAGE.to_owned();
    export.person("p03").family_name = String::new();
    export.person("p04").family_name = String::new();
    export.person("p05").user_name = "no-address".to_owned();
    export
}

#[test]
fn people_can_read_and_use_the_pages() {
    let (address, sandbox, idcsync) = (Loopback::claim(), Sandbox::start(), Idcsync::new(""));
    idcsync.write("http-token", &format!("{TOKEN}\n"));
    idcsync.configure(&format!(
        "profile = \"corp\"\n{}\n{}\n[state]\nurl = \"sqlite:state.db\"\n{}\n[schedule]\ncron = \"0 0 29 2 *\"\n",
        Export::config(&["All", "<b>Bold</b>"]),
        sandbox.target(),
        service::config(&address),
    ));
    idcsync.write("directory.ldif", &export().text());
    let mut service = Service::start(&idcsync, &address, "page");
    service.wait_for("cycle finished", 1);
    // Half of a group goes, which is held; four leave the scope, one of whom the markup names.
    let mut export = export();
    export.members("<b>Bold</b>").drain(10..50);
    export.members("All").retain(|name| !["p01", "p20", "p21", "p22"].contains(&name.as_str()));
    export.members("<b>Bold</b>").retain(|name| name != "p01");
    export.person("p07").display_name = "</title><script>window.hacked=1</script>".to_owned();
    idcsync.write("directory.ldif", &export.text());
    idcsync.run(&["sync", "--dry-run", "--out", "plan.html"]).exits(4);
    service.sync_now();
    service.wait_for("cycle finished", 2);
    let held = service.status()["held"]["steps"].as_array().map(Vec::len);
    assert!(held > Some(30), "{held:?}");

    let pictures = dirs::root().join("target/rig/page");
    fs::create_dir_all(&pictures).unwrap();
    let mut browse = Command::new(venv("python3"));
    browse.arg(dirs::root().join("tests/page/browse.py")).arg(format!("http://{}", address.at(8080)));
    browse.arg(TOKEN).arg(idcsync.path("plan.html")).arg(&pictures);
    let output = browse.output().expect("Python of the rig");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let seen: Value = serde_json::from_slice(&output.stdout).expect("what was seen");
    println!("{seen}");
    for (page, bytes) in seen["bytes"].as_object().unwrap() {
        assert!(bytes.as_u64().unwrap() < 60_000, "{page} has {bytes} bytes");
    }

    // What was approved and asked for by clicking is done.
    service.wait_for("cycle finished", 3);
    let there = sandbox.store().contents();
    assert_eq!(there.members["<b>Bold</b>@ex.test"].len(), 60 - 40 - 1 - 2, "{:?}", service.status()["held"]);
    let approved = service.logged("held steps approved over HTTP");
    assert_eq!(approved.len(), 1);
    service.server().stop();
}
