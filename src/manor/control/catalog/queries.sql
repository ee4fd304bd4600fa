-- Every statement that the catalog sends, under its name. "%(name)s" is a parameter; a batch is one JSON array of objects.
-- All names are qualified: sessions run with search_path = pg_catalog.

-- database_exists --
SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'manor_catalog');

-- create_database --
CREATE DATABASE manor_catalog TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';

-- public_may_enter --
SELECT EXISTS (
    SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS entry
    WHERE datname = current_database() AND entry.grantee = 0
);

-- shut_public_out --
REVOKE ALL ON DATABASE manor_catalog FROM PUBLIC;

-- create_version_table --
CREATE SCHEMA IF NOT EXISTS manor;
CREATE TABLE IF NOT EXISTS manor.schema_version (
    version integer PRIMARY KEY,
    phase text NOT NULL CHECK (phase IN ('pre', 'post')),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- lock_migrations --
SELECT set_config('lock_timeout', '60s', true), pg_advisory_xact_lock(hashtextextended('manor migrations', 0));

-- applied_migrations --
SELECT version, checksum FROM manor.schema_version ORDER BY version;

-- record_migration --
INSERT INTO manor.schema_version (version, phase, name, checksum)
VALUES (%(version)s, %(phase)s, %(name)s, %(checksum)s);

-- identity --
SELECT id, key_id FROM manor.catalog;

-- claim_key --
UPDATE manor.catalog SET key_id = %(key_id)s WHERE key_id = '';

-- replace_key --
UPDATE manor.catalog SET key_id = %(key_id)s WHERE key_id <> %(key_id)s;

-- try_lock --
SELECT pg_try_advisory_lock(%(key)s);

-- limit_lock_wait --
SELECT set_config('lock_timeout', %(limit)s, false);

-- wait_for_lock --
SELECT pg_advisory_lock(%(key)s);

-- unlock --
SELECT pg_advisory_unlock(%(key)s);

-- lock_holder --
SELECT activity.application_name, operations.verb, operations.actor, coalesce(operations.started_at, activity.backend_start)
FROM pg_locks AS locks
LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
LEFT JOIN manor.operations AS operations ON operations.id = activity.application_name
WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
    AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND locks.classid = %(high)s AND locks.objid = %(low)s;

-- put_server --
INSERT INTO manor.servers (name, engine, url, version)
VALUES (%(name)s, %(engine)s, %(url)s, %(version)s)
ON CONFLICT (name) DO UPDATE
SET engine = excluded.engine, url = excluded.url, version = excluded.version, updated_at = now();

-- servers --
SELECT name, engine, url, version, updated_at FROM manor.servers ORDER BY name;

-- begin_operation --
INSERT INTO manor.operations (id, verb, state, source, digest, actor, arguments, summary, started_at)
VALUES (%(id)s, %(verb)s, %(state)s, %(source)s, %(digest)s, %(actor)s, %(arguments)s::jsonb, %(summary)s::jsonb, %(started_at)s);

-- finish_operation --
UPDATE manor.operations SET state = %(state)s, summary = %(summary)s::jsonb, finished_at = clock_timestamp()
WHERE id = %(id)s
RETURNING id;

-- hold_operation --
SELECT state, token FROM manor.operations WHERE id = %(id)s FOR SHARE;

-- end_sessions --
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
WHERE application_name = %(application)s AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid();

-- mark_interrupted --
UPDATE manor.operations SET state = 'interrupted', finished_at = clock_timestamp()
WHERE id = %(id)s AND state = 'running';

-- interrupted_operations --
SELECT id, verb, state, source, digest, started_at, finished_at, actor, arguments, summary
FROM manor.operations WHERE state = 'running' AND lock = 'fleet' ORDER BY started_at, id;

-- operations --
SELECT id, verb, state, source, digest, started_at, finished_at, actor, arguments, summary
FROM manor.operations ORDER BY started_at DESC, id DESC LIMIT %(limit)s;

-- record_outcomes --
INSERT INTO manor.outcomes AS outcomes
    (operation, tenant, database, server, grp, template, status, duration_seconds, error, detail, facts)
SELECT %(operation)s, tenant, database, server, grp, template, status, duration_seconds, error, detail, facts
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    tenant text, database text, server text, grp text, template text, status text,
    duration_seconds double precision, error jsonb, detail text, facts jsonb)
ON CONFLICT (operation, tenant) DO UPDATE
SET status = excluded.status, duration_seconds = excluded.duration_seconds, error = excluded.error,
    detail = excluded.detail, facts = excluded.facts, at = now();

-- mark_failed --
UPDATE manor.databases SET state = 'failed', operation = %(operation)s, updated_at = now()
WHERE state = 'pending' AND tenant = ANY (%(tenants)s);

-- forget_database --
DELETE FROM manor.databases WHERE tenant = %(tenant)s AND state <> 'ready';

-- forget_tenant --
DELETE FROM manor.tenants t WHERE t.id = %(tenant)s AND NOT EXISTS (SELECT FROM manor.databases d WHERE d.tenant = t.id);

