-- Tenants on their way out: suspensions, legal holds, and erasures with their certificates. No foreign keys: they survive the tenant.

ALTER TABLE manor.databases
    DROP CONSTRAINT databases_state_check,
    ADD CONSTRAINT databases_state_check CHECK (state IN ('pending', 'ready', 'failed', 'erasing'));

CREATE TABLE manor.suspensions (
    tenant text PRIMARY KEY,
    reason text NOT NULL DEFAULT '',
    since timestamptz NOT NULL,
    actor text NOT NULL,
    operation text NOT NULL,
    erase_after timestamptz,
    final_export jsonb
);
COMMENT ON TABLE manor.suspensions IS 'Written before the tenant''s role is shut out, and struck off before it is let in again';
COMMENT ON COLUMN manor.suspensions.erase_after IS 'When the tenant may be erased; NULL where nobody asked for that';
CREATE INDEX suspensions_erase_after ON manor.suspensions (erase_after) WHERE erase_after IS NOT NULL;

CREATE TABLE manor.tenant_holds (
    tenant text PRIMARY KEY,
    reason text NOT NULL,
    since timestamptz NOT NULL,
    actor text NOT NULL
);
COMMENT ON TABLE manor.tenant_holds IS 'Legal holds: these tenants are not erased, whoever asks';

CREATE TABLE manor.erasures (
    tenant text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('erasing', 'erased')),
    operation text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT '',
    subject text NOT NULL,
    steps jsonb NOT NULL DEFAULT '{}',
    begun_at timestamptz NOT NULL,
    erased_at timestamptz,
    certificate json,
    CONSTRAINT erasures_end_with_a_certificate CHECK ((state = 'erased') = (certificate IS NOT NULL AND erased_at IS NOT NULL))
);
COMMENT ON TABLE manor.erasures IS 'Tombstones: what is here is not made again';
COMMENT ON COLUMN manor.erasures.subject IS 'What must be known to go on where a kill stopped it, encrypted (Fernet); emptied at the end';
COMMENT ON COLUMN manor.erasures.certificate IS 'json, not jsonb: the signature covers the text as it was written';

CREATE TRIGGER refuse_change BEFORE UPDATE ON manor.erasures
    FOR EACH ROW WHEN (OLD.state = 'erased') EXECUTE FUNCTION manor.refuse_change();
CREATE TRIGGER refuse_delete BEFORE DELETE ON manor.erasures
    FOR EACH ROW EXECUTE FUNCTION manor.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON manor.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION manor.refuse_change();
