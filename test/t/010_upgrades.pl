# Every way from a released version to this one leaves the catalog that a new installation has.
#
# test/upgrade/ keeps the install script of each released version, sql/upgrades/ the scripts from one version to
# the next. So that the comparison is known to see what it should, it also runs over a version made up here:
# this one with something of each kind undone, and an update script that does it again, or leaves one thing out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use SlmFeedback::Catalog qw(catalog_of catalog_differences);

my $top = "$FindBin::RealBin/../..";
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $scripts = `$pg_config --sharedir`);
$scripts .= '/extension';
plan skip_all => "$scripts is not writable (scripts/test has a server of its own)" unless -w $scripts;

slurp_file("$scripts/slm_feedback.control") =~ /^default_version *= *'(.*)'/m or die 'no default_version';
my $current = $1;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

my $databases = 0;
my @written;

sub new_database
{
	my ($version) = @_;
	my $name = 'upgrade_' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name,
		"SET client_min_messages = warning; CREATE EXTENSION slm_feedback VERSION '$version' CASCADE");
	return $name;
}

sub write_script
{
	my ($name, $text) = @_;
	my $file = "$scripts/slm_feedback--$name.sql";
	push @written, $file unless -e $file;
	open my $out, '>', $file or die "could not write $file: $!";
	print $out $text;
	close $out;
}
END { unlink @written; }

my $fresh = catalog_of($node, new_database($current));
cmp_ok(scalar(@$fresh), '>', 100, 'the catalog of a new installation is not empty');

# --- released versions ---

my %snapshot = map { /--(.*)\.sql$/ => $_ } glob "$top/test/upgrade/slm_feedback--*.sql";
foreach my $script (glob "$top/sql/upgrades/slm_feedback--*--*.sql")
{
	my ($from) = basename($script) =~ /^slm_feedback--(.*)--/;
	ok($snapshot{$from}, "test/upgrade keeps the install script of version $from");
	like(slurp_file($script), qr/^\\echo Use "ALTER EXTENSION slm_feedback UPDATE.*\\quit$/m,
		basename($script) . ' cannot be run by psql');
	like(slurp_file($script), qr/^SET LOCAL search_path = pg_catalog, pg_temp;$/m, basename($script) . ' pins its path');
	like(slurp_file($script), qr/^SELECT slm_feedback\.check_members\(\);\nUPDATE slm_feedback\.settings SET singleton = true WHERE false;\n*\z/m,
		basename($script) . ' checks its members and tells the sessions last');
}
foreach my $version (sort keys %snapshot)
{
	write_script($version, slurp_file($snapshot{$version})) unless $version eq $current;
	my $database = new_database($version);
	$node->safe_psql($database, "ALTER EXTENSION slm_feedback UPDATE TO '$current'");
	my @differences = catalog_differences($fresh, catalog_of($node, $database));
	is(join("\n", @differences), '', "the catalog after an update from $version is that of a new installation");
}

# --- a version made up ---

# What the made-up version lacks, what the update does about it, and what the comparison says if it does not.
my @changes = (
	[ 'a column', 'ALTER TABLE slm_feedback.settings ADD COLUMN gone int',
		'ALTER TABLE slm_feedback.settings DROP COLUMN gone', qr/column slm_feedback\.settings \d+ gone/ ],
	[ 'a constraint', 'ALTER TABLE slm_feedback.rollup_state ADD CONSTRAINT gone CHECK (true)',
		'ALTER TABLE slm_feedback.rollup_state DROP CONSTRAINT gone', qr/constraint slm_feedback\.rollup_state gone/ ],
	[ 'a default', "ALTER TABLE slm_feedback.settings ALTER time_zone SET DEFAULT 'CET'",
		"ALTER TABLE slm_feedback.settings ALTER time_zone SET DEFAULT 'UTC'", qr/time_zone.*CET/ ],
	[ 'an index', 'CREATE INDEX gone ON slm_feedback.feedback (rating)',
		'DROP INDEX slm_feedback.gone', qr/index slm_feedback\.gone/ ],
	[ 'a trigger', 'ALTER TABLE slm_feedback.feedback ENABLE TRIGGER guard',
		'ALTER TABLE slm_feedback.feedback ENABLE ALWAYS TRIGGER guard', qr/trigger slm_feedback\.feedback.*guard/ ],
	[ 'a function', 'DROP FUNCTION slm_feedback.library_version()',
		qq{CREATE FUNCTION slm_feedback.library_version() RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE
			AS 'MODULE_PATHNAME', 'slm_library_version';
		COMMENT ON FUNCTION slm_feedback.library_version() IS COMMENT_OF_LIBRARY_VERSION;
		REVOKE ALL ON FUNCTION slm_feedback.library_version() FROM PUBLIC}, qr/member function slm_feedback\.library_version/ ],
	[ "a function's text", 'ALTER FUNCTION slm_feedback.today() COST 17',
		'ALTER FUNCTION slm_feedback.today() COST 100', qr/function slm_feedback\.today/ ],
	[ 'a privilege', 'GRANT EXECUTE ON FUNCTION slm_feedback.today() TO PUBLIC',
		'REVOKE EXECUTE ON FUNCTION slm_feedback.today() FROM PUBLIC', qr/privileges of function slm_feedback\.today\(\): public EXECUTE/ ],
	[ 'a comment', q{COMMENT ON COLUMN slm_feedback.settings.time_zone IS 'gone'},
		'COMMENT ON COLUMN slm_feedback.settings.time_zone IS COMMENT_OF_TIME_ZONE', qr/comment on .*: gone/ ],
	[ 'what a dump takes', q{SELECT pg_catalog.pg_extension_config_dump('slm_feedback.settings', 'WHERE false')},
		q{SELECT pg_catalog.pg_extension_config_dump('slm_feedback.settings', '')}, qr/dumped slm_feedback\.settings/ ],
	[ 'statistics', 'CREATE STATISTICS slm_feedback.gone (ndistinct) ON model, error FROM slm_feedback.queries',
		'DROP STATISTICS slm_feedback.gone', qr/statistics .*gone/ ]);