-- conflicting_databases --
WITH batch AS MATERIALIZED (
    SELECT tenant, server, database, role
    FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (tenant text, server text, database text, role text)
)
SELECT 'database', batch.tenant, batch.server, batch.database, databases.tenant, databases.server, databases.database
FROM batch JOIN manor.databases AS databases USING (server, database)
WHERE databases.tenant <> batch.tenant
UNION ALL
SELECT 'moved', batch.tenant, batch.server, batch.database, databases.tenant, databases.server, databases.database
FROM batch JOIN manor.databases AS databases USING (tenant)
WHERE databases.state = 'ready' AND (databases.server, databases.database) <> (batch.server, batch.database)
UNION ALL
SELECT 'role', batch.tenant, batch.server, batch.role, databases.tenant, databases.server, databases.database
FROM batch JOIN manor.databases AS databases USING (server, role)
WHERE databases.tenant <> batch.tenant AND databases.role <> ''
LIMIT 20;

-- record_tenants --
INSERT INTO manor.tenants AS tenants
    (id, name, database_url, is_active, customer_code, grp, short_id, source, variables, config)
SELECT tenant, name, url, is_active, customer_code, tenant_group, short_id, source, variables, config
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    tenant text, name text, url text, is_active boolean, customer_code text, tenant_group text, short_id text,
    source text, variables jsonb, config jsonb)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, is_active = excluded.is_active, source = excluded.source,
    variables = excluded.variables, config = excluded.config, updated_at = now(),
    database_url = CASE excluded.database_url WHEN '' THEN tenants.database_url ELSE excluded.database_url END;

-- record_databases --
INSERT INTO manor.databases AS databases
    (tenant, server, database, grp, template, role, state, golden, fingerprint, version, operation)
SELECT tenant, server, database, grp, template, role, state, golden, fingerprint, version, %(operation)s
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    tenant text, server text, database text, grp text, template text, role text, state text, golden text, fingerprint text,
    version text)
ON CONFLICT (tenant) DO UPDATE
SET server = excluded.server, database = excluded.database, grp = excluded.grp, template = excluded.template,
    role = excluded.role, state = excluded.state, golden = excluded.golden, fingerprint = excluded.fingerprint,
    version = excluded.version, operation = excluded.operation, updated_at = now();

-- analyze_fleet --
ANALYZE manor.tenants, manor.databases;

-- databases --
SELECT tenants.customer_code, tenants.grp, tenants.short_id, databases.database, databases.server, databases.grp,
    databases.template, databases.state, databases.role, databases.golden, databases.fingerprint, tenants.source, tenants.name,
    tenants.is_active, tenants.config::text, tenants.variables::text, databases.created_at, databases.updated_at,
    databases.version
FROM manor.databases AS databases
JOIN manor.tenants AS tenants ON tenants.id = databases.tenant
WHERE (%(source)s::text IS NULL OR tenants.source = %(source)s)
    AND (%(server)s::text IS NULL OR databases.server = %(server)s)
    AND (%(group)s::text IS NULL OR databases.grp = %(group)s)
    AND (%(state)s::text IS NULL OR databases.state = %(state)s)
ORDER BY databases.tenant;

-- database_by_tenant --
SELECT tenants.customer_code, tenants.grp, tenants.short_id, databases.database, databases.server, databases.grp,
    databases.template, databases.state, databases.role, databases.golden, databases.fingerprint, tenants.source, tenants.name,
    tenants.is_active, tenants.config::text, tenants.variables::text, databases.created_at, databases.updated_at,
    databases.version, tenants.database_url
FROM (
    SELECT id FROM manor.tenants WHERE id = %(text)s OR short_id = %(text)s
    UNION
    SELECT tenant FROM manor.databases WHERE database = %(text)s
) AS matching
JOIN manor.tenants AS tenants ON tenants.id = matching.id
JOIN manor.databases AS databases ON databases.tenant = matching.id
ORDER BY (matching.id <> %(text)s), matching.id
LIMIT 20;

-- similar_tenants --
(SELECT id, short_id FROM manor.tenants WHERE starts_with(short_id, %(short_id)s) ORDER BY short_id LIMIT 300)
UNION
(SELECT id, short_id FROM manor.tenants WHERE starts_with(short_id, left(%(short_id)s, 3)) ORDER BY short_id LIMIT 300)
UNION
(SELECT tenant, database FROM manor.databases WHERE starts_with(database, left(%(short_id)s, 3)) ORDER BY database LIMIT 300);

-- set_url --
UPDATE manor.tenants SET database_url = %(url)s, updated_at = now() WHERE id = %(tenant)s RETURNING id;

-- urls --
SELECT customer_code, grp, short_id, database_url FROM manor.tenants WHERE id = ANY (%(tenants)s);

-- urls_to_reencrypt --
SELECT id, database_url FROM manor.tenants
WHERE id > %(after)s AND database_url <> ''
ORDER BY id LIMIT %(limit)s
FOR UPDATE;

-- replace_urls --
UPDATE manor.tenants SET database_url = batch.url
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (tenant text, url text)
WHERE tenants.id = batch.tenant;

-- goldens --
SELECT server, template, digest, database, fingerprint, created_at FROM manor.goldens
WHERE server = %(server)s ORDER BY template, created_at, digest;

-- put_golden --
INSERT INTO manor.goldens (server, template, digest, database, fingerprint)
VALUES (%(server)s, %(template)s, %(digest)s, %(database)s, %(fingerprint)s)
ON CONFLICT (server, template, digest) DO UPDATE
SET database = excluded.database, fingerprint = excluded.fingerprint, created_at = now();

-- drop_golden --
DELETE FROM manor.goldens WHERE server = %(server)s AND database = %(database)s;

-- pool_add --
INSERT INTO manor.warm_pool (server, database, digest)
SELECT %(server)s, unnest(%(databases)s::text[]), %(digest)s
ON CONFLICT (server, database) DO UPDATE SET digest = excluded.digest;

