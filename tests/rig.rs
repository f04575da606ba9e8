//! The rig itself works: each server starts, answers and holds what was put into it, and the checks check.

mod support;

use support::company::Company;
use support::samba::Samba;
use support::slapd::{Options, Slapd};

#[test]
fn slapd_answers_over_starttls_and_ldaps_with_entry_uuids() {
    let company = Company::new(200, 40);
    let slapd = Slapd::start(&company);
    let reader = slapd.client(&slapd.reader_dn());
    let answer = reader.search(&["-b", slapd.base_dn(), "(objectClass=inetOrgPerson)", "entryUUID"]);
    assert_eq!(count(&answer, "entryUUID: "), 200);

    let mut over_tls = reader;
    over_tls.starttls = false;
    over_tls.url = slapd.ldaps_url();
    let answer = over_tls.search(&["-b", slapd.base_dn(), "(objectClass=groupOfNames)", "1.1"]);
    assert_eq!(count(&answer, "dn:"), 40);
}

#[test]
fn slapd_limits_those_whom_it_should() {
    let slapd = Slapd::start_with(&Company::new(50, 15), &Options { sizelimit: 20, ..Options::default() });
    let answer =
        slapd.client(&slapd.limited_dn()).try_search(&["-b", slapd.base_dn(), "(objectClass=inetOrgPerson)"]);
    assert_eq!(answer.status.code(), Some(4), "sizeLimitExceeded");
    assert_eq!(count(&String::from_utf8_lossy(&answer.stdout), "dn:"), 20);
    let all = slapd.client(&slapd.reader_dn()).search(&[
        "-b",
        slapd.base_dn(),
        "(objectClass=inetOrgPerson)",
        "1.1",
    ]);
    assert_eq!(count(&all, "dn:"), 50);
}

#[test]
fn slapd_is_the_same_after_a_crash_and_takes_changes() {
    let options = Options { memberof: true, syncprov: true, ..Options::default() };
    let company = Company::new(20, 15);
    let mut slapd = Slapd::start_with(&company, &options);
    let base = slapd.base_dn().to_owned();
    let admin = slapd.admin();
    let person = admin.dn_of(&base, &format!("(uid={})", company.person(2).account));
    let group = admin.dn_of(&base, "(cn=AWS-Admins)");
    admin.replace(&person, "displayName", &["Söme One"]);
    admin.replace(&person, "title", &[]);
    admin.move_to(&person, &format!("OU=Groups,{base}"));
    let person = admin.dn_of(&base, "(displayName=Söme One)");
    admin.add_member(&group, &person);
    slapd.kill();
    assert!(!admin.try_search(&["-b", &base, "-s", "base"]).status.success());
    slapd.restart();
    let answer = admin.search(&["-b", &base, "(displayName=Söme One)", "title", "memberOf"]);
    assert_eq!((count(&answer, "title"), count(&answer, "memberOf")), (0, 1), "{answer}");
}

#[test]
fn samba_holds_the_company_and_shows_it_over_ldaps() {
    let company = Company::new(200, 40);
    let samba = Samba::start(&company);
    let people = samba.ldapsearch(&[
        "-b",
        samba.base_dn(),
        "(&(objectCategory=person)(objectClass=user)(title=*))",
        "objectGUID",
    ]);
    assert_eq!(count(&people, "objectGUID:"), 200);
    let groups =
        samba.ldapsearch(&["-b", samba.base_dn(), "(&(objectClass=group)(description=* of corp*))", "1.1"]);
    assert_eq!(count(&groups, "dn:"), 40);
}

fn count(ldif: &str, start: &str) -> usize {
    ldif.lines().filter(|line| line.starts_with(start)).count()
}
