-- Times are milliseconds since 1970-01-01 UTC. The same tables and columns as in ../postgres.

CREATE TABLE profiles (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    name               TEXT NOT NULL UNIQUE,
    -- What the profile is tied to since its first apply; both or none.
    directory          TEXT,
    identity_store_id  TEXT,
    bound_at           INTEGER,
    last_complete_read INTEGER,
    last_cycle_at      INTEGER,
    rename_support     TEXT NOT NULL,
    -- The last number given in this profile's journal.
    last_seq           INTEGER NOT NULL,
    paused_at          INTEGER,
    pause_reason       TEXT,
    paused_by          TEXT,
    paused_until       INTEGER,
    CHECK ((directory IS NULL) = (identity_store_id IS NULL))
) STRICT;

CREATE TABLE links (
    profile_id        INTEGER NOT NULL REFERENCES profiles (id),
    no                INTEGER NOT NULL,
    kind              TEXT NOT NULL,
    -- 16 bytes, in the order in which they are printed.
    anchor            BLOB NOT NULL,
    dn                TEXT NOT NULL,
    sid               TEXT,
    -- Both or none; the store stands here, too, so that the database itself can see that there is one owner.
    identity_store_id TEXT,
    target_id         TEXT,
    origin            TEXT NOT NULL,
    name              TEXT,
    email             TEXT,
    digest            BLOB,
    out_since         INTEGER,
    filled            INTEGER NOT NULL,
    -- Bitmaps of link numbers in Roaring's portable format; NULL is empty.
    direct            BLOB,
    hidden            BLOB,
    -- A JSON array of texts; NULL is empty.
    unreadable        TEXT,
    applied           BLOB,
    retry_attempts    INTEGER,
    retry_not_before  INTEGER,
    retry_code        TEXT,
    retry_digest      BLOB,
    PRIMARY KEY (profile_id, no),
    UNIQUE (profile_id, anchor),
    CHECK ((identity_store_id IS NULL) = (target_id IS NULL))
) STRICT;

-- A target object belongs to one link of one profile per identity store.
CREATE UNIQUE INDEX links_one_owner ON links (identity_store_id, kind, target_id);

CREATE TABLE pins (
    profile_id  INTEGER NOT NULL REFERENCES profiles (id),
    kind        TEXT NOT NULL,
    entry       TEXT NOT NULL,
    anchor      BLOB NOT NULL,
    object_name TEXT NOT NULL,
    pinned_at   INTEGER NOT NULL,
    PRIMARY KEY (profile_id, kind, entry)
) STRICT;

CREATE TABLE cycles (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    profile_id  INTEGER NOT NULL REFERENCES profiles (id),
    kind        TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    word        TEXT,
    counts      TEXT
) STRICT;

CREATE INDEX cycles_by_profile ON cycles (profile_id, id);

CREATE TABLE journal (
    profile_id  INTEGER NOT NULL REFERENCES profiles (id),
    seq         INTEGER NOT NULL,
    cycle_id    INTEGER NOT NULL REFERENCES cycles (id),
    step        INTEGER NOT NULL,
    action      TEXT NOT NULL,
    link_no     INTEGER NOT NULL,
    member_no   INTEGER,
    detail      TEXT NOT NULL,
    intended_at INTEGER NOT NULL,
    -- NULL: begun, and not known how it ended.
    result      TEXT,
    code        TEXT,
    message     TEXT,
    recorded_at INTEGER,
    PRIMARY KEY (profile_id, seq),
    FOREIGN KEY (profile_id, link_no) REFERENCES links (profile_id, no)
) STRICT;

CREATE INDEX journal_by_cycle ON journal (cycle_id);
CREATE INDEX journal_unfinished ON journal (profile_id, seq) WHERE result IS NULL;

CREATE TABLE findings (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    profile_id    INTEGER NOT NULL REFERENCES profiles (id),
    code          TEXT NOT NULL,
    subject_kind  TEXT,
    subject_id    TEXT NOT NULL,
    subject_label TEXT NOT NULL,
    message       TEXT NOT NULL,
    since         INTEGER NOT NULL,
    -- NULL: it stands.
    gone_at       INTEGER
) STRICT;

CREATE UNIQUE INDEX findings_standing ON findings (profile_id, code, subject_id) WHERE gone_at IS NULL;

CREATE TABLE held_plans (
    profile_id INTEGER NOT NULL REFERENCES profiles (id),
    plan_id    TEXT NOT NULL,
    cycle_id   INTEGER NOT NULL REFERENCES cycles (id),
    held_at    INTEGER NOT NULL,
    PRIMARY KEY (profile_id, plan_id)
) STRICT;

CREATE INDEX held_plans_by_cycle ON held_plans (cycle_id);

CREATE TABLE held_steps (
    profile_id  INTEGER NOT NULL,
    plan_id     TEXT NOT NULL,
    position    INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    step        TEXT NOT NULL,
    PRIMARY KEY (profile_id, plan_id, position),
    FOREIGN KEY (profile_id, plan_id) REFERENCES held_plans (profile_id, plan_id) ON DELETE CASCADE
) STRICT;

CREATE TABLE approvals (
    profile_id  INTEGER NOT NULL REFERENCES profiles (id),
    fingerprint TEXT NOT NULL,
    plan_id     TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    approved_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    PRIMARY KEY (profile_id, fingerprint)
) STRICT;

CREATE TABLE leases (
    identity_store_id TEXT NOT NULL PRIMARY KEY,
    host              TEXT NOT NULL,
    -- The boot and the process name space in which the process id has a meaning.
    space             TEXT NOT NULL,
    pid               INTEGER NOT NULL,
    start_ticks       INTEGER NOT NULL,
    acquired_at       INTEGER NOT NULL,
    held_until        INTEGER NOT NULL
) STRICT;
