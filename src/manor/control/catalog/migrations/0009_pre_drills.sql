-- Restore drills, and what is done by the clock.

CREATE TABLE manor.drills (
    operation text NOT NULL,
    tenant text NOT NULL,
    backup text NOT NULL,
    backup_made_at timestamptz,
    ok boolean NOT NULL,
    problem text NOT NULL DEFAULT '',
    rows bigint NOT NULL DEFAULT 0,
    fingerprint text NOT NULL DEFAULT '',
    seconds double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (operation, tenant)
);
COMMENT ON TABLE manor.drills IS 'What became of restoring tenants'' backups for practice; refers to tenants by text: it survives them';
COMMENT ON COLUMN manor.drills.backup IS 'Empty where there was none to restore';
CREATE INDEX drills_tenant ON manor.drills (tenant, at DESC);

CREATE TABLE manor.schedules (
    name text PRIMARY KEY,
    expression text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    due timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    operation text NOT NULL DEFAULT '',
    worker text NOT NULL DEFAULT '',
    started_at timestamptz,
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT ''
);
COMMENT ON TABLE manor.schedules IS 'What environ.yaml has done by the clock; of several workers the one that moves "due" runs it';
COMMENT ON COLUMN manor.schedules.expression IS 'As it was last seen: another one begins anew, and has missed nothing';
COMMENT ON COLUMN manor.schedules.due IS 'The moment that the newest run was for';