-- pool_take --
WITH picked AS MATERIALIZED (
    SELECT server, database FROM manor.warm_pool
    WHERE server = %(server)s AND digest = %(digest)s
    ORDER BY created_at, database LIMIT 1
    FOR UPDATE SKIP LOCKED
)
DELETE FROM manor.warm_pool AS pool USING picked
WHERE pool.server = picked.server AND pool.database = picked.database
RETURNING pool.database;

-- pool_list --
SELECT server, digest, database, created_at FROM manor.warm_pool
WHERE %(server)s::text IS NULL OR server = %(server)s
ORDER BY server, digest, created_at, database;

-- pool_forget --
DELETE FROM manor.warm_pool WHERE server = %(server)s AND database = ANY (%(databases)s);

-- lock_audit_head --
SELECT sequence, mac, clock_timestamp() FROM manor.audit_head FOR UPDATE;

-- append_audit --
INSERT INTO manor.audit_log (sequence, at, actor, action, subject, operation, details, key_id, mac)
SELECT sequence, at, actor, action, subject, operation, details::json, key_id, mac
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    sequence bigint, at timestamptz, actor text, action text, subject text, operation text, details text, key_id text, mac text);

-- move_audit_head --
UPDATE manor.audit_head SET sequence = %(sequence)s, mac = %(mac)s, at = %(at)s;

-- audit_page --
SELECT head.sequence, head.mac, head.at, entry.*
FROM manor.audit_head AS head
LEFT JOIN LATERAL (
    SELECT sequence, at, actor, action, subject, operation, details::text, key_id, mac
    FROM manor.audit_log WHERE sequence > %(after)s ORDER BY sequence LIMIT %(limit)s
) AS entry ON true
ORDER BY entry.sequence;

-- audit_entries --
SELECT sequence, at, actor, action, subject, operation, details::text, key_id, mac
FROM manor.audit_log
WHERE (%(subject)s::text IS NULL OR subject = %(subject)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
ORDER BY sequence DESC LIMIT %(limit)s;

-- begin_release --
UPDATE manor.operations
SET lock = %(lock)s, token = nextval('manor.tokens'), plan = %(plan)s::jsonb, parent = %(parent)s
WHERE id = %(id)s
RETURNING token;

-- plan_targets --
INSERT INTO manor.outcomes
    (operation, tenant, database, server, grp, template, status, duration_seconds, error, detail, position, wave, cohort)
SELECT %(operation)s, tenant, database, server, grp, template, status, 0, error, detail, position, wave, cohort
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    tenant text, database text, server text, grp text, template text, status text, error jsonb, detail text,
    position integer, wave integer, cohort integer)
ON CONFLICT (operation, tenant) DO UPDATE
SET status = excluded.status, detail = excluded.detail, position = excluded.position, wave = excluded.wave,
    cohort = excluded.cohort;

-- claim_tenants --
-- Whoever does again what another operation left takes over the tenants that this one still holds: they need a decision.
INSERT INTO manor.claims (tenant, operation)
SELECT tenant, %(operation)s FROM unnest(%(tenants)s::text[]) AS tenant ORDER BY tenant
ON CONFLICT (tenant) DO UPDATE SET operation = excluded.operation, at = now()
WHERE claims.operation = excluded.operation OR (claims.operation = %(heir_of)s
    AND EXISTS (SELECT FROM manor.operations WHERE id = %(heir_of)s AND state IN ('failed', 'needs_decision', 'interrupted')))
RETURNING tenant;

-- claimed_by --
SELECT claims.tenant, operations.id, operations.verb, operations.state, operations.actor, operations.started_at
FROM manor.claims AS claims JOIN manor.operations AS operations ON operations.id = claims.operation
WHERE claims.tenant = ANY (%(tenants)s) ORDER BY claims.tenant;

-- release_claims --
DELETE FROM manor.claims WHERE operation = %(operation)s AND tenant = ANY (%(tenants)s);

-- release_other_claims --
DELETE FROM manor.claims AS claims WHERE operation = %(operation)s AND NOT EXISTS (
    SELECT FROM manor.outcomes AS outcomes
    WHERE outcomes.operation = claims.operation AND outcomes.tenant = claims.tenant AND outcomes.status = 'needs_decision');

-- put_scripts --
INSERT INTO manor.scripts (version, checksum, body)
SELECT version, checksum, body FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (version text, checksum text, body jsonb)
ON CONFLICT (version, checksum) DO UPDATE SET body = excluded.body;

-- scripts --
SELECT version, checksum, body FROM manor.scripts WHERE checksum = ANY (%(checksums)s);

-- put_lineages --
INSERT INTO manor.lineages (digest, base, history)
SELECT digest, base, history FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (digest text, base text, history jsonb)
ON CONFLICT (digest) DO NOTHING;

-- lineages --
SELECT digest, base, history FROM manor.lineages WHERE digest = ANY (%(digests)s);

-- heads --
SELECT source, template, version FROM manor.heads;

-- put_heads --
INSERT INTO manor.heads (source, template, version, operation)
SELECT source, template, version, %(operation)s
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (source text, template text, version text)
ON CONFLICT (source, template) DO UPDATE SET version = excluded.version, operation = excluded.operation, at = now();

-- put_new_heads --
INSERT INTO manor.heads (source, template, version, operation)
SELECT source, template, version, %(operation)s
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (source text, template text, version text)
ON CONFLICT (source, template) DO NOTHING;

