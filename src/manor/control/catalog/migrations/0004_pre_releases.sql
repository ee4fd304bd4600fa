-- Releases: what they are made of, which targets they change, who holds a tenant meanwhile, and how they were decided.

ALTER TABLE manor.operations
    DROP CONSTRAINT operations_state_check,
    ADD CONSTRAINT operations_state_check CHECK (
        state IN ('running', 'paused', 'succeeded', 'failed', 'interrupted', 'aborted', 'needs_decision')),
    ADD COLUMN lock text NOT NULL DEFAULT 'fleet',
    ADD COLUMN token bigint NOT NULL DEFAULT 0,
    ADD COLUMN wanted text NOT NULL DEFAULT '' CHECK (wanted IN ('', 'pause', 'abort')),
    ADD COLUMN decision text NOT NULL DEFAULT '' CHECK (decision IN ('', 'commit', 'rollback')),
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN plan jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN parent text NOT NULL DEFAULT '';
COMMENT ON COLUMN manor.operations.lock IS 'Name of the lock that its runner holds; free means that nobody runs it any more';
COMMENT ON COLUMN manor.operations.token IS 'Fencing: tenants'' databases refuse a runner whose token is not the highest that they have seen';
COMMENT ON COLUMN manor.operations.wanted IS 'What somebody asked its runner to do';
COMMENT ON COLUMN manor.operations.decision IS 'Of a two-phase commit; empty means roll back (presumed abort)';
COMMENT ON COLUMN manor.operations.parent IS 'The operation that this one retries or undoes';

CREATE SEQUENCE manor.tokens;

ALTER TABLE manor.databases ADD COLUMN version text NOT NULL DEFAULT '';
COMMENT ON COLUMN manor.databases.version IS 'Its newest migration; what golden (a digest) means in full is in manor.lineages';

ALTER TABLE manor.outcomes
    ADD COLUMN position integer,
    ADD COLUMN wave integer,
    ADD COLUMN cohort integer,
    ADD COLUMN attempt integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN manor.outcomes.cohort IS 'Which of the plan''s cohorts: what is run on this target, and what must come out';

CREATE TABLE manor.claims (
    tenant text PRIMARY KEY,
    operation text NOT NULL REFERENCES manor.operations (id),
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE manor.claims IS 'Tenants that a release is about to change: two operations on one tenant exclude each other';
CREATE INDEX claims_operation ON manor.claims (operation);

CREATE TABLE manor.scripts (
    version text NOT NULL,
    checksum text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
    body jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, checksum)
);
COMMENT ON TABLE manor.scripts IS 'Migrations that were run, so that resuming and undoing need no files';

CREATE TABLE manor.lineages (
    digest text PRIMARY KEY,
    base text NOT NULL,
    history jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE manor.lineages IS 'What a golden''s digest is made of: a template''s digest and the migrations [version, checksum, name] run upon it';

CREATE TABLE manor.heads (
    source text NOT NULL,
    template text NOT NULL,
    version text NOT NULL,
    operation text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, template)
);
COMMENT ON TABLE manor.heads IS 'The release that new tenants of a template get';
