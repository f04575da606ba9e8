-- A cycle that looks at what a change touches alone finds objects by their names, and groups without all the others. The same
-- indexes as in ../postgres.

CREATE INDEX links_by_dn ON links (profile_id, dn);
CREATE INDEX links_groups ON links (profile_id, no) WHERE kind = 'group';
