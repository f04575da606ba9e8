//! A read of slapd that is broken at every page end and at many other bytes.

use std::process::Stdio;
use std::time::Duration;

use super::bench::Bench;
use super::support::cuts::{Tally, assert_between, fault, places};
use super::support::proxy::{How, Proxy};

#[test]
fn a_read_that_is_cut_anywhere_costs_nobody_anything() {
    let bench = Bench::new();
    let mut flip = bench.flip();
    let (length, ends) = flip.measure();
    assert!(ends.len() > 12, "several pages: {ends:?}");
    let mut tally = Tally::default();
    for (nth, at) in places(length, 37, &ends).into_iter().enumerate() {
        let (how, once) = fault(nth);
        let what = format!("{how:?} after {at} of {length} bytes, once: {once}");
        flip.try_one(&what, &mut tally, |proxy| proxy.after_bytes(at, how, once));
    }
    flip.assert_settled();
    println!("cut at {length} bytes, {} answers: {tally:#?}", ends.len());
    assert!(tally.tried >= 60 && tally.refused > tally.whole, "{tally:?}");
}

#[test]
fn a_read_that_stalls_or_is_slow_or_is_cut_under_tls_costs_nobody_anything() {
    let bench = Bench::new();
    bench.plain(&bench.slapd.reader_dn(), 7, "1s", "");
    let mut flip = bench.flip();
    let (length, _) = flip.measure();
    let mut tally = Tally::default();
    for (nth, part) in [10, 35, 60, 75, 95].into_iter().enumerate() {
        let what = format!("silent from {part} % on");
        flip.try_one(&what, &mut tally, |proxy| {
            proxy.after_bytes(length * part / 100, How::Stall, nth % 2 == 0);
        });
    }
    assert_eq!((tally.refused, tally.whole), (5, 0), "{tally:?}");
    for part in [5, 50, 90] {
        let how = How::Delay(Duration::from_millis(400));
        let what = format!("slow at {part} %");
        flip.try_one(&what, &mut tally, |proxy| proxy.after_bytes(length * part / 100, how, true)).exits(0);
    }
    flip.assert_settled();
    println!("silent and slow: {tally:#?}");
    flip.rest();
    bench.idcsync.run(&["sync"]).exits(0);

    let place = bench.slapd.ldaps_url().trim_start_matches("ldaps://").parse().unwrap();
    let secure = Proxy::start(place);
    let url = format!("ldaps://localhost:{}", secure.address().port());
    let tls = format!("tls = {{ ca-file = \"{}\" }}", bench.slapd.ca_file().display());
    bench.configure(&url, &bench.slapd.reader_dn(), 7, "1s", &tls, "");
    let mut flip = bench.flip_through(&secure);
    let length = flip.measure_opaque();
    let mut tally = Tally::default();
    for nth in 0..8 {
        let (how, once) = fault(nth);
        let at = length * (nth + 1) / 9;
        let what = format!("TLS: {how:?} after {at} of {length} bytes, once: {once}");
        flip.try_one(&what, &mut tally, |proxy| proxy.after_bytes(at, how, once));
    }
    flip.assert_settled();
    println!("under TLS: {tally:#?}");
}

#[test]
fn a_password_that_is_changed_in_the_middle_of_a_run_is_tried_once_and_no_more() {
    let bench = Bench::new();
    let mut flip = bench.flip();
    let (before, after) = flip.turn();
    let connections = bench.proxy.connections();
    // The second bind: for those whom the first read did not bring, before the second look.
    bench.proxy.at_request(b"cn=reader,", 2, How::Stall);
    let mut command = bench.idcsync.command(&["sync"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start idcsync");
    assert!(bench.proxy.wait(|| child.try_wait().expect("its state").is_some()), "one bind was all");
    let admin = bench.slapd.admin();
    admin.replace(&bench.slapd.reader_dn(), "userPassword", &["another one"]);
    bench.proxy.pass();
    let output = child.wait_with_output().expect("idcsync ends");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert_between(&before, &after, &bench.contents(), &|why| format!("{why}\n{text}"));
    assert!(text.contains("refused the bind: the name or the password is wrong"), "{text}");
    assert_eq!(
        bench.proxy.connections() - connections,
        2,
        "one that was let in, and one that was not\n{text}"
    );
    println!("{}", text.lines().last().unwrap());
    admin.replace(&bench.slapd.reader_dn(), "userPassword", &[bench.slapd.password()]);
    bench.idcsync.run(&["sync"]).exits(0);
    flip.assert_settled();
}
