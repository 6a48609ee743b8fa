# docs/reference.md against the catalog: every public function has its signature, its comment and an example
# that runs and gives the output shown; every table, setting and internal function is listed.
#
# What stands between "<!-- catalog" and "<!-- end -->", and each ```text block after a ```sql block, is made
# by this program: with SLM_WRITE_REFERENCE=FILE it writes the page anew from the installed extension.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use SlmFeedback::Examples qw(run_examples has_dashboard_page);

my $page = 'docs/reference.md';
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'UTC'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

my $members = q{SELECT objid FROM pg_depend WHERE deptype = 'e' AND classid = '%s'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'slm_feedback')};

# NAME(arguments) RETURNS result, an argument a line where one line would be too long.
sub signature
{
	my ($oid) = @_;
	my ($name, $arguments, $result) = split /\t/, value(
		"SELECT concat_ws(E'\\t', proname, pg_get_function_arguments(oid), coalesce(pg_get_function_result(oid), '')) FROM pg_proc WHERE oid = $oid");
	my $line = "$name($arguments)" . ($result ? " RETURNS $result" : '');
	$line =~ s/ DEFAULT NULL::[a-z ]+/ DEFAULT NULL/g;
	return $line if length $line <= 110;
	s/, (?=(?:[^()]*\([^()]*\))*[^()]*$)/,\n    /g for $arguments;
	$arguments =~ s/ DEFAULT NULL::[a-z ]+/ DEFAULT NULL/g;
	$result =~ s/^TABLE\((.*)\)$/my $c = $1; $c =~ s{, }{,\n    }g; "TABLE (\n    $c)"/e;
	$arguments = "\n    $arguments\n" if $arguments ne '';
	return "$name($arguments)" . ($result ? " RETURNS $result" : '');
}

sub function_entry
{
	my ($name) = @_;
	my @oids = split /\n/, value("SELECT p.oid FROM pg_proc p WHERE proname = '$name' AND oid IN (" . sprintf($members, 'pg_proc') . ') ORDER BY pronargs, oid');
	return "There is no function $name.\n" unless @oids;
	return join '', map { "```text\n" . signature($_) . "\n```\n\n" . value("SELECT obj_description($_, 'pg_proc')") . "\n" } @oids;
}

sub table_of_settings
{
	return "| setting | default | change takes effect | what it does |\n| --- | --- | --- | --- |\n" . value(
		q{LOAD 'slm_feedback';
		SELECT format('| `%s` | %s | %s | %s |', name, CASE WHEN boot_val = '' THEN '(empty)' ELSE boot_val || coalesce(unit, '') END,
			CASE context WHEN 'postmaster' THEN 'restart' WHEN 'sighup' THEN 'reload' WHEN 'superuser' THEN 'SET (superuser)' ELSE 'SET' END,
			concat_ws(' ', short_desc, extra_desc))
		FROM pg_settings WHERE name LIKE 'slm\_feedback.%' AND name NOT LIKE '%debug%' ORDER BY name}) . "\n";
}

