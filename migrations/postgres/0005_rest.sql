-- What the last cycle that found nothing to do leaves behind, so that the next one need not look at everything again. It can
-- always be left out. The same column as in ../sqlite.

ALTER TABLE profiles ADD COLUMN rest TEXT;
