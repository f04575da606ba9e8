use proptest::prelude::*;

use super::*;
use crate::ids::TargetId;
use crate::model::{Digest, GroupAttributes, UserAttributes, UserValues};

fn user(no: u32, created: i64, name: &str, email: Option<&str>) -> (LinkNo, Box<DesiredUser>) {
    let mut attributes = UserAttributes::from([(UserAttribute::UserName, name.to_owned())]);
    attributes.extend(email.map(|email| (UserAttribute::Email, email.to_owned())));
    let created = (created >= 0).then(|| Timestamp::from_second(created).unwrap());
    let (anchor, dn) = (Anchor::from_u128(no.into()), Dn::parse(&format!("cn=u{no},dc=x")).unwrap());
    let digest = Digest::of_user(&attributes);
    let attributes = UserValues::from(&attributes);
    (LinkNo(no), Box::new(DesiredUser { anchor, dn, sid: None, created, attributes, digest }))
}

fn group(no: u32, created: i64, name: &str) -> (LinkNo, DesiredGroup) {
    let attributes = GroupAttributes { display_name: name.to_owned(), ..GroupAttributes::default() };
    let (anchor, dn) = (Anchor::from_u128(no.into()), Dn::parse(&format!("cn=g{no},dc=x")).unwrap());
    let created = Some(Timestamp::from_second(created).unwrap());
    (LinkNo(no), DesiredGroup { anchor, dn, sid: None, created, attributes })
}

fn known(links: &[(u32, Kind, &str, Option<&str>)]) -> Known {
    let mut known = Known::default();
    for (no, kind, name, email) in links {
        let dn = format!("cn=l{no},dc=x");
        let mut link = Link::new(LinkNo(*no), *kind, Anchor::from_u128((*no).into()), dn);
        link.target_id = Some(TargetId::new(no.to_string()));
        link.name = Some((*name).to_owned());
        link.email = email.map(str::to_owned);
        known.links.insert(link.no, link);
    }
    known
}

type Outcome = (Vec<u32>, Vec<(Code, String)>);

fn settled(users: &[(LinkNo, Box<DesiredUser>)], known: &Known, kept: &[u32]) -> Outcome {
    let kept = kept.iter().map(|no| LinkNo(*no)).collect();
    let claimed = resolve_claims(users.iter().cloned().collect(), BTreeMap::new(), known, &kept);
    let findings = claimed.findings.into_iter().map(|f| (f.code, f.subject.label)).collect();
    (claimed.users.keys().map(|no| no.0).collect(), findings)
}

fn lost(code: Code, label: &str) -> (Code, String) {
    (code, label.to_owned())
}

#[test]
fn nobody_loses_where_names_differ() {
    let users = [user(1, 1, "a@x", Some("a@x")), user(2, 1, "b@x", None), user(3, 1, "c@x", Some("b@x"))];
    assert_eq!(settled(&users, &Known::default(), &[]), (vec![1, 2, 3], vec![]));
}

#[test]
fn the_oldest_has_it_whatever_the_case_and_unknown_age_comes_last() {
    let users = [user(1, -1, "Ä@x", None), user(2, 9, "ä@X", None), user(3, 5, "ä@x", None)];
    let (winners, findings) = settled(&users, &Known::default(), &[]);
    assert_eq!(winners, [3]);
    assert_eq!(findings, [lost(Code::UserNameClaimed, "u1"), lost(Code::UserNameClaimed, "u2")]);
    let same_age = [user(2, 5, "a@x", None), user(1, 5, "a@x", None)];
    assert_eq!(settled(&same_age, &Known::default(), &[]).0, [1]);
}

#[test]
fn the_linked_one_keeps_it_and_of_several_the_one_that_has_it_now() {
    let users = [user(1, 1, "a@x", None), user(2, 9, "a@x", None)];
    assert_eq!(settled(&users, &known(&[(2, Kind::User, "a@x", None)]), &[]).0, [2]);
    assert_eq!(settled(&users, &known(&[(2, Kind::User, "other@x", None)]), &[]).0, [2]);
    let both = known(&[(1, Kind::User, "other@x", None), (2, Kind::User, "A@X", None)]);
    assert_eq!(settled(&users, &both, &[]).0, [2]);
    let neither = known(&[(1, Kind::User, "b@x", None), (2, Kind::User, "c@x", None)]);
    assert_eq!(settled(&users, &neither, &[]).0, [1]);
}