sub quoted_comment
{
	my ($database, $of) = @_;
	return $node->safe_psql($database, "SELECT quote_literal($of)");
}
{
	my $database = new_database($current);
	my $library_version = quoted_comment($database, "obj_description('slm_feedback.library_version()'::regprocedure)");
	my $time_zone = quoted_comment($database, "col_description('slm_feedback.settings'::regclass,
		(SELECT attnum FROM pg_attribute WHERE attrelid = 'slm_feedback.settings'::regclass AND attname = 'time_zone'))");
	foreach my $change (@changes)
	{
		$change->[2] =~ s/COMMENT_OF_LIBRARY_VERSION/$library_version/;
		$change->[2] =~ s/COMMENT_OF_TIME_ZONE/$time_zone/;
	}
}

my $install = slurp_file("$scripts/slm_feedback--$current.sql");
my $last = "SELECT slm_feedback.check_members();\nUPDATE slm_feedback.settings SET singleton = true WHERE false;\n";
write_script('0.0.1', $install . join('', map { "$_->[1];\n" } @changes));
write_script('0.0.1--0.0.2', <<END . $last);
\\echo Use "ALTER EXTENSION slm_feedback UPDATE" to load this file. \\quit
-- On the way the version is nobody's: the library's triggers must work all the same.
INSERT INTO slm_feedback.queries (request_id, query_text, created_at) VALUES ('moved', 'on the way', '2026-01-01 12:00+00');
END

sub update_with_all_but
{
	my ($left_out) = @_;
	write_script("0.0.2--$current", join('', map { "$changes[$_][2];\n" } grep { $_ != $left_out } 0 .. $#changes) . $last);
	my $database = new_database('0.0.1');
	$node->safe_psql($database, "ALTER EXTENSION slm_feedback UPDATE TO '$current'");
	return ($database, catalog_differences($fresh, catalog_of($node, $database)));
}

my ($updated, @differences) = update_with_all_but(-1);
is(join("\n", @differences), '', 'a complete update leaves the catalog of a new installation');
is($node->safe_psql($updated, 'SELECT count(*) FROM slm_feedback.queries'), '1', 'and the rows that it wrote');
is($node->safe_psql($updated, 'SELECT date FROM slm_feedback.rollup_queue'), '2026-01-01', 'with the mark of their day');
foreach my $i (0 .. $#changes)
{
	my ($name, $pattern) = @{ $changes[$i] }[ 0, 3 ];
	(undef, @differences) = update_with_all_but($i);
	like(join("\n", @differences), $pattern, "an update that forgets $name is found out");
}

# --- what somebody planted before an update ---

my $ratio = 'CREATE FUNCTION slm_feedback.ratio() RETURNS float8 LANGUAGE sql RETURN 1::float8 / 2::bigint;
	REVOKE ALL ON FUNCTION slm_feedback.ratio() FROM PUBLIC;';
write_script('0.0.2--0.0.3', "$ratio\n$last");
write_script('0.0.2--0.0.4', "SET LOCAL search_path = pg_catalog, pg_temp;\n$ratio\n$last");
{
	my $database = new_database('0.0.1');
	$node->safe_psql($database, q{CREATE ROLE planter; GRANT CREATE ON SCHEMA public TO planter; SET ROLE planter;
		CREATE FUNCTION public.steal(float8, bigint) RETURNS float8 LANGUAGE sql AS 'SELECT 0.0::float8';
		CREATE OPERATOR public./ (leftarg = float8, rightarg = bigint, function = public.steal);});
	my ($status, undef, $error) = $node->psql($database, "ALTER EXTENSION slm_feedback UPDATE TO '0.0.3'");
	isnt($status, 0, 'an update that would bind a planted operator fails');
	like($error, qr{slm_feedback would use objects of others.*function slm_feedback\.ratio\(\) uses operator public\./\(double precision,bigint\)}s,
		'and says what it found');
	is($node->safe_psql($database, 'SELECT extversion FROM pg_extension WHERE extname = \'slm_feedback\''), '0.0.1', 'nothing has changed');
	$node->safe_psql($database, "ALTER EXTENSION slm_feedback UPDATE TO '0.0.4'");
	is($node->safe_psql($database, 'SELECT slm_feedback.ratio()'), '0.5', 'an update that pins its path binds the operator of pg_catalog');
}

# --- a session through an update ---

write_script("0.0.2--$current", join('', map { "$_->[2];\n" } @changes) . $last);
my $database = new_database('0.0.1');
my $session = $node->background_psql($database, on_error_stop => 0);
my $record = q{SELECT slm_feedback.record_query('q', request_id => 'session');};
my ($answer) = $session->query($record);
like($session->{stderr}, qr/the library of slm_feedback is newer than the extension/, 'before the update: a clear error');
like($session->{stderr}, qr/ALTER EXTENSION slm_feedback UPDATE/, 'that says what to do');
$session->{stderr} = '';
$node->safe_psql($database, 'ALTER EXTENSION slm_feedback UPDATE');
($answer) = $session->query($record);
like($answer, qr/^session$/m, 'after it the same session goes on');
$node->safe_psql($database, "UPDATE pg_extension SET extversion = '99.0.0' WHERE extname = 'slm_feedback'; $last");
($answer) = $session->query($record);
like($session->{stderr}, qr/the library of slm_feedback is older than the extension/, 'objects newer than the library that a session has');
$session->quit;

$node->stop;
done_testing();
