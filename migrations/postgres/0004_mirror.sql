-- What the last complete read has shown, so that the next ones ask the directory for changes only. It can always be left
-- out: without it everything is read. The same tables as in ../sqlite.

ALTER TABLE profiles ADD COLUMN mirror_mark TEXT;

CREATE TABLE mirror_entries (
    profile_id BIGINT NOT NULL REFERENCES profiles (id),
    anchor     BYTEA NOT NULL,
    content    BYTEA NOT NULL,
    PRIMARY KEY (profile_id, anchor)
);

-- By which entries a search was answered: their anchors, one after the other. The question's digest is its key, since it
-- may be too long for one.
CREATE TABLE mirror_answers (
    profile_id BIGINT NOT NULL REFERENCES profiles (id),
    digest     BYTEA NOT NULL,
    question   TEXT NOT NULL,
    anchors    BYTEA NOT NULL,
    PRIMARY KEY (profile_id, digest)
);
