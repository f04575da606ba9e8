//! A directory that is read through a relay which breaks the read, at many places one after the other: after each, the
//! target has lost nothing that only the part which was not read could take, and one healthy run makes it whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::contents::Contents;
use super::idcsync::{Idcsync, Run, Sandbox, is_write};
use super::proxy::{How, Proxy};

/// A directory in one of two states, and what is between it and a sandbox.
pub struct Flip<'a> {
    pub idcsync: &'a Idcsync,
    pub sandbox: &'a Sandbox,
    pub proxy: &'a Proxy,
    /// Puts the directory into the other state (or back).
    pub turn: Box<dyn Fn(bool) + 'a>,
    /// What the target is to hold in either.
    pub expected: [Contents; 2],
    now: bool,
}

/// What came of many faults.
#[derive(Debug, Default)]
pub struct Tally {
    pub tried: usize,
    /// The run said that it had not read everything.
    pub refused: usize,
    /// The fault came after all that mattered.
    pub whole: usize,
    /// What was said, without addresses: how often.
    pub said: BTreeMap<String, usize>,
}

impl<'a> Flip<'a> {
    /// In the first state, and in step. `expected` tells what a target ought to hold as the directory is now; whoever was
    /// in scope once stays a user.
    pub fn new(
        idcsync: &'a Idcsync,
        sandbox: &'a Sandbox,
        proxy: &'a Proxy,
        turn: impl Fn(bool) + 'a,
        expected: impl Fn() -> Contents,
    ) -> Self {
        let mut both = [Contents::default(), Contents::default()];
        for state in [true, false] {
            turn(state);
            idcsync.run(&["sync"]).exits(0);
            both[usize::from(state)] = expected();
        }
        let [first, second] = &mut both;
        let users: BTreeSet<String> = first.users.union(&second.users).cloned().collect();
        first.users.clone_from(&users);
        second.users = users;
        let flip = Self { idcsync, sandbox, proxy, turn: Box::new(turn), expected: both, now: false };
        flip.assert_whole();
        flip
    }

    /// Puts the directory into the other state: what the target holds, and what it ought to.
    pub fn turn(&mut self) -> (Contents, Contents) {
        let before = self.expected[usize::from(self.now)].clone();
        self.now = !self.now;
        (self.turn)(self.now);
        (before, self.expected[usize::from(self.now)].clone())
    }

    /// Back into the first state, for another [`Self::new`].
    pub fn rest(&mut self) {
        if self.now {
            self.turn();
        }
    }

    #[track_caller]
    pub fn assert_whole(&self) {
        self.expected[usize::from(self.now)].assert_same(&self.sandbox.store().contents());
    }

    /// What the server sends for a run with changes, and where its searches end.
    pub fn measure(&mut self) -> (usize, Vec<usize>) {
        let bytes = self.recorded();
        (bytes.len(), ends_of_searches(&bytes))
    }

    /// The same where the bytes are not those of LDAP.
    pub fn measure_opaque(&mut self) -> usize {
        self.recorded().len()
    }

    fn recorded(&mut self) -> Vec<u8> {
        self.turn();
        let (run, bytes) = self.proxy.record(|| self.idcsync.run(&["sync"]));
        run.exits(0);
        self.assert_whole();
        bytes
    }

    /// One change, read through the fault that `break_it` makes; then a healthy run, if the first was not whole.
    #[track_caller]
    pub fn try_one(&mut self, what: &str, tally: &mut Tally, break_it: impl FnOnce(&Proxy)) -> Run {
        let (before, after) = self.turn();
        let sent = self.sandbox.requests().len();
        break_it(self.proxy);
        let run = self.idcsync.run(&["sync"]);
        self.proxy.pass();
        let there = self.sandbox.store().contents();
        let says = |why: &str| format!("{what}: {why}\n{}", run.report());
        assert_between(&before, &after, &there, &says);
        tally.tried += 1;
        match run.code {
            0 => {
                assert!(there == after, "{}", says("exit code 0, and the target is not whole"));
                tally.whole += 1;
            }
            6 => {
                let text = format!("{}{}", run.stdout, run.stderr);
                let why = REASONS.iter().find(|reason| text.contains(**reason));
                let why = why.unwrap_or_else(|| panic!("{}", says("no reason is given")));
                let place = self.proxy.address().to_string();
                let named = text.contains(&place)
                    || text.contains(&format!("localhost:{}", self.proxy.address().port()));
                assert!(named, "{}", says("the server is not named"));
                *tally.said.entry((*why).to_owned()).or_default() += 1;
                tally.refused += 1;
                self.idcsync.run(&["sync"]).exits(0);
                self.assert_whole();
            }
            _ => panic!("{}", says("another exit code than 0 and 6")),
        }
        assert_nothing_twice(&self.sandbox.requests()[sent..], &says);
        run
    }