sub tables
{
	return value(
		q{SELECT string_agg(format(E'### %s\n\n%s\n%s', c.relname, obj_description(c.oid, 'pg_class'),
			CASE WHEN c.relkind = 'r' THEN (
				SELECT E'\n| column | type | meaning |\n| --- | --- | --- |\n' ||
					string_agg(format(E'| %s | %s | %s |\n', a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)), '' ORDER BY a.attnum)
				FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END), E'\n' ORDER BY c.relname)
		FROM pg_class c WHERE c.relkind IN ('r', 'v') AND c.oid IN (} . sprintf($members, 'pg_class') . ')') . "\n";
}

my $text = slurp_file($page);
my %described = map { $_ => 1 } $text =~ /^<!-- catalog function (\w+) -->$/mg;

sub internal_functions
{
	my $list = value(
		q{SELECT string_agg(DISTINCT format('| `%s` | %s |', p.proname, replace(split_part(obj_description(p.oid, 'pg_proc'), '. ', 1), E'\n', ' ')), E'\n')
		FROM pg_proc p WHERE p.oid IN (} . sprintf($members, 'pg_proc') . ") AND NOT p.proname = ANY ('{" . join(',', sort keys %described) . "}')");
	return "| function | what it does |\n| --- | --- |\n$list\n";
}

die 'SLM_WRITE_REFERENCE needs the dashboard page, which npm builds'
	if $ENV{SLM_WRITE_REFERENCE} && !has_dashboard_page($node);

# The page anew: its catalog parts from the catalog, its outputs from psql; and the examples that failed.
sub remade
{
	my ($old) = @_;

	$old =~ s{^(<!-- catalog (\w+)(?: (\w+))? -->\n).*?^<!-- end -->\n}{
		$1 . ($2 eq 'function' ? function_entry($3) : $2 eq 'settings' ? table_of_settings() : $2 eq 'tables' ? tables() : internal_functions()) . "<!-- end -->\n"}gmse;
	return run_examples($node, $old);
}

my ($new, $ran, $skipped, @failed) = remade($text);
if ($ENV{SLM_WRITE_REFERENCE})
{
	open my $file, '>', $ENV{SLM_WRITE_REFERENCE} or die "cannot write $ENV{SLM_WRITE_REFERENCE}: $!";
	print $file $new;
	close $file;
}
is_deeply(\@failed, [], 'every example runs');
SKIP:
{
	skip 'the dashboard page is not installed (npm builds it): its example was not run', 1 if $skipped;
	pass('the example of dashboard() as well');
}
is($new, $text, 'signatures, comments, tables, settings and outputs are as the installed extension gives them')
	unless $ENV{SLM_WRITE_REFERENCE};

# What a user calls has an entry and an example of its own.
my @public = split /\n/, value(
	"SELECT DISTINCT proname FROM pg_proc WHERE oid IN (" . sprintf($members, 'pg_proc') . ")
	AND proname ~ '^(record|submit|withdraw)_|^(report|export)_(daily|models|summary|top|jobs|alerts|interactions|sft|kto|dpo|openai|changes)|^(rollup|rebuild|dashboard|run_jobs|grant_access|revoke_access|generate_report)\$|^set_'");
foreach my $name (@public)
{
	my ($entry) = $text =~ /^<!-- catalog function $name -->\n(.*?)(?=^## |^### |\z)/ms;
	ok(defined $entry && $entry =~ /^```sql\n/m, "$name has an entry with an example");
}

# Everything says what it is.
foreach my $catalog (qw(pg_proc pg_class pg_type))
{
	my $extra = $catalog eq 'pg_class' ? "AND relkind IN ('r', 'v')" : $catalog eq 'pg_type' ? 'AND typrelid = 0 AND typelem = 0' : '';
	is(value("SELECT string_agg(oid::text, ', ') FROM $catalog WHERE oid IN (" . sprintf($members, $catalog) . ") $extra AND obj_description(oid, '$catalog') IS NULL"),
		'', "every object of $catalog has a comment");
}
is(value("SELECT string_agg(attrelid::regclass || '.' || attname, ', ') FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
	AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'v') AND oid IN (" . sprintf($members, 'pg_class') . ")) AND col_description(attrelid, attnum) IS NULL"),
	'', 'every column of a table or view has a comment');

# Settings without shared_preload_libraries: known once the session has loaded the library.
cmp_ok(scalar(() = $text =~ /^\| `slm_feedback\.\w+` \|/mg), '>=', 10, 'the page lists the settings');
my $stderr;
$node->append_conf('postgresql.conf', "slm_feedback.nightly_time = '01:30'");
$node->reload;
isnt($node->psql('postgres', 'SHOW slm_feedback.clock_margin', stderr => \$stderr), 0, 'SHOW before the library is loaded');
like($stderr, qr/unrecognized configuration parameter "slm_feedback.clock_margin"/, 'does not know a setting');
foreach my $first ("LOAD 'slm_feedback'", 'SELECT slm_feedback.library_version()', q{SELECT slm_feedback.record_query('q')}, 'SELECT count(*) FROM slm_feedback.report_jobs()')
{
	my $shown = $node->safe_psql('postgres', "\\o /dev/null\n$first;\n\\o\nSHOW slm_feedback.clock_margin; SHOW slm_feedback.nightly_time;\n"
		. q{SELECT count(*) > 10 FROM pg_settings WHERE name LIKE 'slm_feedback.%'});
	is($shown, "5min\n01:30\nt", "after $first it does, with what postgresql.conf says");
}
$node->stop;
done_testing();