#[test]
fn a_number_without_a_target_id_is_not_linked() {
    let mut known = known(&[(2, Kind::User, "a@x", None)]);
    known.links.get_mut(&LinkNo(2)).unwrap().target_id = None;
    assert_eq!(settled(&[user(1, 1, "a@x", None), user(2, 9, "a@x", None)], &known, &[]).0, [1]);
}

#[test]
fn one_address_in_two_accounts() {
    let users = [user(1, 1, "a@x", Some("m@x")), user(2, 2, "b@x", Some("M@x"))];
    let (winners, findings) = settled(&users, &Known::default(), &[]);
    assert_eq!((winners, findings), (vec![1], vec![lost(Code::EmailClaimed, "u2")]));
}

#[test]
fn swaps_and_chains_of_renames_pass() {
    let swap = [user(1, 1, "b@x", Some("b@x")), user(2, 2, "a@x", Some("a@x"))];
    let links = known(&[(1, Kind::User, "a@x", Some("a@x")), (2, Kind::User, "b@x", Some("b@x"))]);
    assert_eq!(settled(&swap, &links, &[]).0, [1, 2]);
    let chain = [user(1, 1, "b@x", None), user(2, 2, "c@x", None), user(3, 3, "d@x", None)];
    let links =
        known(&[(1, Kind::User, "a@x", None), (2, Kind::User, "b@x", None), (3, Kind::User, "c@x", None)]);
    assert_eq!(settled(&chain, &links, &[]).0, [1, 2, 3]);
}

#[test]
fn a_linked_loser_goes_on_holding_its_names_all_along_a_chain() {
    // 3 cannot have d (4 has it), so keeps c; so 2 keeps b; so 1 keeps a; so 9, who is new, cannot have a.
    let users = [
        user(1, 1, "b@x", None),
        user(2, 2, "c@x", None),
        user(3, 3, "d@x", None),
        user(4, 4, "d@x", None),
        user(9, 0, "a@x", None),
    ];
    let links = known(&[
        (1, Kind::User, "a@x", None),
        (2, Kind::User, "b@x", None),
        (3, Kind::User, "c@x", None),
        (4, Kind::User, "d@x", None),
    ]);
    let (winners, findings) = settled(&users, &links, &[]);
    assert_eq!(winners, [4]);
    assert_eq!(findings.len(), 4);
}

#[test]
fn a_kept_object_holds_its_names_and_one_that_is_no_longer_desired_does_not() {
    let links = known(&[(5, Kind::User, "a@x", Some("m@x"))]);
    let users = [user(1, 1, "A@x", None), user(2, 1, "b@x", Some("m@X"))];
    let (winners, findings) = settled(&users, &links, &[5]);
    assert!(winners.is_empty());
    assert_eq!(findings, [lost(Code::UserNameClaimed, "u1"), lost(Code::EmailClaimed, "u2")]);
    assert_eq!(settled(&users, &links, &[]).0, [1, 2]);
}

#[test]
fn who_lost_to_a_loser_gets_the_name_after_all() {
    // 2 is older and would have b, but its address is 1's; 2 is not linked and leaves b to 3.
    let users = [user(1, 1, "a@x", Some("m@x")), user(2, 2, "b@x", Some("m@x")), user(3, 3, "b@x", None)];
    assert_eq!(settled(&users, &Known::default(), &[]).0, [1, 3]);
}