-- take_targets --
WITH allowed AS MATERIALIZED (
    SELECT id FROM manor.operations
    WHERE id = %(operation)s AND state = 'running' AND token = %(token)s AND wanted = ''
    FOR SHARE
), failures AS MATERIALIZED (
    SELECT count(*) AS number FROM manor.outcomes
    WHERE operation = %(operation)s AND status IN ('error', 'needs_decision')
)
UPDATE manor.outcomes AS outcomes SET status = 'in_progress', attempt = attempt + 1, at = now()
FROM allowed, failures
WHERE outcomes.operation = allowed.id AND outcomes.tenant = ANY (%(tenants)s) AND outcomes.status = 'pending'
    AND (%(max_failures)s::integer IS NULL OR failures.number <= %(max_failures)s)
RETURNING outcomes.tenant;

-- give_back_targets --
UPDATE manor.outcomes AS outcomes SET status = 'pending', attempt = attempt - 1, at = now()
FROM manor.operations AS operations
WHERE operations.id = %(operation)s AND operations.token = %(token)s AND outcomes.operation = operations.id
    AND outcomes.tenant = ANY (%(tenants)s) AND outcomes.status = 'in_progress';

-- target_statuses --
SELECT tenant, status FROM manor.outcomes WHERE operation = %(operation)s AND tenant = ANY (%(tenants)s);

-- move_databases --
UPDATE manor.databases AS databases
SET version = batch.version, golden = batch.golden, fingerprint = batch.fingerprint, operation = %(operation)s, updated_at = now()
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (tenant text, version text, golden text, fingerprint text)
WHERE databases.tenant = batch.tenant;

-- want --
UPDATE manor.operations SET wanted = %(wanted)s
WHERE id = %(id)s AND state = 'running' AND decision = '' RETURNING id;

-- decide --
UPDATE manor.operations SET decision = %(decision)s, decided_at = clock_timestamp()
WHERE id = %(id)s AND state = 'running' AND token = %(token)s AND decision IN ('', %(decision)s)
    AND (%(decision)s = 'rollback' OR wanted = '')
RETURNING decided_at;

-- set_release_state --
UPDATE manor.operations
SET state = %(state)s, wanted = '', summary = %(summary)s::jsonb,
    finished_at = CASE WHEN %(state)s = 'running' THEN NULL ELSE clock_timestamp() END
WHERE id = %(id)s AND state = ANY (%(states)s) RETURNING token;

-- set_plan --
UPDATE manor.operations SET plan = %(plan)s::jsonb WHERE id = %(id)s;

-- take_over --
UPDATE manor.operations
SET state = 'running', token = nextval('manor.tokens'), wanted = '', finished_at = NULL, actor = %(actor)s
WHERE id = %(id)s AND state = ANY (%(states)s) RETURNING token;

-- close_targets --
-- One that needed a decision and was not reached needs it still.
UPDATE manor.outcomes
SET status = CASE WHEN status = 'pending' AND facts ? 'undecided' THEN 'needs_decision' ELSE 'not_started' END,
    detail = CASE WHEN status = 'pending' AND facts ? 'undecided' THEN detail ELSE %(detail)s END,
    at = now()
WHERE operation = %(operation)s AND status IN ('pending', 'in_progress');

-- reopen_targets --
-- Those without a cohort were left out from the beginning (--verify found them astray): the release has nothing for them.
UPDATE manor.outcomes
SET status = 'pending',
    error = CASE WHEN status = 'needs_decision' OR facts ? 'undecided' THEN error END,
    detail = CASE WHEN status = 'needs_decision' OR facts ? 'undecided' THEN detail ELSE '' END,
    facts = CASE WHEN status = 'needs_decision' THEN facts || '{"undecided": true}' ELSE facts END,
    at = now()
WHERE operation = %(operation)s AND cohort IS NOT NULL
    AND (status = ANY (%(statuses)s) OR tenant = ANY (%(tenants)s) OR database = ANY (%(tenants)s))
RETURNING tenant;

-- running_releases --
SELECT id FROM manor.operations WHERE state = 'running' AND lock <> 'fleet' ORDER BY started_at, id;

-- operation_state --
SELECT state FROM manor.operations WHERE id = %(id)s;

-- release --
SELECT id, verb, state, source, digest, started_at, finished_at, actor, arguments, summary,
    lock, token, wanted, decision, decided_at, plan, parent
FROM manor.operations WHERE id = %(id)s;

-- undone_tenants --
SELECT DISTINCT outcomes.tenant
FROM manor.operations AS operations JOIN manor.outcomes AS outcomes ON outcomes.operation = operations.id
WHERE operations.verb = 'undo' AND coalesce(nullif(operations.plan ->> 'undone', ''), operations.parent) = %(id)s
    AND (outcomes.status = 'success' OR outcomes.facts ? 'moved');

-- similar_operations --
SELECT id FROM manor.operations ORDER BY started_at DESC LIMIT 500;

-- operation_targets --
SELECT tenant, database, server, grp, template, status, duration_seconds, error, detail, facts,
    position, wave, cohort, attempt, at
FROM manor.outcomes WHERE operation = %(operation)s ORDER BY position, tenant;

-- put_kept --
INSERT INTO manor.kept_databases
    (server, database, tenant, kind, operation, version, golden, fingerprint, marks, drop_after)
VALUES (%(server)s, %(database)s, %(tenant)s, %(kind)s, %(operation)s, %(version)s, %(golden)s, %(fingerprint)s,
    %(marks)s::jsonb, %(drop_after)s)
