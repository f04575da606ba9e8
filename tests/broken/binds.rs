//! What Active Directory says of an account that may not bind, each in words; and never tried a second time, since each
//! try would count towards a lockout. (What Samba says by itself is in samba_broken.)

use std::collections::BTreeSet;

use ldap3_proto::proto::LdapResultCode;

use super::fake_ldap::{BASE, Behaviour, FakeLdap, PASSWORD};
use super::support::idcsync::{Idcsync, Sandbox};

/// The numbers after `data`, in hexadecimal, and the words for them.
const REFUSALS: [(&str, &str); 15] = [
    ("525", "there is no such account; check the DN or name in `bind`"),
    ("52e", "the name or the password is wrong; check `bind`"),
    ("52f", "use an account that may bind with a password"),
    ("530", "may not sign in at this time or from this computer; lift the restriction"),
    ("531", "may not sign in at this time or from this computer; lift the restriction"),
    ("532", "the password of the account has expired; set a new one"),
    ("533", "the account is disabled; enable it"),
    ("534", "may not sign in to a domain controller over the network; give it the right"),
    ("568", "the account is in too many groups"),
    ("569", "may not sign in to a domain controller over the network; give it the right"),
    ("701", "the account has expired; extend it"),
    ("773", "the account must change its password first; set one without that flag"),
    ("775", "the account is locked; unlock it, and find out who uses an old password"),
    ("80090346", "reach it by its own certificate, without anything that ends TLS in between"),
    ("6ff", "look up the number after `data`"),
];

#[test]
fn each_refusal_of_active_directory_has_its_words_and_is_never_tried_twice() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sandbox = Sandbox::start();
    let idcsync = Idcsync::new("");
    idcsync.write("password", PASSWORD);
    let mut seen = BTreeSet::new();
    for (data, words) in REFUSALS {
        let mut behaviour = Behaviour::of(Vec::new());
        let text = format!(
            "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {data}, v4563\0"
        );
        behaviour.bind = (LdapResultCode::InvalidCredentials, text);
        let [first, second] = [0, 1].map(|_| runtime.block_on(FakeLdap::start(behaviour.clone())));
        idcsync.configure(&format!(
            "profile = \"p\"\n[directory]\nkind = \"active-directory\"\nurls = [\"ldap://{}\", \"ldap://{}\"]\n\
             base-dn = \"{BASE}\"\nbind = {{ dn = \"CN=svc,{BASE}\", password-file = \"password\" }}\n\
             allow-plaintext = true\ntimeout = \"2s\"\n[scope]\ngroups = [\"Team\"]\n{}\n[state]\n\
             url = \"sqlite:state.db\"\n[log]\nerror-log = \"errors.jsonl\"\n",
            first.url.trim_start_matches("ldap://"),
            second.url.trim_start_matches("ldap://"),
            sandbox.target()
        ));
        let mut tries = 0;
        for arguments in [&["sync"][..], &["sync", "--dry-run"], &["check"]] {
            let (run, requests) = sandbox.requests_of(|| idcsync.run(arguments));
            let run = run.exits(6).never_says(PASSWORD);
            let text = format!("{}{}", run.stdout, run.stderr);
            // `check` puts what to do on a line of its own.
            assert!(words.split("; ").all(|part| text.contains(part)), "{data}: {}", run.report());
            assert!(arguments[0] == "check" || requests.is_empty(), "{requests:?}");
            tries += 1;
            assert_eq!((first.binds(), second.binds()), (tries, 0), "{data}: one try for a run");
            seen.insert(run.stderr.lines().find(|l| l.starts_with("error: ")).unwrap_or_default().to_owned());
        }
        idcsync.run(&["status"]).exits(0).says("InvalidDirectoryCredentials");
    }
    for line in seen {
        println!("{line}");
    }
    let log = std::fs::read_to_string(idcsync.path("errors.jsonl")).unwrap();
    assert!(log.contains("InvalidDirectoryCredentials") && !log.contains(PASSWORD), "{log}");
}
