-- A cycle that looks at what a change touches alone finds people by their names, however these are written, and groups without
-- all the others. The same column and indexes as in ../postgres.

-- A digest of the DN's normal form; NULL in rows that were written before there was one.
ALTER TABLE links ADD COLUMN dn_key BLOB;

CREATE INDEX links_by_dn_key ON links (profile_id, dn_key);
CREATE INDEX links_groups ON links (profile_id, no) WHERE kind = 'group';
