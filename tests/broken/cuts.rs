//! A read of slapd that is broken at every page end and at many other bytes.

use super::bench::Bench;
use super::support::cuts::{Tally, fault, places};

#[test]
fn a_read_that_is_cut_anywhere_costs_nobody_anything() {
    let bench = Bench::new();
    let mut flip = bench.flip();
    let (length, ends) = flip.measure();
    assert!(ends.len() > 12, "several pages: {ends:?}");
    let mut tally = Tally::default();
    for (nth, at) in places(length, 60, &ends).into_iter().enumerate() {
        let (how, once) = fault(nth);
        let what = format!("{how:?} after {at} of {length} bytes, once: {once}");
        flip.try_one(&what, &mut tally, |proxy| proxy.after_bytes(at, how, once));
    }
    flip.assert_settled();
    println!("cut at {length} bytes, {} answers: {tally:#?}", ends.len());
    assert!(tally.tried >= 60 && tally.refused > tally.whole, "{tally:?}");
}
