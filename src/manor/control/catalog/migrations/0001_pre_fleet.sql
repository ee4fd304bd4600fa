-- What exists: the catalog itself, servers, tenants, their databases, goldens and the warm pool.
-- "server" is a deployment's name; environ.yaml declares it, so nothing here refers to manor.servers by a foreign key.

CREATE TABLE manor.catalog (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id text NOT NULL CHECK (id ~ '^[0-9a-f]{8}$'),
    key_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN manor.catalog.key_id IS 'Id (not the key) of the key that every stored URL can be decrypted with';

INSERT INTO manor.catalog (id) VALUES (left(replace(gen_random_uuid()::text, '-', ''), 8));

CREATE TABLE manor.servers (
    name text PRIMARY KEY,
    engine text NOT NULL,
    url text NOT NULL,
    version text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN manor.servers.url IS 'Without its password';

CREATE TABLE manor.tenants (
    id text PRIMARY KEY,
    name text NOT NULL,
    database_url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    is_active boolean NOT NULL DEFAULT true,
    customer_code text NOT NULL,
    grp text NOT NULL,
    short_id text NOT NULL,
    source text NOT NULL DEFAULT '',
    variables jsonb NOT NULL DEFAULT '{}',
    config jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_id_is_its_parts CHECK (id = customer_code || '/' || grp || '/' || short_id),
    CONSTRAINT tenants_database_url_is_encrypted CHECK (database_url = '' OR database_url LIKE 'gAAAA%')
);
COMMENT ON COLUMN manor.tenants.database_url IS 'Encrypted (Fernet) and bound to the tenant; empty until there is one';
CREATE INDEX tenants_short_id ON manor.tenants (short_id text_pattern_ops);
CREATE INDEX tenants_source ON manor.tenants (source);

CREATE TABLE manor.databases (
    tenant text PRIMARY KEY REFERENCES manor.tenants (id),
    server text NOT NULL,
    database text NOT NULL,
    grp text NOT NULL,
    template text NOT NULL,
    role text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'ready', 'failed')),
    golden text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',
    operation text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT databases_one_tenant_each UNIQUE (server, database)
);
COMMENT ON COLUMN manor.databases.operation IS 'The operation that wrote this row last';
CREATE INDEX databases_database ON manor.databases (database text_pattern_ops);
CREATE INDEX databases_golden ON manor.databases (server, golden);
-- Two tenants with one role would each see the other's rows.
CREATE UNIQUE INDEX databases_one_role_each ON manor.databases (server, role) WHERE role <> '';

CREATE TABLE manor.goldens (
    server text NOT NULL,
    template text NOT NULL,
    digest text NOT NULL,
    database text NOT NULL,
    fingerprint text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server, template, digest)
);

CREATE TABLE manor.warm_pool (
    server text NOT NULL,
    database text NOT NULL,
    digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (server, database)
);
CREATE INDEX warm_pool_next ON manor.warm_pool (server, digest, created_at);
