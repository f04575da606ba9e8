//! Pages of what is linked.

use std::collections::BTreeSet;

use idcsync::ids::{Anchor, Sid};
use idcsync::model::{Code, Finding, Kind, Subject};
use idcsync::state::{Browse, Standing, State};

use crate::bed::{Bed, Engine, at, full_group, user, with_links};

on_both! {
    links_are_looked_up_page_by_page
}

async fn links_are_looked_up_page_by_page(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let named = |no: u32, name: &str| {
        let mut link = user(no, Some(&format!("u-{no}")));
        link.name = Some(name.to_owned());
        link
    };
    let mut out = named(3, "carl_x@ex.test");
    out.out_since = Some(at("01T00:00:00"));
    let mut links = vec![
        named(1, "Bob@ex.test"),
        named(2, "anna@ex.test"),
        out,
        named(4, "100%@ex.test"),
        named(5, "\u{d6}zil@ex.test"),
        user(6, None),
        full_group(),
    ];
    // Whole as the binding has it: more than one page.
    links.extend((100..400).map(|no| named(no, &format!("many{no}@ex.test"))));
    links.push(named(8, "M\u{dc}LLER"));
    links[1].email = Some("\u{d6}TTL@ex.test".to_owned());
    // Out of the scope by a finding alone, named by the SID or the anchor; and one that is in it.
    for (no, sid) in [(60, Some("S-1-5-21-1-2-3-60")), (61, None), (62, None)] {
        let mut group = user(no, Some(&format!("g-{no}")));
        group.kind = Kind::Group;
        group.sid = sid.and_then(Sid::parse);
        links.push(group);
    }
    with_links(&state, &links).await;
    let frozen = |id: String| {
        let subject = Subject { kind: Some(Kind::Group), id, label: "x".to_owned() };
        Finding::new(Code::GroupOutOfScope, subject, "x")
    };
    let (by_sid, by_anchor) = ("S-1-5-21-1-2-3-60".to_owned(), Anchor::from_u128(61).to_string());
    state.replace_findings(at("02T00:00:00"), &[frozen(by_sid), frozen(by_anchor)]).await.unwrap();
    let look = async |kind, standing, text: &str, offset, limit| {
        let wanted = Browse { kind, standing, text: text.to_owned() };
        let (total, links) = state.browse(&wanted, offset, limit).await.unwrap();
        (total, links.into_iter().map(|l| l.no.0).collect::<Vec<_>>())
    };
    let users = async |standing, text: &str| look(Kind::User, standing, text, 0, 50).await;
    assert_eq!(users(Standing::In, "BOB").await, (1, vec![1]));
    assert_eq!(users(Standing::In, " anna ").await, (1, vec![2]));
    assert_eq!(users(Standing::In, "carl").await, (0, vec![]));
    assert_eq!(users(Standing::Out, "").await, (1, vec![3]));
    assert_eq!(users(Standing::Unlinked, "").await, (1, vec![6]));
    assert_eq!(users(Standing::All, "u-2").await, (1, vec![2]), "by its id");
    assert_eq!(users(Standing::All, "CN=u6,").await, (1, vec![6]), "by its DN");
    // What has a meaning in a pattern, or none in either engine, stands for itself.
    assert_eq!(users(Standing::All, "%").await, (1, vec![4]));
    assert_eq!(users(Standing::All, "l_x").await, (1, vec![3]));
    assert_eq!(users(Standing::All, "\\").await, (0, vec![]));
    assert_eq!(users(Standing::All, "' OR 1=1 --\0").await, (0, vec![]));
    assert_eq!(users(Standing::In, "\u{d6}zil").await, (1, vec![5]));
    let (total, first) = look(Kind::User, Standing::In, "many", 0, 50).await;
    assert_eq!((total, first.len(), first[0]), (300, 50, 100));
    let (_, last) = look(Kind::User, Standing::In, "many", 290, 50).await;
    assert_eq!(last, (390..400).collect::<Vec<_>>());
    assert_eq!(look(Kind::User, Standing::In, "many", 1 << 40, 50).await, (300, vec![]));
    assert_eq!(look(Kind::Group, Standing::Off, "", 0, 50).await, (1, vec![7]));
    assert_eq!(look(Kind::Group, Standing::In, "", 0, 50).await, (1, vec![62]));
    assert_eq!(look(Kind::Group, Standing::Out, "", 0, 50).await, (3, vec![60, 61, 7]));
    assert_eq!(look(Kind::Group, Standing::Linked, "", 0, 50).await.0, 4);
    assert_eq!(look(Kind::User, Standing::Linked, "", 0, 1).await.0, 306);
    let wanted = Browse { kind: Kind::Group, standing: Standing::Out, text: "CN=u61,".to_owned() };
    let (_, links) = state.browse(&wanted, 0, 50).await.unwrap();
    assert_eq!(links[0].out_since, Some(at("02T00:00:00")), "for the page");
    // However the letters were written, in a name or an address.
    for text in ["m\u{fc}ller", "M\u{dc}LLER", "M\u{fc}ller"] {
        assert_eq!(users(Standing::In, text).await, (1, vec![8]), "{text}");
    }
    assert_eq!(users(Standing::In, "\u{f6}ttl").await, (1, vec![2]));

    let outline = state.outline(at("02T00:00:00")).await.unwrap();
    let linked = outline.linked;
    assert_eq!((linked.users, linked.groups, linked.memberships), (306, 4, 4999));
    let leaving: BTreeSet<u32> = outline.leaving.iter().map(|l| l.no.0).collect();
    assert_eq!(leaving, BTreeSet::from([3, 7, 60, 61]));
    let other = State::open(&bed.url, "other").await.unwrap();
    assert_eq!(other.outline(at("02T00:00:00")).await.unwrap().linked.users, 0);
}
