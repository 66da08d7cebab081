"""The question that asks a PostgreSQL for everything that users made in it, as rows (kind, name, table, facts).

Objects of extensions are left out: the extension itself is named. So is Greenroom's own ledger. In place of `:home` comes
the schema that names leave out.
"""

from __future__ import annotations

_HEAD = """
WITH ns AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl, CASE nspname WHEN :home THEN '' ELSE nspname || '.' END AS prefix
    FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'greenroom')
), foreign_made AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), rel AS MATERIALIZED (
    SELECT c.*, ns.prefix || c.relname AS name FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM foreign_made f WHERE f.classid = 'pg_class'::regclass AND f.objid = c.oid)
), proc AS MATERIALIZED (
    SELECT p.*, ns.prefix || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name
    FROM pg_proc p JOIN ns ON ns.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM foreign_made f WHERE f.classid = 'pg_proc'::regclass AND f.objid = p.oid)
), typ AS MATERIALIZED (
    SELECT t.*, ns.prefix || t.typname AS name FROM pg_type t JOIN ns ON ns.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r')
    AND NOT EXISTS (SELECT FROM foreign_made f WHERE f.classid = 'pg_type'::regclass AND f.objid = t.oid)
)
"""

_WHO = "CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END"

_PARTS = (
    """SELECT 'schema', nspname::text, '', jsonb_build_object('owner', pg_get_userbyid(nspowner)) FROM ns
       WHERE NOT EXISTS (SELECT FROM foreign_made f WHERE f.classid = 'pg_namespace'::regclass AND f.objid = ns.oid)""",
    """SELECT 'table', name, name, jsonb_build_object(
           'oid', rel.oid::bigint, 'kind', relkind, 'persistence', relpersistence, 'owner', pg_get_userbyid(relowner),
           'partition of', (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = rel.oid LIMIT 1),
           'bound', pg_get_expr(relpartbound, oid), 'row security', relrowsecurity, 'forced', relforcerowsecurity,
           'replica identity', relreplident, 'options', reloptions)
       FROM rel WHERE relkind IN ('r', 'p', 'f')""",
    """SELECT 'view', name, name, jsonb_build_object(
           'oid', oid::bigint, 'kind', relkind,
           'definition', pg_get_viewdef(oid), 'options', reloptions, 'owner', pg_get_userbyid(relowner))
       FROM rel WHERE relkind IN ('v', 'm')""",
    """SELECT 'column', rel.name || '.' || a.attname, rel.name, jsonb_build_object(
           'number', a.attnum, 'type', format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull,
           'default', CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END,
           'generated', CASE a.attgenerated WHEN '' THEN NULL ELSE pg_get_expr(d.adbin, d.adrelid) END,
           'identity', nullif(a.attidentity, ''),
           'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END)
       FROM pg_attribute a JOIN rel ON rel.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       WHERE a.attnum > 0 AND NOT a.attisdropped AND rel.relkind IN ('r', 'p', 'f', 'v', 'm', 'c')""",
    """SELECT 'index', i.name, t.name, jsonb_build_object(
           'definition', pg_get_indexdef(x.indexrelid), 'valid', x.indisvalid, 'unique', x.indisunique,
           'primary', x.indisprimary, 'exclusion', x.indisexclusion,
           'columns', array(SELECT attname::text FROM pg_attribute a
                            WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[]) ORDER BY attnum))
       FROM pg_index x JOIN rel i ON i.oid = x.indexrelid JOIN rel t ON t.oid = x.indrelid""",
    """SELECT 'constraint', rel.name || '.' || conname, rel.name, jsonb_build_object(
           'type', contype, 'definition', pg_get_constraintdef(k.oid), 'validated', convalidated,
           'columns', array(SELECT attname::text FROM pg_attribute a
                            WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) ORDER BY attnum))
       FROM pg_constraint k JOIN rel ON rel.oid = k.conrelid WHERE contype NOT IN ('t', 'n')""",
    """SELECT 'constraint', typ.name || '.' || conname, typ.name, jsonb_build_object(
           'type', contype, 'definition', pg_get_constraintdef(k.oid), 'validated', convalidated)
       FROM pg_constraint k JOIN typ ON typ.oid = k.contypid WHERE contype <> 'n'""",
    """SELECT 'trigger', rel.name || '.' || tgname, rel.name, jsonb_build_object(
           'definition', pg_get_triggerdef(t.oid), 'enabled', tgenabled, 'internal', tgisinternal)
       FROM pg_trigger t JOIN rel ON rel.oid = t.tgrelid WHERE NOT tgisinternal OR tgenabled <> 'O'""",
    """SELECT 'rule', rel.name || '.' || rulename, rel.name, jsonb_build_object(
           'definition', pg_get_ruledef(r.oid), 'enabled', ev_enabled)
       FROM pg_rewrite r JOIN rel ON rel.oid = r.ev_class WHERE rulename <> '_RETURN'""",
    """SELECT 'function', name, '', jsonb_build_object(
           'kind', prokind, 'returns', prorettype::regtype::text, 'security definer', prosecdef,
           'owner', pg_get_userbyid(proowner),
           'hash', md5(CASE WHEN prokind = 'a' THEN proc.prosrc ELSE pg_get_functiondef(oid) END))
       FROM proc""",
    """SELECT 'sequence', name, '', jsonb_build_object(
           'oid', rel.oid::bigint, 'type', seqtypid::regtype::text,
           'increment', seqincrement, 'min', seqmin, 'max', seqmax, 'cycle', seqcycle)
       FROM pg_sequence s JOIN rel ON rel.oid = s.seqrelid""",
    """SELECT 'type', name, '', jsonb_build_object(
           'kind', typtype, 'labels', (SELECT array_agg(enumlabel::text ORDER BY enumsortorder)
                                       FROM pg_enum WHERE enumtypid = typ.oid),
           'base', CASE typtype WHEN 'd' THEN format_type(typbasetype, typtypmod) END,
           'not null', typnotnull, 'default', typdefault)
       FROM typ""",
    """SELECT 'type', name, '', jsonb_build_object('kind', 'c') FROM rel WHERE relkind = 'c'""",
    """SELECT 'policy', rel.name || '.' || polname, rel.name, jsonb_build_object(
           'for', polcmd, 'permissive', polpermissive,
           'roles', array(SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END FROM unnest(polroles) r),
           'using', pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid))
       FROM pg_policy JOIN rel ON rel.oid = polrelid""",
    f"""SELECT 'privilege', {_WHO} || ' on ' || name, name, jsonb_build_object(
           'may', array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type))
       FROM rel, aclexplode(coalesce(relacl,
            acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
       WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S') GROUP BY a.grantee, name""",
    f"""SELECT 'privilege', {_WHO} || ' on ' || rel.name || '.' || t.attname, rel.name,
           jsonb_build_object('may', array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type))
       FROM pg_attribute t JOIN rel ON rel.oid = t.attrelid, aclexplode(t.attacl) a
       WHERE t.attacl IS NOT NULL AND NOT t.attisdropped GROUP BY a.grantee, rel.name, t.attname""",
    f"""SELECT 'privilege', {_WHO} || ' on schema ' || nspname, 'schema ' || nspname, jsonb_build_object(
           'may', array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type))
       FROM ns, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a GROUP BY a.grantee, nspname""",
    f"""SELECT 'privilege', {_WHO} || ' on function ' || name, name, jsonb_build_object(
           'may', array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type))
       FROM proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) a GROUP BY a.grantee, name""",
    """SELECT 'extension', extname::text, '', jsonb_build_object('version', extversion) FROM pg_extension""",
    """SELECT 'event trigger', evtname::text, '', jsonb_build_object(
           'on', evtevent, 'function', evtfoid::regproc::text, 'enabled', evtenabled, 'tags', evttags)
       FROM pg_event_trigger""",
    """SELECT 'publication', pubname::text, '', jsonb_build_object(
           'all', puballtables, 'of', ARRAY[pubinsert, pubupdate, pubdelete, pubtruncate],
           'tables', (SELECT array_agg(prrelid::regclass::text ORDER BY 1) FROM pg_publication_rel r
                      WHERE r.prpubid = p.oid))
       FROM pg_publication p""",
    *(
        f"""SELECT 'other', i.type || ' ' || i.identity, '', '{{}}'::jsonb
            FROM {catalogue} o, pg_identify_object('{catalogue}'::regclass, o.oid, 0) i WHERE o.oid >= 16384
            AND NOT EXISTS (SELECT FROM foreign_made f WHERE f.classid = '{catalogue}'::regclass AND f.objid = o.oid)"""
        for catalogue in (
            "pg_cast",
            "pg_collation",
            "pg_conversion",
            "pg_foreign_server",
            "pg_language",
            "pg_opclass",
            "pg_operator",
            "pg_opfamily",
            "pg_statistic_ext",
            "pg_ts_config",
            "pg_ts_dict",
        )
    ),
)

OBJECTS = _HEAD + "\nUNION ALL\n".join(_PARTS)

RELATIONS = """
SELECT c.oid, CASE n.nspname WHEN :home THEN '' ELSE n.nspname || '.' END || c.relname, c.relkind::text,
       pg_relation_filenode(c.oid), coalesce(x.indrelid, 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index x ON x.indexrelid = c.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
"""By OID: name, kind, the file of its rows, and of an index the table."""

LOCKS = """
SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation >= 16384
"""

TOUCHED = """
SELECT relid, coalesce(seq_scan, 0) + coalesce(idx_scan, 0), n_tup_ins, n_tup_upd + n_tup_del
FROM pg_stat_xact_user_tables
"""
"""By OID: reads, rows written, rows changed; since the session last told the server's statistics."""

SETTINGS = "SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session'"
"""That were set in this session or transaction."""