ON CONFLICT (server, database) DO UPDATE SET marks = excluded.marks, drop_after = excluded.drop_after;

-- forget_kept --
DELETE FROM manor.kept_databases WHERE server = %(server)s AND database = ANY (%(databases)s);

-- kept_databases --
SELECT server, database, tenant, kind, operation, version, golden, fingerprint, marks, drop_after, created_at
FROM manor.kept_databases
WHERE (%(operation)s::text IS NULL OR operation = %(operation)s)
    AND (%(server)s::text IS NULL OR server = %(server)s)
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
ORDER BY created_at, tenant;

-- expired_kept --
SELECT server, database, tenant, kind, operation, version, golden, fingerprint, marks, drop_after, created_at
FROM manor.kept_databases AS kept
WHERE drop_after <= %(now)s AND NOT EXISTS (SELECT FROM manor.claims AS claims WHERE claims.tenant = kept.tenant)
ORDER BY drop_after, tenant;

-- content --
SELECT (SELECT count(*) FROM manor.tenants), (SELECT count(*) FROM manor.audit_log),
    (SELECT state FROM manor.operations WHERE verb = %(verb)s ORDER BY started_at DESC, id DESC LIMIT 1);

-- take_identity --
UPDATE manor.catalog SET id = %(id)s WHERE NOT EXISTS (SELECT FROM manor.audit_log) AND NOT EXISTS (SELECT FROM manor.tenants);

-- raise_tokens --
SELECT setval('manor.tokens', greatest(%(highest)s, (SELECT last_value FROM manor.tokens), 1));

-- put_drills --
INSERT INTO manor.drills (operation, tenant, backup, backup_made_at, ok, problem, rows, fingerprint, seconds)
SELECT operation, tenant, backup, backup_made_at, ok, problem, rows, fingerprint, seconds
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    operation text, tenant text, backup text, backup_made_at timestamptz, ok boolean, problem text, rows bigint,
    fingerprint text, seconds double precision)
ON CONFLICT (operation, tenant) DO UPDATE
SET backup = excluded.backup, backup_made_at = excluded.backup_made_at, ok = excluded.ok, problem = excluded.problem,
    rows = excluded.rows, fingerprint = excluded.fingerprint, seconds = excluded.seconds, at = clock_timestamp();

-- drilled --
SELECT databases.tenant, databases.created_at, proved.at, newest.at, coalesce(newest.problem, ''), coalesce(newest.backup, '')
FROM manor.databases AS databases
LEFT JOIN LATERAL (SELECT max(at) AS at FROM manor.drills WHERE tenant = databases.tenant AND ok) AS proved ON true
LEFT JOIN LATERAL (
    SELECT at, problem, backup FROM manor.drills WHERE tenant = databases.tenant ORDER BY at DESC LIMIT 1
) AS newest ON true
WHERE databases.state = 'ready'
ORDER BY proved.at NULLS FIRST, databases.created_at, databases.tenant;

-- see_schedules --
INSERT INTO manor.schedules AS schedules (name, expression)
SELECT name, expression FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (name text, expression text)
ON CONFLICT (name) DO UPDATE
SET expression = excluded.expression, since = clock_timestamp(), due = NULL, attempts = 0
WHERE schedules.expression <> excluded.expression;

-- schedules --
SELECT name, expression, since, due, attempts, operation, worker, started_at, finished_at, outcome
FROM manor.schedules ORDER BY name;

-- claim_schedule --
UPDATE manor.schedules
SET due = %(due)s, attempts = CASE WHEN due = %(due)s THEN attempts + 1 ELSE 1 END, operation = %(operation)s,
    worker = %(worker)s, started_at = clock_timestamp(), finished_at = NULL, outcome = ''
WHERE name = %(name)s AND due IS NOT DISTINCT FROM %(seen)s::timestamptz AND attempts = %(attempts)s
RETURNING name;

-- finish_schedule --
UPDATE manor.schedules SET finished_at = clock_timestamp(), outcome = %(outcome)s
WHERE name = %(name)s AND operation = %(operation)s;

-- put_base --
INSERT INTO manor.bases (id, server, location, operation, major, databases, bytes, started_at, stopped_at, parent)
VALUES (%(id)s, %(server)s, %(location)s, %(operation)s, %(major)s, %(databases)s, %(bytes)s, %(started_at)s, %(stopped_at)s,
    %(parent)s)
ON CONFLICT (id) DO NOTHING;

-- bases --
SELECT id, server, location, operation, major, databases, bytes, started_at, stopped_at, parent
FROM manor.bases WHERE (%(server)s::text IS NULL OR server = %(server)s) ORDER BY stopped_at, id;

-- forget_bases --
DELETE FROM manor.bases WHERE id = ANY (%(ids)s);

-- claim_mark --
INSERT INTO manor.marks (server, name) VALUES (%(server)s, %(name)s) ON CONFLICT DO NOTHING;

-- put_mark --
UPDATE manor.marks SET lsn = %(lsn)s, at = %(at)s, actor = %(actor)s WHERE server = %(server)s AND name = %(name)s;

-- marks --
SELECT server, name, lsn, at, actor FROM manor.marks
WHERE lsn IS NOT NULL AND (%(server)s::text IS NULL OR server = %(server)s) ORDER BY at, name;

-- Backups: their index, holds, and the keys of tenants.

-- put_backups --
INSERT INTO manor.backups (id, location, key, tenant, kind, form, database, server, bytes, rows, version, fingerprint, digest,
    encrypted, operation, made_by, made_at)
