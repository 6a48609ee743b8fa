# What an extension's script leaves in a database, as lines of text that can be compared.
#
# Every object that belongs to slm_feedback, and what hangs on one (columns, constraints, indexes, triggers,
# rules, policies, statistics), with its definition, owner, privileges and comment. No oid and no position
# that depends on a history of ALTER TABLE; pg_attver, by which some builds of the server number a table's
# columns, is left out.

package SlmFeedback::Catalog;

use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(catalog_of catalog_differences);

my $query = q{
SET search_path = pg_catalog;
CREATE TEMP VIEW member AS
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'slm_feedback';
CREATE TEMP VIEW members_relation AS
    SELECT c.* FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

-- A line break within a line is written as \\n.
SELECT replace(line, E'\\n', '\\n') FROM (
SELECT 'member ' || pg_describe_object(classid, objid, 0) FROM member
UNION ALL
SELECT 'comment on ' || pg_describe_object(s.classoid, s.objoid, s.objsubid) || ': ' || s.description
FROM pg_description s
WHERE (s.classoid, s.objoid) IN (SELECT classid, objid FROM member)
   OR s.classoid = 'pg_constraint'::regclass AND s.objoid IN (SELECT oid FROM pg_constraint WHERE conrelid IN (SELECT oid FROM members_relation))
   OR s.classoid = 'pg_class'::regclass AND s.objoid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM members_relation))
   OR s.classoid = 'pg_trigger'::regclass AND s.objoid IN (SELECT oid FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM members_relation))
UNION ALL
SELECT 'relation ' || c.oid::regclass || ': ' || concat_ws(', ', c.relkind, c.relpersistence, 'owner ' || pg_get_userbyid(c.relowner),
       'rls ' || c.relrowsecurity || '/' || c.relforcerowsecurity, 'identity ' || c.relreplident::text, array_to_string(c.reloptions, ' '),
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
FROM members_relation c
UNION ALL
SELECT 'column ' || c.oid::regclass || ' ' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) || ' ' || a.attname || ': '
       || concat_ws(', ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                    a.attcollation::regcollation::text, 'storage ' || a.attstorage::text, 'compression ' || a.attcompression::text,
                    'generated ' || a.attgenerated::text, 'identity ' || a.attidentity::text, (SELECT string_agg(o, ' ') FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\\_attver=%'),
                    pg_get_expr(d.adbin, d.adrelid))
FROM members_relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ': ' || pg_get_constraintdef(oid) || CASE WHEN convalidated THEN '' ELSE ' not valid' END
FROM pg_constraint WHERE conrelid IN (SELECT oid FROM members_relation)
UNION ALL
SELECT 'index ' || indexrelid::regclass || ': ' || pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' invalid' END
FROM pg_index WHERE indrelid IN (SELECT oid FROM members_relation)
UNION ALL
SELECT 'trigger ' || tgrelid::regclass || ': ' || pg_get_triggerdef(oid) || ' enabled ' || tgenabled::text
FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM members_relation) AND NOT tgisinternal
UNION ALL
SELECT 'rule ' || ev_class::regclass || ': ' || pg_get_ruledef(oid) FROM pg_rewrite
WHERE ev_class IN (SELECT oid FROM members_relation WHERE relkind NOT IN ('v', 'm'))
UNION ALL
SELECT 'policy ' || polrelid::regclass || ' ' || polname || ': ' || concat_ws(', ', polcmd, polpermissive, pg_get_expr(polqual, polrelid),
       pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE polrelid IN (SELECT oid FROM members_relation)
UNION ALL
SELECT 'statistics ' || stxname || ': ' || pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxrelid IN (SELECT oid FROM members_relation)
UNION ALL
SELECT 'sequence ' || s.seqrelid::regclass || ': ' || concat_ws(', ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
       s.seqcache, s.seqcycle) FROM pg_sequence s WHERE s.seqrelid IN (SELECT oid FROM members_relation)
UNION ALL
SELECT 'function ' || p.oid::regprocedure || ': owner ' || pg_get_userbyid(p.proowner) || ' '
       || CASE WHEN p.prokind = 'a' THEN concat_ws(', ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn,
                                                a.aggserialfn, a.aggdeserialfn, a.aggtranstype::regtype, a.agginitval, p.proparallel) ELSE pg_get_functiondef(p.oid) END
FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
UNION ALL
SELECT 'type ' || t.oid::regtype || ': ' || concat_ws(', ', t.typtype, t.typnotnull, t.typdefault, t.typbasetype::regtype,
       (SELECT string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
FROM pg_type t JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
UNION ALL
SELECT 'privileges of ' || what || ': ' || CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END || ' '
       || a.privilege_type || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END
FROM (SELECT 'relation ' || c.oid::regclass, coalesce(c.relacl, acldefault(CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
      FROM members_relation c WHERE c.relkind <> 'c'
      UNION ALL
      SELECT 'column ' || c.oid::regclass || ' ' || a.attname, a.attacl FROM members_relation c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE a.attacl IS NOT NULL
      UNION ALL
      SELECT 'function ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
      UNION ALL
      SELECT 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE nspname = 'slm_feedback'
     ) AS t (what, acl), aclexplode(acl) AS a
UNION ALL
SELECT 'dumped ' || c.table_oid::regclass || ' ' || c.condition FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS c (table_oid, condition)
WHERE e.extname = 'slm_feedback'
UNION ALL
SELECT 'requires ' || pg_describe_object(d.refclassid, d.refobjid, 0) FROM pg_depend d JOIN pg_extension e ON e.oid = d.objid
WHERE d.classid = 'pg_extension'::regclass AND e.extname = 'slm_feedback'
) AS lines (line) ORDER BY 1;
};

sub catalog_of
{
	my ($node, $database) = @_;
	return [ split /\n/, $node->safe_psql($database, $query) ];
}

# Lines that only one of the two has: '- ' of the first, '+ ' of the second.
sub catalog_differences
{
	my ($first, $second) = @_;
	my %count;
	$count{$_}++ foreach @$first;
	$count{$_}-- foreach @$second;
	return map { ($count{$_} > 0 ? '- ' : '+ ') . $_ } grep { $count{$_} != 0 } sort keys %count;
}

1;