#[test]
fn groups_are_settled_among_groups() {
    let links = known(&[(2, Kind::Group, "g", None), (3, Kind::User, "h", None)]);
    let groups = BTreeMap::from([group(1, 1, "G"), group(2, 9, "g"), group(4, 4, "h")]);
    let users = BTreeMap::from([user(3, 1, "g", None)]);
    let claimed = resolve_claims(users, groups, &links, &BTreeSet::new());
    assert_eq!(claimed.groups.keys().map(|no| no.0).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(claimed.users.len(), 1);
    let [finding] = claimed.findings.as_slice() else { panic!("one finding") };
    assert_eq!(finding.code, Code::GroupNameClaimed);
    assert_eq!(
        finding.message,
        "claims the same displayName (whatever the case of its letters) as g2 \
         (00000000-0000-0000-0000-000000000002), which has it in the target: this one is not created. Give one of \
         them another value in the directory, or map the attribute differently"
    );
}

/// A small world: few names, so that they collide.
#[derive(Clone, Debug)]
struct World {
    /// Number, age, userName, address.
    users: Vec<(u32, i64, u8, Option<u8>)>,
    /// Number to the name and address held now; unique among links, as the target has them.
    links: BTreeMap<u32, (u8, Option<u8>)>,
    kept: BTreeSet<u32>,
}

fn world() -> impl Strategy<Value = World> {
    let users = prop::collection::vec((0_i64..4, 0_u8..7, prop::option::of(0_u8..7)), 0..9);
    let links = prop::collection::vec((any::<bool>(), any::<bool>()), 12);
    let order = Just((0_u8..12).collect::<Vec<_>>()).prop_shuffle();
    (users, links, order).prop_map(|(users, links, order)| {
        let users: Vec<_> = users.into_iter().zip(1..).map(|((age, n, e), no)| (no, age, n, e)).collect();
        let mut world = World { users, links: BTreeMap::new(), kept: BTreeSet::new() };
        for (((is_linked, has_email), name), no) in links.into_iter().zip(order).zip(1..) {
            if is_linked {
                world.links.insert(no, (name, has_email.then_some(11 - name)));
                if no as usize > world.users.len() && has_email {
                    world.kept.insert(no);
                }
            }
        }
        world
    })
}

fn text(n: u8) -> String {
    format!("n{n}@x")
}

/// What comes of a world whose objects are numbered by `number`: anchors stay as they are.
fn resolve(world: &World, number: impl Fn(u32) -> u32) -> (Claimed, Known) {
    let mut known = Known::default();
    for (no, (name, email)) in &world.links {
        let dn = "cn=l,dc=x".to_owned();
        let mut link = Link::new(LinkNo(number(*no)), Kind::User, Anchor::from_u128((*no).into()), dn);
        link.target_id = Some(TargetId::new(no.to_string()));
        (link.name, link.email) = (Some(text(*name)), email.map(text));
        known.links.insert(link.no, link);
    }
    let users = world.users.iter().map(|(no, age, name, email)| {
        (LinkNo(number(*no)), user(*no, *age, &text(*name), email.map(text).as_deref()).1)
    });
    let kept = world.kept.iter().map(|no| LinkNo(number(*no))).collect();
    (resolve_claims(users.collect(), BTreeMap::new(), &known, &kept), known)
}

fn wanted(user: &DesiredUser) -> Vec<Key> {
    [(Slot::UserName, UserAttribute::UserName), (Slot::Email, UserAttribute::Email)]
        .into_iter()
        .filter_map(|(slot, attribute)| user.attributes.get(attribute).map(|text| key(slot, text)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_name_ends_with_one_holder_and_nobody_loses_for_nothing(world in world()) {
        let (claimed, known) = resolve(&world, |no| no);
        let mut holders: BTreeMap<Key, LinkNo> = BTreeMap::new();
        for (no, user) in &claimed.users {
            for key in wanted(user) {
                prop_assert_eq!(holders.insert(key, *no), None);
            }
        }
        // Those who stay as they are hold what they hold, and no winner has taken it.
        let losers: Vec<_> =
            world.users.iter().filter(|user| !claimed.users.contains_key(&LinkNo(user.0))).collect();
        for no in losers.iter().map(|user| &user.0).chain(&world.kept) {
            for key in known.links.get(&LinkNo(*no)).map(held_keys).unwrap_or_default() {
                prop_assert_eq!(holders.insert(key, LinkNo(*no)), None);
            }
        }
        // Every loser has a finding for each name that someone else holds, and there is such a name.
        let mut findings = 0;
        for (no, _, name, email) in losers {
            let names = [Some((Slot::UserName, *name)), email.map(|e| (Slot::Email, e))];
            let blocked = names
                .into_iter()
                .flatten()
                .filter(|(slot, n)| holders.get(&key(*slot, &text(*n))).is_some_and(|holder| holder.0 != *no))
                .count();
            let label = format!("u{no}");
            let told = claimed.findings.iter().filter(|f| f.subject.label == label).count();
            prop_assert!(blocked > 0, "{} lost for nothing", no);
            prop_assert_eq!(told, blocked);
            findings += told;
        }
        prop_assert_eq!(findings, claimed.findings.len());
    }

    #[test]
    fn the_order_in_which_objects_were_met_does_not_show(world in world(), turn in 1_u32..50) {
        let shift = |no: u32| (no * 37 + turn) % 101;
        let (claimed, _) = resolve(&world, |no| no);
        let (shifted, _) = resolve(&world, shift);
        let expected: BTreeSet<_> = claimed.users.keys().map(|no| LinkNo(shift(no.0))).collect();
        prop_assert_eq!(shifted.users.keys().copied().collect::<BTreeSet<_>>(), expected);
        prop_assert_eq!(shifted.findings, claimed.findings);
    }
}