SELECT id, location, key, tenant, kind, form, database, server, bytes, rows, version, fingerprint, digest, encrypted, operation,
    made_by, made_at
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    id text, location text, key text, tenant text, kind text, form text, database text, server text, bytes bigint, rows bigint,
    version text, fingerprint text, digest text, encrypted text, operation text, made_by text, made_at timestamptz)
WHERE NOT %(of_living)s OR NOT EXISTS (SELECT FROM manor.erasures AS erasures WHERE erasures.tenant = batch.tenant)
ON CONFLICT (id) DO UPDATE SET location = excluded.location, key = excluded.key, digest = excluded.digest;

-- backups --
SELECT id, location, key, tenant, kind, form, database, server, bytes, rows, version, fingerprint, digest, encrypted, operation,
    made_by, made_at, verified_at, problem, hold_reason, held_by, held_at
FROM manor.backups
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(location)s::text IS NULL OR location = %(location)s)
    AND (%(id)s::text IS NULL OR id = %(id)s)
ORDER BY tenant, made_at DESC, id;

-- forget_backups --
DELETE FROM manor.backups WHERE id = ANY (%(ids)s) AND hold_reason = '' RETURNING id;

-- hold_backup --
UPDATE manor.backups SET hold_reason = %(reason)s, held_by = %(by)s, held_at = CASE WHEN %(reason)s = '' THEN NULL ELSE now() END
WHERE id = %(id)s RETURNING tenant;

-- record_verified --
UPDATE manor.backups SET verified_at = now(), problem = %(problem)s WHERE id = %(id)s;

-- add_tenant_key --
INSERT INTO manor.tenant_keys (tenant, recipient, secret)
SELECT %(tenant)s, %(recipient)s, %(secret)s
WHERE NOT EXISTS (SELECT FROM manor.tenant_keys WHERE tenant = %(tenant)s);

-- lock_tenant_key --
SELECT pg_advisory_xact_lock(hashtext('manor tenant key'), hashtext(%(tenant)s));

-- tenant_keys --
SELECT recipient, secret FROM manor.tenant_keys WHERE tenant = %(tenant)s ORDER BY created_at DESC, recipient;

-- tenants_with_keys --
SELECT DISTINCT tenant FROM manor.tenant_keys;

-- destroy_tenant_keys --
DELETE FROM manor.tenant_keys WHERE tenant = %(tenant)s RETURNING recipient;

-- keys_to_reencrypt --
SELECT tenant, recipient, secret FROM manor.tenant_keys ORDER BY tenant, recipient FOR UPDATE;

-- replace_tenant_keys --
UPDATE manor.tenant_keys SET secret = batch.secret
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (tenant text, recipient text, secret text)
WHERE tenant_keys.tenant = batch.tenant AND tenant_keys.recipient = batch.recipient;

-- suspend_tenant --
-- Asked again, it keeps since when, and what is said anew counts.
INSERT INTO manor.suspensions AS suspensions (tenant, reason, since, actor, operation, erase_after, final_export)
VALUES (%(tenant)s, %(reason)s, %(since)s, %(actor)s, %(operation)s, %(erase_after)s, %(final_export)s::jsonb)
ON CONFLICT (tenant) DO UPDATE
SET reason = coalesce(nullif(excluded.reason, ''), suspensions.reason), actor = excluded.actor, operation = excluded.operation,
    erase_after = coalesce(excluded.erase_after, suspensions.erase_after),
    final_export = coalesce(excluded.final_export, suspensions.final_export);

-- set_active --
UPDATE manor.tenants SET is_active = %(active)s, updated_at = now() WHERE id = %(tenant)s;

-- resume_tenant --
DELETE FROM manor.suspensions WHERE tenant = %(tenant)s;

-- suspensions --
SELECT tenant, reason, since, actor, operation, erase_after, final_export FROM manor.suspensions
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s) ORDER BY tenant;

-- due_for_erasure --
SELECT suspensions.tenant FROM manor.suspensions AS suspensions
WHERE suspensions.erase_after <= %(now)s
    AND NOT EXISTS (SELECT FROM manor.tenant_holds AS holds WHERE holds.tenant = suspensions.tenant)
    AND NOT EXISTS (SELECT FROM manor.claims AS claims WHERE claims.tenant = suspensions.tenant)
ORDER BY suspensions.erase_after, suspensions.tenant;

-- hold_tenant --
INSERT INTO manor.tenant_holds AS tenant_holds (tenant, reason, since, actor) VALUES (%(tenant)s, %(reason)s, %(since)s, %(actor)s)
ON CONFLICT (tenant) DO UPDATE SET since = tenant_holds.since -- for its row: what the first one said stays
RETURNING reason, actor, since;

-- unhold_tenant --
DELETE FROM manor.tenant_holds WHERE tenant = %(tenant)s RETURNING tenant;

-- tenant_holds --
SELECT tenant, reason, since, actor FROM manor.tenant_holds
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s) ORDER BY tenant;

-- begin_erasure --
-- Begun again, it goes on where it was: the subject and the steps of the first time stay.
INSERT INTO manor.erasures AS erasures (tenant, state, operation, actor, reason, subject, begun_at)
SELECT %(tenant)s, 'erasing', %(operation)s, %(actor)s, %(reason)s, %(subject)s, %(begun_at)s
WHERE NOT EXISTS (SELECT FROM manor.tenant_holds AS holds WHERE holds.tenant = %(tenant)s)
ON CONFLICT (tenant) DO UPDATE
SET operation = excluded.operation, actor = excluded.actor, reason = coalesce(nullif(excluded.reason, ''), erasures.reason)
RETURNING tenant;

