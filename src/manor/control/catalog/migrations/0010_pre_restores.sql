-- Databases that a restore replaced are kept like those that a release replaced.

ALTER TABLE manor.kept_databases
    DROP CONSTRAINT kept_databases_kind_check,
    ADD CONSTRAINT kept_databases_kind_check CHECK (kind IN ('blue', 'snapshot', 'restored'));
COMMENT ON COLUMN manor.kept_databases.operation IS 'The operation that it was kept for';
COMMENT ON COLUMN manor.kept_databases.marks IS
    'What proves that nobody has written since: the live database''s census when it was opened (blue, restored), or the first transaction after the copy (snapshot); empty proves nothing. head: the version, golden and fingerprint of what took its place (restored)';
