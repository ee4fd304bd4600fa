-- What sources of tenants said last, and what changed each time. No foreign keys: a tenant is here before, and after, its databases.

CREATE TABLE manor.sources (
    name text PRIMARY KEY,
    generation bigint NOT NULL,
    tenants bigint NOT NULL,
    operation text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN manor.sources.generation IS 'Counts the syncs that changed something: one that planned upon an older state is refused';

CREATE TABLE manor.directory (
    source text NOT NULL,
    tenant_id text NOT NULL,
    customer_code text NOT NULL,
    customer_name text NOT NULL,
    region text NOT NULL,
    tier text NOT NULL,
    status text NOT NULL,
    created_at timestamptz,
    updated_at timestamptz,
    isolation_strategy text NOT NULL,
    database_prefix text,
    schema_suffix text,
    table_prefix text,
    instances text NOT NULL,
    billing_info jsonb,
    contract_info jsonb,
    config jsonb NOT NULL DEFAULT '{}',
    digest text NOT NULL,
    config_digest text NOT NULL,
    state text NOT NULL CHECK (state IN ('present', 'gone')),
    operation text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, tenant_id)
);
COMMENT ON COLUMN manor.directory.instances IS 'main;test';
COMMENT ON COLUMN manor.directory.state IS 'gone: the source has it no longer; its databases stay';
COMMENT ON COLUMN manor.directory.created_at IS 'As the source says, like all columns up to config';
COMMENT ON COLUMN manor.directory.operation IS 'The sync that wrote this row last';
CREATE INDEX directory_tenant_id ON manor.directory (tenant_id);
CREATE INDEX directory_customer_code ON manor.directory (customer_code);
CREATE INDEX directory_customer_name ON manor.directory (customer_name);
CREATE INDEX directory_region ON manor.directory (region);
CREATE INDEX directory_tier ON manor.directory (tier);
CREATE INDEX directory_status ON manor.directory (status);
CREATE INDEX directory_created_at ON manor.directory (created_at);
CREATE INDEX directory_updated_at ON manor.directory (updated_at);

CREATE TABLE manor.directory_changes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation text NOT NULL,
    source text NOT NULL,
    tenant_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('new', 'changed', 'suspended', 'returned', 'gone')),
    fields jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN manor.directory_changes.fields IS 'By field of TenantInfo, [before, after]; of config by its own keys, config.limits; empty for one that is new or gone';
CREATE INDEX directory_changes_tenant ON manor.directory_changes (source, tenant_id, number);
CREATE INDEX directory_changes_operation ON manor.directory_changes (operation);
