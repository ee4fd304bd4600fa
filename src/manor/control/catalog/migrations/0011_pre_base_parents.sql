-- Base backups that are increments of others.

ALTER TABLE manor.bases ADD COLUMN parent text NOT NULL DEFAULT '';
COMMENT ON COLUMN manor.bases.parent IS 'The base backup that it is an increment of, without which it is of no use; empty: it is a full one';