    /// Nothing is left to do, and nobody counts as having left who has not.
    pub fn assert_settled(&self) {
        self.assert_whole();
        let (_, requests) =
            self.sandbox.requests_of(|| self.idcsync.run(&["sync"]).exits(0).says("Nothing to do"));
        assert!(!requests.iter().any(is_write), "{requests:?}");
    }
}

/// What a user is told of a broken connection.
const REASONS: [&str; 6] = [
    "the connection was lost",
    "the server closed the connection",
    "the server sent nothing for",
    "no answer within",
    "cannot connect",
    "TLS failed: the server ended the connection",
];

/// `count` places between the first byte and the last, and the given ones.
pub fn places(length: usize, count: usize, ends: &[usize]) -> Vec<usize> {
    let even = (0..count).map(|nth| length * nth / count + 1);
    even.chain(ends.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A fault for each place in turn: ends and resets, of one connection or of all from then on.
pub fn fault(nth: usize) -> (How, bool) {
    ([How::End, How::Reset][nth % 2], (nth / 2).is_multiple_of(2))
}

#[track_caller]
pub fn assert_between(before: &Contents, after: &Contents, there: &Contents, says: &dyn Fn(&str) -> String) {
    assert!(there.users.is_superset(&(&before.users & &after.users)), "{}", says("a user is gone"));
    assert_eq!(there.groups, before.groups, "{}", says("groups"));
    for (group, members) in &there.members {
        let (old, new) = (&before.members[group], &after.members[group]);
        let lost = &(old & new) - members;
        assert!(lost.is_empty(), "{}", says(&format!("{group} lost {lost:?}")));
        let strange = members - &(old | new);
        assert!(strange.is_empty(), "{}", says(&format!("{group} has {strange:?}")));
    }
}

/// Each write once, and none refused.
#[track_caller]
pub fn assert_nothing_twice(requests: &[Value], says: &dyn Fn(&str) -> String) {
    let mut done = BTreeSet::new();
    for request in requests.iter().filter(|r| is_write(r)) {
        assert_eq!(request["outcome"], "ok", "{}", says(&request.to_string()));
        let mut resource = request["resource"].clone();
        // Of a create, the name says what it was; ids are new each time.
        if request["operation"].as_str().is_some_and(|o| o.starts_with("Create"))
            && let Some(object) = resource.as_object_mut()
        {
            object.remove("membershipId");
            if object.contains_key("userName") {
                object.remove("userId");
            }
        }
        let key = format!("{} {resource}", request["operation"]);
        assert!(done.insert(key.clone()), "{}", says(&format!("twice: {key}")));
    }
}

/// Where the answers to searches end in what an LDAP server sent: after each page and after each single answer.
pub fn ends_of_searches(bytes: &[u8]) -> Vec<usize> {
    const SEARCH_RESULT_DONE: u8 = 0x65;
    let mut ends = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (length, head) = length_at(bytes, at + 1);
        let content = at + 1 + head;
        assert_eq!(bytes[at], 0x30, "an LDAPMessage at {at}");
        // The number of the message, and then what it is.
        let (id, id_head) = length_at(bytes, content + 1);
        if bytes[content + 1 + id_head + id] == SEARCH_RESULT_DONE {
            ends.push(content + length);
        }
        at = content + length;
    }
    ends
}

/// A length in BER, and how many bytes it takes.
fn length_at(bytes: &[u8], at: usize) -> (usize, usize) {
    let first = usize::from(bytes[at]);
    if first & 0x80 == 0 {
        return (first, 1);
    }
    let digits = first & 0x7f;
    (bytes[at + 1..=at + digits].iter().fold(0, |all, digit| (all << 8) | usize::from(*digit)), digits + 1)
}
