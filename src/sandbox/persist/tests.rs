use tempfile::TempDir;
use uuid::Uuid;

use super::super::store::{
    ExternalId, GroupContent, GroupId, MembershipId, Name, ResourceId, UserAttributes, UserContent, UserId,
};
use super::*;

const STORE: &str = "d-1234567890";

fn id(n: u128) -> ResourceId {
    ResourceId::new(STORE, Uuid::from_u128(n))
}

fn person(name: &str) -> UserContent {
    UserContent {
        attributes: UserAttributes {
            user_name: Some(name.into()),
            display_name: Some("Zoë, \"the\" one".into()),
            name: Some(Name {
                given_name: Some("Zoë".into()),
                family_name: Some("O".into()),
                ..Name::default()
            }),
            ..UserAttributes::default()
        },
        external_ids: vec![ExternalId { issuer: "urn:x".into(), id: name.into() }],
        ..UserContent::default()
    }
}

fn open(dir: &TempDir) -> Result<Books, PersistError> {
    Books::open(&dir.path().join("store.json"), STORE, Mode::ReadWrite)
}

fn create(books: &mut Books, n: u128, name: &str) {
    let change = books.store().create_user(UserId(id(n)), person(name), 5).unwrap();
    books.commit(change).unwrap();
}

fn fill(books: &mut Books) {
    create(books, 1, "ada");
    create(books, 2, "bob");
    let group = GroupContent { display_name: Some("Admins".into()), ..GroupContent::default() };
    let change = books.store().create_group(GroupId(id(1)), group, 6).unwrap();
    books.commit(change).unwrap();
    for user in [1, 2] {
        let change =
            books.store().add_member(MembershipId(id(user)), GroupId(id(1)), UserId(id(user)), 7).unwrap();
        books.commit(change).unwrap();
    }
    let change = books.store().delete_user(UserId(id(2)), None).unwrap();
    books.commit(change).unwrap();
}

fn same(a: &Store, b: &Store) {
    assert_eq!(a.users().collect::<Vec<_>>(), b.users().collect::<Vec<_>>());
    assert_eq!(a.groups().collect::<Vec<_>>(), b.groups().collect::<Vec<_>>());
    assert_eq!(a.memberships().collect::<Vec<_>>(), b.memberships().collect::<Vec<_>>());
}

fn names(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_committed_is_there_after_a_crash_and_after_a_clean_end() {
    let dir = TempDir::new().unwrap();
    let mut books = open(&dir).unwrap();
    assert_eq!(names(&dir), ["store.json.lock"]);
    fill(&mut books);
    let before = books.store().clone();
    // Dropped without a fold, as by a kill.
    drop(books);
    assert_eq!(names(&dir), ["store.json.lock", "store.json.log"]);

    let mut books = open(&dir).unwrap();
    same(books.store(), &before);
    assert_eq!(names(&dir), ["store.json", "store.json.lock"]);
    create(&mut books, 3, "eve");
    let before = books.store().clone();
    books.fold().unwrap();
    drop(books);
    assert_eq!(names(&dir), ["store.json", "store.json.lock"]);
    same(open(&dir).unwrap().store(), &before);
}

#[test]
fn the_file_is_sorted_readable_and_untouched_when_nothing_changes() {
    let dir = TempDir::new().unwrap();
    let mut books = open(&dir).unwrap();
    fill(&mut books);
    books.fold().unwrap();
    drop(books);
    let path = dir.path().join("store.json");
    let text = fs::read_to_string(&path).unwrap();
    insta::assert_snapshot!(text, @r#"
    {
    "schema": "idcsync/sandbox-store/v1",
    "identityStoreId": "d-1234567890",
    "generation": 1,
    "users": [
    {"id":"1234567890-00000000-0000-0000-0000-000000000001","revision":1,"status":"ENABLED","createdAt":5,"updatedAt":5,"externalIds":[{"issuer":"urn:x","id":"ada"}],"attributes":{"userName":"ada","name":{"familyName":"O","givenName":"Zoë"},"displayName":"Zoë, \"the\" one"}}
    ],
    "groups": [
    {"id":"1234567890-00000000-0000-0000-0000-000000000001","revision":3,"createdAt":6,"updatedAt":6,"displayName":"Admins"}
    ],
    "memberships": [
    {"id":"1234567890-00000000-0000-0000-0000-000000000001","group":"1234567890-00000000-0000-0000-0000-000000000001","user":"1234567890-00000000-0000-0000-0000-000000000001","createdAt":7}
    ]
    }
    "#);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut books = open(&dir).unwrap();
    books.fold().unwrap();
    drop(books);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
}

#[test]
fn a_torn_last_line_is_dropped_and_a_damaged_one_is_an_error() {
    let dir = TempDir::new().unwrap();
    let mut books = open(&dir).unwrap();
    create(&mut books, 1, "ada");
    create(&mut books, 2, "bob");
    drop(books);
    let log = dir.path().join("store.json.log");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 20]).unwrap();
    let books = Books::open(&dir.path().join("store.json"), STORE, Mode::ReadOnly).unwrap();
    assert_eq!(books.store().users().len(), 1);
    drop(books);

    let mut damaged = whole.clone();
    let second_line = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    damaged[second_line] = b'#';
    fs::write(&log, &damaged).unwrap();
    assert!(matches!(open(&dir), Err(PersistError::DamagedJournal { line: 2, .. })));
}