-- mark_erasing --
UPDATE manor.databases SET state = 'erasing', operation = %(operation)s, updated_at = now() WHERE tenant = %(tenant)s;

-- erasure --
SELECT tenant, state, operation, actor, reason, subject, steps, begun_at, erased_at, certificate::text
FROM manor.erasures WHERE tenant = %(text)s OR split_part(tenant, '/', 3) = %(text)s
ORDER BY (tenant <> %(text)s), tenant LIMIT 20;

-- erasures --
SELECT tenant, state, operation, actor, reason, subject, steps, begun_at, erased_at, certificate::text
FROM manor.erasures ORDER BY begun_at, tenant;

-- erasure_step --
UPDATE manor.erasures SET steps = steps || jsonb_build_object(%(step)s::text, %(facts)s::jsonb)
WHERE tenant = %(tenant)s AND state = 'erasing' RETURNING tenant;

-- erase_entries --
WITH databases AS (DELETE FROM manor.databases WHERE tenant = %(tenant)s RETURNING 1),
    kept AS (DELETE FROM manor.kept_databases WHERE tenant = %(tenant)s RETURNING 1),
    suspensions AS (DELETE FROM manor.suspensions WHERE tenant = %(tenant)s RETURNING 1)
SELECT (SELECT count(*) FROM databases), (SELECT count(*) FROM kept), (SELECT count(*) FROM suspensions);

-- erase_directory --
-- What its source told of the tenant goes with the last of its databases.
WITH told AS (
    DELETE FROM manor.directory AS info USING manor.tenants AS erased
    WHERE erased.id = %(tenant)s AND erased.source LIKE 'directory:%%' AND info.source = substring(erased.source FROM '[^/]*$')
        AND info.tenant_id = erased.short_id AND NOT EXISTS (
            SELECT FROM manor.tenants AS other JOIN manor.databases AS databases ON databases.tenant = other.id
            WHERE other.source = erased.source AND other.short_id = erased.short_id AND other.id <> erased.id)
    RETURNING info.source, info.tenant_id),
    history AS (DELETE FROM manor.directory_changes AS changes USING told
        WHERE changes.source = told.source AND changes.tenant_id = told.tenant_id RETURNING 1)
SELECT (SELECT count(*) FROM told), (SELECT count(*) FROM history);

-- erase_tenant --
DELETE FROM manor.tenants WHERE id = %(tenant)s;

-- finish_erasure --
UPDATE manor.erasures
SET state = 'erased', erased_at = %(erased_at)s, certificate = %(certificate)s::json, subject = '', steps = '{}'
WHERE tenant = %(tenant)s AND state = 'erasing' RETURNING tenant;

-- places_of_writing --
-- Every place that a command was told to write tenants' rows to, killed ones included: (kind, place).
SELECT 'store', arguments ->> 'location' FROM manor.operations WHERE verb = 'backup' AND arguments ? 'location'
UNION SELECT 'store', arguments ->> 'final_export' FROM manor.operations
WHERE verb = 'delete' AND coalesce(arguments ->> 'final_export', '') <> ''
UNION SELECT 'bundle', arguments ->> 'bundle' FROM manor.operations WHERE verb = 'export' AND arguments ? 'bundle'
ORDER BY 1, 2;

-- erasure_state --
SELECT state FROM manor.erasures WHERE tenant = %(tenant)s;

-- bury --
-- An erasure that a tombstone beside the catalog tells of; one that the catalog knows to be over stays as it is.
INSERT INTO manor.erasures AS erasures (tenant, state, operation, actor, reason, subject, begun_at, erased_at, certificate)
VALUES (%(tenant)s, %(state)s, %(operation)s, %(actor)s, %(reason)s, %(subject)s, %(begun_at)s, %(erased_at)s,
    %(certificate)s::json)
ON CONFLICT (tenant) DO UPDATE
SET state = excluded.state, erased_at = excluded.erased_at, certificate = excluded.certificate, subject = '', steps = '{}'
WHERE erasures.state = 'erasing' AND excluded.state = 'erased';

