-- Former databases of tenants, and snapshots of them: what a release can be taken back to, for as long as the grace period.

CREATE TABLE manor.kept_databases (
    server text NOT NULL,
    database text NOT NULL,
    tenant text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('blue', 'snapshot')),
    operation text NOT NULL,
    version text NOT NULL DEFAULT '',
    golden text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',
    marks jsonb NOT NULL DEFAULT '{}',
    drop_after timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server, database)
);
COMMENT ON TABLE manor.kept_databases IS 'Written before the database comes to be: an entry without a database means nothing';
COMMENT ON COLUMN manor.kept_databases.operation IS 'The release that it was kept for';
COMMENT ON COLUMN manor.kept_databases.marks IS
    'What proves that nobody has written since: the live database''s census when it was opened (blue), or the first transaction after the copy (snapshot); empty proves nothing';
CREATE INDEX kept_databases_tenant ON manor.kept_databases (tenant);
CREATE INDEX kept_databases_operation ON manor.kept_databases (operation);
CREATE INDEX kept_databases_drop_after ON manor.kept_databases (drop_after);