#[test]
fn a_journal_that_was_folded_already_is_not_applied_twice() {
    let dir = TempDir::new().unwrap();
    let mut books = open(&dir).unwrap();
    create(&mut books, 1, "ada");
    let log = dir.path().join("store.json.log");
    let journal = fs::read(&log).unwrap();
    books.fold().unwrap();
    let change = books.store().delete_user(UserId(id(1)), None).unwrap();
    books.commit(change).unwrap();
    books.fold().unwrap();
    drop(books);
    // As if the process had died after the rename and before the journal went.
    fs::write(&log, journal).unwrap();
    assert_eq!(open(&dir).unwrap().store().users().len(), 0);
    assert_eq!(names(&dir), ["store.json", "store.json.lock"]);
    // The other way round, an older file was put back.
    fs::write(&log, format!("{{\"schema\":\"{JOURNAL_SCHEMA}\",\"generation\":9}}\n")).unwrap();
    assert!(matches!(open(&dir), Err(PersistError::JournalAhead { .. })));
}

#[test]
fn a_broken_file_says_what_is_wrong() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.json");
    let error = |text: &str| {
        fs::write(&path, text).unwrap();
        open(&dir).map(|_| ()).unwrap_err()
    };
    assert!(matches!(error("{"), PersistError::Damaged { .. }));
    assert!(matches!(error(r#"{"schema":"idcsync/plan/v1"}"#), PersistError::Schema { .. }));
    let with = |rest: &str| {
        format!(r#"{{"schema":"{STORE_SCHEMA}","identityStoreId":"{STORE}","generation":1,{rest}}}"#)
    };
    assert!(matches!(error(&with(r#""users":[],"bogus":1"#)), PersistError::Damaged { .. }));
    let user = |n: u128, name: &str| {
        format!(
            r#"{{"id":"{}","revision":1,"createdAt":1,"updatedAt":1,"attributes":{{"userName":"{name}"}}}}"#,
            id(n)
        )
    };
    let twice = error(&with(&format!(r#""users":[{},{}]"#, user(1, "ada"), user(2, "ADA"))));
    assert_eq!(twice.to_string(), format!("{} contradicts itself at user {}", path.display(), id(2)));
    assert!(matches!(
        error(&with(&format!(r#""users":[{},{}]"#, user(1, "ada"), user(1, "bob")))),
        PersistError::Inconsistent { source: Refusal::Duplicate(Claim::Id), .. }
    ));
    let other = error(&format!(r#"{{"schema":"{STORE_SCHEMA}","identityStoreId":"d-0000000000"}}"#));
    assert!(other.to_string().contains("--identity-store-id d-0000000000"), "{other}");
}

#[test]
fn only_one_process_works_on_a_store() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir).unwrap();
    let second = open(&dir).map(|_| ()).unwrap_err();
    assert!(second.to_string().contains("is in use by another sandbox"), "{second}");
    let reader = Books::open(&dir.path().join("store.json"), STORE, Mode::ReadOnly);
    assert!(matches!(reader, Err(PersistError::InUse { .. })));
    drop(first);
    assert!(open(&dir).is_ok());
}

#[test]
fn a_reader_leaves_no_trace_and_cannot_write() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store.json");
    let mut reader = Books::open(&path, STORE, Mode::ReadOnly).unwrap();
    let change = reader.store().create_user(UserId(id(1)), person("ada"), 5).unwrap();
    assert!(matches!(reader.commit(change), Err(CommitError::ReadOnly)));
    reader.fold().unwrap();
    assert_eq!(names(&dir), Vec::<String>::new());
    assert_eq!(reader.store().users().len(), 0);
}

#[test]
fn a_missing_directory_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("nowhere").join("store.json");
    let error = Books::open(&path, STORE, Mode::ReadWrite).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// As someone writes them into the file by hand.
fn assign(dir: &TempDir, sets: &str, assignments: &str) {
    let path = dir.path().join("store.json");
    let text = fs::read_to_string(&path).unwrap();
    let end = format!(",\n\"permissionSets\": [{sets}],\n\"assignments\": [{assignments}]\n}}\n");
    fs::write(&path, text.trim_end().trim_end_matches('}').to_owned() + &end).unwrap();
}

const SET: &str = "arn:aws:sso:::permissionSet/ssoins-d123456789000000/ps-0123456789abcdef";

#[test]
fn assignments_are_kept_and_go_with_their_user_or_group() {
    let dir = TempDir::new().unwrap();
    let mut books = open(&dir).unwrap();
    fill(&mut books);
    books.fold().unwrap();
    drop(books);
    let sets = format!("{{\"permissionSetArn\": \"{SET}\", \"name\": \"Admin\"}}");
    let of = |kind: &str| {
        format!(
            "{{\"principalType\": \"{kind}\", \"principalId\": \"{}\", \"accountId\": \"111122223333\", \
             \"permissionSetArn\": \"{SET}\"}}",
            id(1)
        )
    };
    assign(&dir, &sets, &format!("{}, {}", of("GROUP"), of("USER")));

    let mut books = open(&dir).unwrap();
    assert_eq!(books.store().assignments().len(), 2);
    assert_eq!(books.store().permission_set(SET).map(|s| s.name.as_str()), Some("Admin"));
    create(&mut books, 3, "eve");
    books.fold().unwrap();
    let change = books.store().delete_group(GroupId(id(1)), None).unwrap();
    books.commit(change).unwrap();
    assert_eq!(books.store().assignments().len(), 1);
    drop(books);

    let mut books = open(&dir).unwrap();
    assert_eq!(
        books.store().assignments().len(),
        1,
        "what was written anew, and what the journal takes away"
    );
    let change = books.store().delete_user(UserId(id(1)), None).unwrap();
    books.commit(change).unwrap();
    assert_eq!((books.store().assignments().len(), books.store().permission_sets().len()), (0, 1));
}

#[test]
fn assignments_of_nobody_or_to_nothing_are_refused_with_their_place() {
    let sets = format!("{{\"permissionSetArn\": \"{SET}\", \"name\": \"Admin\"}}");
    let assignment = |n: u128, account: &str, set: &str| {
        format!(
            "{{\"principalType\": \"USER\", \"principalId\": \"{}\", \"accountId\": \"{account}\", \
             \"permissionSetArn\": \"{set}\"}}",
            id(n)
        )
    };
    for (sets, assignment, words) in [
        (sets.as_str(), assignment(9, "111122223333", SET), "no user has the id"),
        (&sets, assignment(1, "1111", SET), "accountId"),
        ("", assignment(1, "111122223333", SET), "permissionSets"),
        ("{\"permissionSetArn\": \"Admin\", \"name\": \"Admin\"}", String::new(), "permissionSetArn"),
    ] {
        let dir = TempDir::new().unwrap();
        let mut books = open(&dir).unwrap();
        fill(&mut books);
        books.fold().unwrap();
        drop(books);
        assign(&dir, sets, &assignment);
        let error = open(&dir).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(matches!(error, PersistError::Inconsistent { .. }) && cause.contains(words), "{cause}");
    }
}
