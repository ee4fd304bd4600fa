-- Backups: an index of what storage holds, the keys that they are encrypted with, and what must not be removed.

CREATE TABLE manor.backups (
    id text PRIMARY KEY,
    location text NOT NULL,
    key text NOT NULL,
    tenant text NOT NULL,
    kind text NOT NULL,
    form text NOT NULL,
    database text NOT NULL,
    server text NOT NULL,
    bytes bigint NOT NULL,
    rows bigint NOT NULL,
    version text NOT NULL DEFAULT '',
    fingerprint text NOT NULL DEFAULT '',
    digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    encrypted text NOT NULL DEFAULT '',
    operation text NOT NULL DEFAULT '',
    made_by text NOT NULL DEFAULT '',
    made_at timestamptz NOT NULL,
    verified_at timestamptz,
    problem text NOT NULL DEFAULT '',
    hold_reason text NOT NULL DEFAULT '',
    held_by text NOT NULL DEFAULT '',
    held_at timestamptz
);
COMMENT ON TABLE manor.backups IS 'A backup is what storage says (its manifest is there); this is the index of it, and refers to tenants by text';
COMMENT ON COLUMN manor.backups.key IS 'Of the manifest, below the location';
COMMENT ON COLUMN manor.backups.digest IS 'Of the manifest: one that was written anew by somebody else has another';
COMMENT ON COLUMN manor.backups.encrypted IS 'The recipient that the dump is encrypted for; empty: it is not';
COMMENT ON COLUMN manor.backups.problem IS 'What the last verification found; empty: nothing';
COMMENT ON COLUMN manor.backups.hold_reason IS 'Of a legal hold; empty: there is none';
CREATE INDEX backups_tenant ON manor.backups (tenant, made_at DESC);
CREATE INDEX backups_location ON manor.backups (location);

CREATE TABLE manor.tenant_keys (
    tenant text NOT NULL,
    recipient text NOT NULL,
    secret text NOT NULL CHECK (secret LIKE 'gAAAA%'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, recipient)
);
COMMENT ON TABLE manor.tenant_keys IS 'Keys (age) of tenants'' backups; the newest of a tenant encrypts, all decrypt. Destroying them makes the backups unreadable';
COMMENT ON COLUMN manor.tenant_keys.secret IS 'Encrypted (Fernet) and bound to the tenant';
