-- Who of a group's direct members is one by primaryGroupID: what `member` alone no longer shows can be told then. A bitmap
-- like those beside it. The same column as in ../sqlite.

ALTER TABLE links ADD COLUMN primary_members BYTEA;
