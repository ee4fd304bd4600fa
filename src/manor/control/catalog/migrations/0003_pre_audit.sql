-- Who did what: append-only, chained by HMAC with a key that is not in the database. No foreign keys: entries survive the tenant.

CREATE TABLE manor.audit_log (
    sequence bigint PRIMARY KEY CHECK (sequence > 0),
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    operation text NOT NULL,
    details json NOT NULL,
    key_id text NOT NULL,
    mac text NOT NULL CHECK (mac ~ '^[0-9a-f]{64}$')
);
COMMENT ON COLUMN manor.audit_log.details IS 'json, not jsonb: the MAC covers the text as it was written';
CREATE INDEX audit_log_subject ON manor.audit_log (subject, sequence DESC);
CREATE INDEX audit_log_at ON manor.audit_log (at);

CREATE TABLE manor.audit_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    sequence bigint NOT NULL,
    mac text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE manor.audit_head IS 'The newest entry; its row lock is what makes concurrent writers take turns';
INSERT INTO manor.audit_head (sequence, mac) VALUES (0, '');

CREATE FUNCTION manor.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION manor.move_only_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <= OLD.sequence THEN
        RAISE EXCEPTION 'the head of the audit log moves only forward' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON manor.audit_log
    FOR EACH ROW EXECUTE FUNCTION manor.refuse_change();
-- Row triggers do not see TRUNCATE.
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON manor.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION manor.refuse_change();

CREATE TRIGGER move_only_forward BEFORE UPDATE ON manor.audit_head
    FOR EACH ROW EXECUTE FUNCTION manor.move_only_forward();
CREATE TRIGGER refuse_delete BEFORE DELETE ON manor.audit_head
    FOR EACH ROW EXECUTE FUNCTION manor.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON manor.audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION manor.refuse_change();
