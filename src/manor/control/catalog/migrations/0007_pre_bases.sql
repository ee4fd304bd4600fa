-- Base backups of whole servers, and named restore points: what one tenant can be taken back to a moment with.

CREATE TABLE manor.bases (
    id text PRIMARY KEY,
    server text NOT NULL,
    location text NOT NULL,
    operation text NOT NULL,
    major int NOT NULL,
    databases int NOT NULL,
    bytes bigint NOT NULL,
    started_at timestamptz NOT NULL,
    stopped_at timestamptz NOT NULL
);
COMMENT ON TABLE manor.bases IS 'An index: what is in storage is the truth';
CREATE INDEX bases_server ON manor.bases (server, stopped_at);

CREATE TABLE manor.marks (
    server text NOT NULL,
    name text NOT NULL,
    lsn numeric,
    at timestamptz,
    actor text NOT NULL DEFAULT '',
    PRIMARY KEY (server, name)
);
COMMENT ON TABLE manor.marks IS 'A name is taken before the server makes the restore point: one without a position was not made, as far as we know';
