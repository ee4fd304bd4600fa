"""The text of the catalog query behind the fingerprint; ``fingerprint`` fills in what stands between colons.

Most of its time on a fresh connection goes into planning, that is into opening catalogs and their indexes. So each catalog is
named once, casts such as ``regrole`` and ``regcollation`` do what a join would, and what is not in use in a database
(partitions, aggregates) hides behind a function or one subquery. ``pg_get_expr(…, 0)`` prints an expression without columns and
saves opening its table. Objects below ``:first:`` are the server's own; leaving them out by OID makes index scans of scans.
Fields are separated by U+001F until the last step makes lines of them. No percent sign may stand
here, as psycopg would read it as a placeholder.
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
           relforcerowsecurity, reloptions, relreplident, relispartition, relpartbound
    FROM pg_class c JOIN spaces s ON s.oid = relnamespace
    WHERE c.oid >= :first: AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
      AND c.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_class'::regclass)
      AND NOT (nspname = 'public' AND (:hidden:))
), attributes AS MATERIALIZED (
    SELECT r.name AS relation, nspname, relname, attrelid, attnum, attname, atttypid, attnotnull, attgenerated, attidentity,
           attcollation, attacl, attinhcount, row_number() OVER (PARTITION BY attrelid ORDER BY attnum) AS position,
           format_type(atttypid, atttypmod) AS type, CASE attgenerated WHEN '' THEN pg_get_expr(adbin, 0)
                                                     ELSE pg_get_expr(adbin, adrelid) END AS expression
    FROM relations r
    JOIN pg_attribute ON attrelid >= :first: AND attrelid = r.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind <> 'S'
), types AS MATERIALIZED (
    SELECT t.oid, prefix || typname AS name, typowner, typacl, typtype, typbasetype, typtypmod, typnotnull, typdefault
    FROM pg_type t JOIN spaces s ON s.oid = typnamespace
    WHERE t.oid >= :first: AND (typtype IN ('e', 'd', 'r') OR (typtype = 'c' AND typrelid IN (SELECT oid FROM relations WHERE
    relkind = 'c')))
      AND t.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_type'::regclass)
), objects (kind, name, proof, grants, facts) AS (
    SELECT 'schema', nspname::text, NULL::int, nspacl, ARRAY['owner=' || nspowner::regrole]
    FROM spaces
    WHERE oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_namespace'::regclass)
    UNION ALL
    SELECT 'extension', extname, NULL, NULL, ARRAY['version=' || extversion, 'schema=' || extnamespace::regnamespace]
    FROM pg_extension
    UNION ALL
    SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                        WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
                        ELSE 'composite type' END,
           name, NULL, relacl, ARRAY[
               'owner=' || relowner::regrole,
               'persistence=' || nullif(relpersistence, 'p')::text,
               CASE WHEN relrowsecurity THEN 'row security=on' END,
               CASE WHEN relforcerowsecurity THEN 'forced row security=on' END,
               'options=' || reloptions::text,
               'replica identity=' || nullif(nullif(relreplident, 'd'), 'n')::text,
               CASE WHEN relispartition THEN 'partition=' || pg_get_expr(relpartbound, oid) END,
               CASE WHEN relispartition THEN 'partition of=' || (
                   SELECT string_agg(relid::text, ' in ') FROM pg_partition_ancestors(oid) WHERE relid <> oid) END]
    FROM relations
    UNION ALL
    SELECT 'column', relation || '.' || attname, NULL, attacl, ARRAY[
               'position=' || position, 'type=' || type,
               CASE WHEN attnotnull THEN 'not null=yes' END,
               CASE attgenerated WHEN '' THEN 'default=' WHEN 's' THEN 'generated, stored=' ELSE 'generated=' END
                   || expression,
               'identity=' || nullif(attidentity, '')::text,
               'collation=' || nullif(nullif(attcollation, 0), 'pg_catalog.default'::regcollation)::regcollation,
               'inherited=' || nullif(attinhcount, 0)]
    FROM attributes
    UNION ALL
    SELECT 'constraint', coalesce(r.name, contypid::regtype::text) || '.' || conname, NULL, NULL,
           ARRAY['definition=' || pg_get_constraintdef(c.oid)]
    FROM pg_constraint c LEFT JOIN relations r ON r.oid = conrelid
    WHERE c.oid >= :first: AND contype <> 't' AND (contype <> 'n' OR NOT convalidated)
      AND (r.oid IS NOT NULL OR contypid IN (SELECT t.oid FROM types t))
    UNION ALL
    SELECT 'index', replace(indexrelid::regclass::text, 'public.', ''), NULL, NULL, ARRAY[
               'definition=' || pg_get_indexdef(indexrelid),
               CASE WHEN NOT indisvalid THEN 'valid=no' END,
               CASE WHEN indisclustered THEN 'clustered=yes' END,
               CASE WHEN indisreplident THEN 'replica identity=yes' END]
    FROM pg_index WHERE indexrelid >= :first: AND indrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT CASE rulename WHEN '_RETURN' THEN 'query of' ELSE 'rule' END,
           r.name || CASE rulename WHEN '_RETURN' THEN '' ELSE '.' || rulename END, NULL, NULL,
           ARRAY['definition=' || pg_get_ruledef(w.oid), 'enabled=' || nullif(ev_enabled, 'O')::text]
    FROM pg_rewrite w JOIN relations r ON r.oid = ev_class WHERE w.oid >= :first:
    UNION ALL
    SELECT 'trigger', r.name || '.' || CASE WHEN tgisinternal THEN tgfoid::regproc::text ELSE tgname END, NULL, NULL,
           ARRAY['definition=' || CASE WHEN NOT tgisinternal THEN pg_get_triggerdef(t.oid) END,
                 'enabled=' || nullif(tgenabled, 'O')::text]
    FROM pg_trigger t JOIN relations r ON r.oid = tgrelid WHERE NOT tgisinternal OR tgenabled <> 'O'
    UNION ALL
    SELECT 'policy', r.name || '.' || polname, NULL, NULL, ARRAY[
               'command=' || polcmd::text, 'permissive=' || polpermissive::text, 'roles=' || polroles::regrole[]::text,
               'using=' || pg_get_expr(polqual, polrelid), 'with check=' || pg_get_expr(polwithcheck, polrelid)]
    FROM pg_policy JOIN relations r ON r.oid = polrelid
    UNION ALL
    SELECT 'sequence settings', r.name, NULL, NULL, ARRAY[
               'type=' || format_type(seqtypid, NULL), 'start=' || seqstart, 'increment=' || seqincrement,
               'minimum=' || seqmin, 'maximum=' || seqmax, 'cache=' || seqcache, CASE WHEN seqcycle THEN 'cycle=yes' END]
    FROM pg_sequence JOIN relations r ON r.oid = seqrelid
    UNION ALL
    SELECT 'function', prefix || proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
           CASE WHEN pg_get_function_sqlbody(p.oid) = e.body THEN 1 END, proacl, ARRAY[
               'owner=' || proowner::regrole,
               'definition=' || CASE
                   WHEN prokind = 'a' THEN (
                       SELECT concat_ws(',', aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn,
                                        aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn, aggfinalextra, aggfinalmodify,
                                        aggsortop::regoperator, aggtranstype::regtype, agginitval, proparallel)
                       FROM pg_aggregate WHERE aggfnoid = p.oid)
                   WHEN pg_get_function_sqlbody(p.oid) = e.body
                   THEN replace(pg_get_functiondef(p.oid), e.body, 'RETURN :tenant:')
                   ELSE pg_get_functiondef(p.oid) END]
    FROM pg_proc p JOIN spaces s ON s.oid = pronamespace
    LEFT JOIN unnest(%(functions)s::text[], %(bodies)s::text[]) AS e (function, body)
           ON nspname = 'public' AND proname = e.function AND pronargs = 0
    WHERE p.oid >= :first: AND p.oid NOT IN (SELECT objid FROM members WHERE classid = 'pg_proc'::regclass)
    UNION ALL
    SELECT 'type', name, NULL, typacl, ARRAY[
               'owner=' || typowner::regrole,
               CASE typtype
                   WHEN 'e' THEN 'labels=' || (SELECT string_agg(quote_literal(enumlabel), ',' ORDER BY enumsortorder)
                                              FROM pg_enum WHERE enumtypid = types.oid)
                   WHEN 'd' THEN 'base=' || format_type(typbasetype, typtypmod)
                                 || CASE WHEN typnotnull THEN ' not null' ELSE '' END
                   ELSE 'kind=' || typtype::text END,
               'default=' || typdefault]
    FROM types
    UNION ALL
    SELECT 'default grants', concat_ws(' ', defaclrole::regrole, defaclobjtype, nullif(defaclnamespace, 0)::regnamespace), NULL,
           defaclacl, NULL
    FROM pg_default_acl
    UNION ALL
    SELECT 'door', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, NULL, NULL, ARRAY[
               'may=' || string_agg(lower(privilege_type), ',' ORDER BY privilege_type)]
    FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
    WHERE datname = current_database() AND grantee <> datdba AND (grantee = 0 OR grantee::regrole::text <> quote_ident(datname))
    GROUP BY grantee
), lines AS (
    SELECT replace(replace(replace(replace(concat_ws(E'\x1f', kind || ' ' || name, nullif(array_to_string(facts, E'\x1f'), ''),
                       CASE WHEN grants IS NOT NULL THEN 'grants=' || array_to_string(
                           ARRAY(SELECT i::text FROM unnest(grants) AS i ORDER BY i::text COLLATE "C"), ',') END),
                   '\', '\\'), E'\n', '\n'), E'\t', '\t'), E'\x1f', E'\t') COLLATE "C" AS line, proof
    FROM objects
)
"""
