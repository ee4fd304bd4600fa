"""The text of the catalog query behind the fingerprint; ``fingerprint`` fills in what stands between colons.

Joins on pg_catalog rather than a function call per object wherever a join can say the same: on a fresh connection each
relation that a function opens costs a load of its cache entry. Hence also ``pg_get_expr(…, 0)`` for expressions without
columns. Fields are separated by U+001F until the last step makes lines of them. No percent sign may stand here, as psycopg
would read it as a placeholder.
"""

FACTS = r"""
WITH settings AS MATERIALIZED (
    SELECT before, :changed: AS changed FROM (SELECT ARRAY[:current:] AS before OFFSET 0) AS s
), spaces AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl, CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END AS prefix
    FROM pg_namespace
    WHERE (SELECT changed FROM settings) IS NOT NULL
      AND nspname <> 'information_schema' AND NOT starts_with(nspname::text, 'pg_')
), members AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
), relations AS MATERIALIZED (
    SELECT c.oid, prefix || relname AS name, relname, nspname, relkind, relowner, relacl, relpersistence, relrowsecurity,
           relforcerowsecurity, reloptions, relreplident, relispartition, relpartbound, relhastriggers
    FROM pg_class c JOIN spaces s ON s.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
      AND c.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_class'::regclass)
      AND NOT (nspname = 'public' AND (:hidden:))
), declared AS MATERIALIZED (
    SELECT r.oid AS relid, a.attnum, d.check_name, format_type(a.atttypid, -1) AS type, quote_ident(d.name) AS name,
           CASE WHEN a.atttypid = 'uuid'::regtype
                THEN regexp_replace(regexp_replace(lower(d.value), '[{}-]', '', 'g'),
                                    '^(.{8})(.{4})(.{4})(.{4})(.{12})$', '\1-\2-\3-\4-\5')
                WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
                THEN coalesce(nullif(ltrim(d.value, '0'), ''), '0')
                ELSE replace(d.value, '''', '''''') END AS value
    FROM unnest(%(tables)s::text[], %(columns)s::text[], %(constraints)s::text[], %(values)s::text[])
             AS d (relation, name, check_name, value)
    JOIN relations r ON r.nspname = 'public' AND r.relname = d.relation
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = d.name AND NOT a.attisdropped
), expected AS MATERIALIZED (
    SELECT relid, attnum, check_name, literal,
           'CHECK ((' || CASE type WHEN 'character varying' THEN '(' || name || ')::text = ''' || value || '''::text'
                                   ELSE name || ' = ' || literal END || '))' AS check_definition
    FROM (SELECT *, CASE type WHEN 'integer' THEN value ELSE '''' || value || '''::' || type END AS literal FROM declared) AS d
), objects (kind, name, proof, facts) AS (
    SELECT 'schema', nspname::text, NULL::int, ARRAY['owner=' || pg_get_userbyid(nspowner), :grants(nspacl):]
    FROM spaces
    WHERE oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_namespace'::regclass)
    UNION ALL
    SELECT 'extension', extname, NULL, ARRAY['version=' || extversion, 'schema=' || nspname]
    FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
    UNION ALL
    SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                        WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
                        ELSE 'composite type' END,
           name, NULL, ARRAY[
               'owner=' || pg_get_userbyid(relowner),
               :grants(relacl):,
               'persistence=' || nullif(relpersistence, 'p')::text,
               CASE WHEN relrowsecurity THEN 'row security=on' END,
               CASE WHEN relforcerowsecurity THEN 'forced row security=on' END,
               'options=' || (SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(reloptions) AS o),
               'replica identity=' || nullif(nullif(relreplident, 'd'), 'n')::text,
               CASE WHEN relispartition THEN 'partition=' || pg_get_expr(relpartbound, oid) END,
               CASE WHEN relkind IN ('r', 'p', 'f') THEN 'parents=' || (
                   SELECT string_agg(inhparent::regclass::text, ',' ORDER BY inhseqno)
                   FROM pg_inherits WHERE inhrelid = oid) END,
               CASE WHEN relhastriggers THEN 'switched off foreign key triggers=' || (
                   SELECT nullif(count(*), 0) FROM pg_trigger WHERE tgrelid = oid AND tgisinternal AND tgenabled <> 'O') END,
               CASE WHEN relkind IN ('v', 'm') THEN 'query=' || pg_get_viewdef(oid) END]
    FROM relations
    UNION ALL
    SELECT 'column', r.name || '.' || attname, CASE WHEN shown = e.literal THEN 1 END, ARRAY[
               'position=' || position, 'type=' || type,
               CASE WHEN attnotnull THEN 'not null=yes' END,
               CASE attgenerated WHEN '' THEN 'default=' WHEN 's' THEN 'generated, stored=' ELSE 'generated=' END
                   || CASE WHEN shown = e.literal THEN ':tenant:' ELSE shown END,
               'identity=' || nullif(attidentity, '')::text,
               CASE WHEN attcollation <> typcollation THEN 'collation=' || (
                   SELECT collname FROM pg_collation WHERE oid = attcollation) END,
               :grants(attacl):]
    FROM (SELECT attrelid, attnum, attname, attnotnull, attgenerated, attidentity, attcollation, attacl, atttypid,
                 row_number() OVER (PARTITION BY attrelid ORDER BY attnum) AS position,
                 format_type(atttypid, atttypmod) AS type,
                 CASE WHEN atthasdef THEN
                     (SELECT CASE attgenerated WHEN '' THEN pg_get_expr(adbin, 0) ELSE pg_get_expr(adbin, adrelid) END
                      FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum) END AS shown
          FROM pg_attribute
          WHERE attrelid IN (SELECT oid FROM relations WHERE relkind <> 'S') AND attnum > 0 AND NOT attisdropped) AS a
    JOIN relations r ON r.oid = attrelid
    JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN expected e ON e.relid = attrelid AND e.attnum = a.attnum
    UNION ALL
    SELECT 'constraint', coalesce(r.name, prefix || t.typname) || '.' || conname,
           CASE WHEN definition = e.check_definition THEN 1 END,
           ARRAY['definition=' || CASE WHEN definition = e.check_definition THEN ':tenant:' ELSE definition END]
    FROM (SELECT oid, conrelid, contypid, conname, pg_get_constraintdef(oid) AS definition
          FROM pg_constraint
          WHERE contype <> 't' AND (contype <> 'n' OR NOT convalidated)
            AND connamespace IN (SELECT oid FROM spaces)) AS c
    LEFT JOIN relations r ON r.oid = conrelid
    LEFT JOIN (pg_type t JOIN spaces s ON s.oid = typnamespace) ON t.oid = contypid
    LEFT JOIN expected e ON e.relid = conrelid AND e.check_name = conname
    WHERE r.oid IS NOT NULL OR t.oid IS NOT NULL
    UNION ALL
    SELECT 'index', r.name || '.' || i.relname, NULL, ARRAY[
               'definition=' || pg_get_indexdef(indexrelid),
               CASE WHEN NOT indisvalid THEN 'valid=no' END,
               CASE WHEN indisclustered THEN 'clustered=yes' END,
               CASE WHEN indisreplident THEN 'replica identity=yes' END]
    FROM pg_index x JOIN relations r ON r.oid = indrelid JOIN pg_class i ON i.oid = indexrelid
    UNION ALL
    SELECT 'rule', r.name || '.' || rulename, NULL,
           ARRAY['definition=' || pg_get_ruledef(w.oid), 'enabled=' || nullif(ev_enabled, 'O')::text]
    FROM pg_rewrite w JOIN relations r ON r.oid = ev_class WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT 'trigger', r.name || '.' || tgname, NULL,
           ARRAY['definition=' || pg_get_triggerdef(t.oid), 'enabled=' || nullif(tgenabled, 'O')::text]
    FROM pg_trigger t JOIN relations r ON r.oid = tgrelid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'policy', r.name || '.' || polname, NULL, ARRAY[
               'command=' || polcmd::text, 'permissive=' || polpermissive::text,
               'roles=' || (SELECT string_agg(CASE o WHEN 0 THEN 'public' ELSE pg_get_userbyid(o) END, ','
                                              ORDER BY pg_get_userbyid(o) COLLATE "C") FROM unnest(polroles) AS o),
               'using=' || pg_get_expr(polqual, polrelid), 'with check=' || pg_get_expr(polwithcheck, polrelid)]
    FROM pg_policy JOIN relations r ON r.oid = polrelid
    UNION ALL
    SELECT 'sequence settings', r.name, NULL, ARRAY[
               'type=' || format_type(seqtypid, NULL), 'start=' || seqstart, 'increment=' || seqincrement, 'minimum=' || seqmin,
               'maximum=' || seqmax, 'cache=' || seqcache, CASE WHEN seqcycle THEN 'cycle=yes' END,
               'owned by=' || (SELECT refobjid::regclass || '.' || attname
                               FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
                               WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i')
                                 AND refobjsubid > 0 AND refclassid = 'pg_class'::regclass)]
    FROM pg_sequence JOIN relations r ON r.oid = seqrelid
    UNION ALL
    SELECT 'function', prefix || proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', NULL, ARRAY[
               'owner=' || pg_get_userbyid(proowner),
               :grants(proacl):,
               'definition=' || CASE prokind WHEN 'a' THEN (
                   SELECT concat_ws(',', aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn,
                                    aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn, aggfinalextra, aggfinalmodify,
                                    aggsortop::regoperator, aggtranstype::regtype, agginitval, proparallel)
                   FROM pg_aggregate WHERE aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END]
    FROM pg_proc p JOIN spaces s ON s.oid = pronamespace
    WHERE p.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_proc'::regclass)
    UNION ALL
    SELECT 'type', prefix || typname, NULL, ARRAY[
               'owner=' || pg_get_userbyid(typowner),
               :grants(typacl):,
               CASE typtype
                   WHEN 'e' THEN 'labels=' || (SELECT string_agg(quote_literal(enumlabel), ',' ORDER BY enumsortorder)
                                              FROM pg_enum WHERE enumtypid = t.oid)
                   WHEN 'd' THEN 'base=' || format_type(typbasetype, typtypmod)
                                 || CASE WHEN typnotnull THEN ' not null' ELSE '' END
                   WHEN 'r' THEN 'range of=' || (SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = t.oid)
                   ELSE 'kind=' || typtype::text END,
               'default=' || typdefault]
    FROM pg_type t JOIN spaces s ON s.oid = typnamespace
    WHERE (typtype IN ('e', 'd', 'r') OR (typtype = 'c' AND typrelid IN (SELECT oid FROM relations WHERE relkind = 'c')))
      AND t.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_type'::regclass)
    UNION ALL
    SELECT 'default grants', concat_ws(' ', pg_get_userbyid(defaclrole), defaclobjtype, nspname), NULL, ARRAY[
               :grants(defaclacl):]
    FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
), lines AS (
    SELECT replace(replace(replace(replace(kind || ' ' || name || E'\x1f' || array_to_string(facts, E'\x1f'),
                   '\', '\\'), E'\n', '\n'), E'\t', '\t'), E'\x1f', E'\t') COLLATE "C" AS line, proof
    FROM objects
)
"""
