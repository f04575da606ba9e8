-- The life of an identity: who was disabled and why, whose deletion in the directory is proven, and what the passing
-- of time is measured against. The same columns as in ../postgres.

ALTER TABLE links ADD COLUMN disabled_at INTEGER;
ALTER TABLE links ADD COLUMN disabled_cause TEXT;
ALTER TABLE links ADD COLUMN disabled_how TEXT;
ALTER TABLE links ADD COLUMN deleted_at INTEGER;
ALTER TABLE links ADD COLUMN deletion_proof TEXT;
ALTER TABLE links ADD COLUMN absent_since INTEGER;
-- A bitmap like those beside it.
ALTER TABLE links ADD COLUMN doubtful BLOB;

-- The server of the last complete read.
ALTER TABLE profiles ADD COLUMN last_server TEXT;
-- When the directory last answered, however incompletely.
ALTER TABLE profiles ADD COLUMN last_read_at INTEGER;
-- When the target was last read back as a whole.
ALTER TABLE profiles ADD COLUMN last_full_at INTEGER;
-- How far the change log of which server has been read.
ALTER TABLE profiles ADD COLUMN change_server TEXT;
ALTER TABLE profiles ADD COLUMN change_cookie BLOB;
-- When it was first said that the pause will soon disable everybody.
ALTER TABLE profiles ADD COLUMN pause_warned_at INTEGER;
