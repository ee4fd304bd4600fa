-- What was done: operations and what became of each of their targets. Outcomes refer to tenants by text: they survive them.

CREATE TABLE manor.operations (
    id text PRIMARY KEY,
    verb text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'interrupted')),
    source text NOT NULL,
    digest text NOT NULL,
    actor text NOT NULL,
    arguments jsonb NOT NULL DEFAULT '{}',
    summary jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX operations_started_at ON manor.operations (started_at DESC);
CREATE INDEX operations_running ON manor.operations (id) WHERE state = 'running';

CREATE TABLE manor.outcomes (
    operation text NOT NULL REFERENCES manor.operations (id),
    tenant text NOT NULL,
    database text NOT NULL,
    server text NOT NULL,
    grp text NOT NULL,
    template text NOT NULL,
    status text NOT NULL,
    duration_seconds double precision NOT NULL,
    error jsonb,
    detail text NOT NULL DEFAULT '',
    facts jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operation, tenant)
);
CREATE INDEX outcomes_tenant ON manor.outcomes (tenant, at DESC);
