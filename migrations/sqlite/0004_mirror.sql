-- What the last complete read has shown, so that the next ones ask the directory for changes only. It can always be left
-- out: without it everything is read. The same tables as in ../postgres.

ALTER TABLE profiles ADD COLUMN mirror_mark TEXT;

CREATE TABLE mirror_entries (
    profile_id INTEGER NOT NULL REFERENCES profiles (id),
    anchor     BLOB NOT NULL,
    content    BLOB NOT NULL,
    PRIMARY KEY (profile_id, anchor)
) STRICT, WITHOUT ROWID;

-- By which entries a search was answered: their anchors, one after the other. The question's digest is its key, since it
-- may be too long for one.
CREATE TABLE mirror_answers (
    profile_id INTEGER NOT NULL REFERENCES profiles (id),
    digest     BLOB NOT NULL,
    question   TEXT NOT NULL,
    anchors    BLOB NOT NULL,
    PRIMARY KEY (profile_id, digest)
) STRICT;