-- catalog_tables --
SELECT format('%%I.%%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg_toast%%' ORDER BY 1;

-- rewrite_tenants --
VACUUM (FULL) manor.tenants, manor.databases, manor.kept_databases, manor.suspensions, manor.erasures, manor.backups, manor.tenant_keys,
    manor.directory, manor.directory_changes;

-- base_backups_of --
WITH RECURSIVE needed AS (
    SELECT id, id AS by, stopped_at FROM manor.bases WHERE server = %(server)s
    UNION
    SELECT needed.id, bases.id, bases.stopped_at FROM needed JOIN manor.bases AS bases ON bases.parent = needed.by
)
SELECT bases.id, bases.location, (SELECT max(needed.stopped_at) FROM needed WHERE needed.id = bases.id)
FROM manor.bases AS bases WHERE server = %(server)s ORDER BY stopped_at, id;

-- subjects_to_reencrypt --
SELECT tenant, subject FROM manor.erasures WHERE subject <> '' FOR UPDATE;

-- replace_subjects --
UPDATE manor.erasures SET subject = batch.subject
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (tenant text, subject text)
WHERE erasures.tenant = batch.tenant;

-- directory_sources --
SELECT name, generation, tenants, operation, changed_at FROM manor.sources ORDER BY name;

-- source_parts --
SELECT part.key, part.value::int FROM manor.sources AS sources JOIN manor.operations AS operations ON operations.id = sources.operation,
    jsonb_each_text(operations.arguments -> 'parts') AS part
WHERE sources.name = %(source)s ORDER BY part.key;

-- directory_marks --
SELECT tenant_id, digest, config_digest, state, status FROM manor.directory WHERE source = %(source)s;

-- directory_records --
SELECT info.source, info.config::text, info.digest, info.config_digest, info.state, info.operation, info.first_seen_at, info.changed_at,
    info.tenant_id, info.customer_code, info.customer_name, info.region, info.tier, info.status, info.created_at, info.updated_at,
    info.isolation_strategy, info.database_prefix, info.schema_suffix, info.table_prefix, info.instances, info.billing_info::text,
    info.contract_info::text
FROM manor.directory AS info WHERE info.source = %(source)s AND info.tenant_id = ANY (%(tenants)s);

-- search_directory --
-- The caller puts in the condition: SQL that was compiled from a checked search, its constants as parameters.
SELECT info.source, info.config::text, info.digest, info.config_digest, info.state, info.operation, info.first_seen_at, info.changed_at,
    info.tenant_id, info.customer_code, info.customer_name, info.region, info.tier, info.status, info.created_at, info.updated_at,
    info.isolation_strategy, info.database_prefix, info.schema_suffix, info.table_prefix, info.instances, info.billing_info::text,
    info.contract_info::text
FROM manor.directory AS info
WHERE (%(in_source)s::text IS NULL OR info.source = %(in_source)s) AND info.state = %(in_state)s AND {condition}
ORDER BY info.source, info.tenant_id
LIMIT %(at_most)s;

-- directory_history --
SELECT source, tenant_id, kind, fields, operation, at FROM manor.directory_changes
WHERE tenant_id = %(tenant)s AND (%(source)s::text IS NULL OR source = %(source)s)
ORDER BY number DESC LIMIT %(limit)s;

-- directory_databases --
SELECT tenants.short_id, count(*) FROM manor.tenants AS tenants JOIN manor.databases AS databases ON databases.tenant = tenants.id
WHERE tenants.source = %(home)s AND tenants.short_id = ANY (%(tenants)s) AND databases.state = 'ready'
GROUP BY tenants.short_id ORDER BY tenants.short_id;

-- advance_source --
-- The row lock makes two syncs take turns; the second one finds another generation than it looked at, and no row comes back.
INSERT INTO manor.sources AS sources (name, generation, tenants, operation)
VALUES (%(name)s, %(generation)s + 1, %(tenants)s, %(operation)s)
ON CONFLICT (name) DO UPDATE
SET generation = excluded.generation, tenants = excluded.tenants, operation = excluded.operation, changed_at = now()
WHERE sources.generation = excluded.generation - 1
RETURNING generation;

-- record_finished --
INSERT INTO manor.operations (id, verb, state, source, digest, actor, arguments, summary, started_at, finished_at)
VALUES (%(id)s, %(verb)s, %(state)s, %(source)s, %(digest)s, %(actor)s, %(arguments)s::jsonb, %(summary)s::jsonb, %(started_at)s,
    clock_timestamp());

-- put_directory --
INSERT INTO manor.directory AS directory (source, tenant_id, customer_code, customer_name, region, tier, status, created_at, updated_at,
    isolation_strategy, database_prefix, schema_suffix, table_prefix, instances, billing_info, contract_info, config, digest,
    config_digest, state, operation)
SELECT source, tenant_id, customer_code, customer_name, region, tier, status, created_at, updated_at, isolation_strategy,
    database_prefix, schema_suffix, table_prefix, instances, nullif(billing_info, 'null'), nullif(contract_info, 'null'), config,
    digest, config_digest, 'present', %(operation)s
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (
    source text, tenant_id text, customer_code text, customer_name text, region text, tier text, status text,
    created_at timestamptz, updated_at timestamptz, isolation_strategy text, database_prefix text, schema_suffix text,
    table_prefix text, instances text, billing_info jsonb, contract_info jsonb, config jsonb, digest text, config_digest text)
ON CONFLICT (source, tenant_id) DO UPDATE
SET customer_code = excluded.customer_code, customer_name = excluded.customer_name, region = excluded.region, tier = excluded.tier,
    status = excluded.status, created_at = excluded.created_at, updated_at = excluded.updated_at,
    isolation_strategy = excluded.isolation_strategy, database_prefix = excluded.database_prefix,
    schema_suffix = excluded.schema_suffix, table_prefix = excluded.table_prefix, instances = excluded.instances,
    billing_info = excluded.billing_info, contract_info = excluded.contract_info, config = excluded.config,
    digest = excluded.digest, config_digest = excluded.config_digest, state = excluded.state, operation = excluded.operation,
    changed_at = now();

-- mark_gone --
UPDATE manor.directory SET state = 'gone', operation = %(operation)s, changed_at = now()
WHERE source = %(source)s AND tenant_id = ANY (%(tenants)s);

-- put_directory_changes --
INSERT INTO manor.directory_changes (operation, source, tenant_id, kind, fields)
SELECT %(operation)s, %(source)s, tenant_id, kind, fields
FROM jsonb_to_recordset(%(batch)s::jsonb) AS batch (tenant_id text, kind text, fields jsonb);

-- analyze_directory --
ANALYZE manor.directory;
