# dashboard(): its arguments, encodings and questions, and the file that write_dashboard() writes. What the page
# shows is tested in test/browser.
use strict;
use warnings;

use File::stat;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dashboard');
$node->init(allows_streaming => 1, extra => ['--encoding=UTF8', '--locale=C']);
$node->append_conf('postgresql.conf', "timezone = 'UTC'\n");
$node->start;

sub sql
{
	my ($query, %params) = @_;
	return $node->safe_psql($params{db} // 'postgres', $query);
}

sub fails
{
	my ($query, $sqlstate, $name, %params) = @_;
	my ($status, undef, $stderr) = $node->psql($params{db} // 'postgres', "\\set VERBOSITY verbose\n$query");
	like($stderr, qr/ERROR:  $sqlstate:/, $name);
}

# The data that a page holds, as jsonb.
sub data_of { return "substring($_[0] FROM '<script type=\"application/json\" id=\"slm-data\">(.*)</script>\n<script')" }

sql('CREATE EXTENSION slm_feedback CASCADE');
my $share = sql("SELECT setting FROM pg_config WHERE name = 'SHAREDIR'");
my $page = "$share/extension/slm_feedback--dashboard.html";
plan skip_all => 'the page is not installed (npm builds it)' unless -f $page;

# --- arguments ---
fails("SELECT slm_feedback.dashboard('2026-02-01', '2026-01-01')", '22023', 'from_date after to_date');
fails("SELECT slm_feedback.dashboard(refresh_seconds => -1)", '22023', 'a negative refresh_seconds');
is(sql("SELECT octet_length(slm_feedback.dashboard('-infinity', 'infinity')) > 100000"), 't', 'infinite dates are everything');
is(sql("SELECT count(*) FROM (SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb->'models' AS m) d WHERE m = '[]'"), '1', 'a page without data');

# --- the data ---
sql(q{SELECT count(slm_feedback.record_query('question ' || n % 7, 'a', 'r' || n, 'u' || n % 5, response_time_ms => n, model => 'm' || n % 3, prompt_version => CASE WHEN n % 2 = 0 THEN 'v1' END,
      created_at => now() - n * interval '3 hours')) FROM generate_series(1, 400) n});
sql(q{SELECT count(slm_feedback.submit_feedback('r' || n, n % 4 <> 0)) FROM generate_series(1, 100) n});
for my $when ('before', 'after')
{
	my $data = data_of('slm_feedback.dashboard()') . '::jsonb';
	is(sql("SELECT d->'models', d->'versions', d->'first_day' = to_jsonb(m.first), d->'last_day' = to_jsonb(slm_feedback.today())
			FROM (SELECT $data AS d) d, (SELECT slm_feedback.day_of(min(created_at)) AS first FROM slm_feedback.queries) m"),
		'["m0", "m1", "m2"]|["", "v1"]|t|t', "names and days $when the rollup");
	is(sql("SELECT (SELECT sum((s->>2)::int) FROM jsonb_array_elements(d->'series'->'series') s)
				= (SELECT count(*) FROM slm_feedback.metrics('-infinity', 'infinity') WHERE model IS NOT NULL AND prompt_version IS NOT NULL)
			FROM (SELECT $data AS d) d"), 't', "a row a day, model and prompt version $when the rollup");
	is(sql("SELECT (SELECT (r->>'users')::bigint FROM jsonb_array_elements(d->'merged'->'rows') r WHERE r->'model' = 'null' AND r->'prompt_version' = 'null')
				= (SELECT approx_unique_users FROM slm_feedback.report_summary())
			FROM (SELECT $data AS d) d"), 't', "users of the first view equal report_summary() $when the rollup");
	is(sql("SELECT d->'questions'->>'state', jsonb_array_length(d->'questions'->'text') FROM (SELECT $data AS d) d"), 'ready|7', "questions $when the rollup");
	sql('CALL slm_feedback.rollup()');
}
is(sql("SELECT jsonb_array_length(d->'operations'->'runs'), d->'operations'->'runs'->0->>'status' FROM (SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb AS d) d") =~ /^\d+\|done$/ ? 1 : 0, 1, 'rollup runs are shown');

is(sql("SELECT jsonb_array_length(d->'operations'->'jobs') = (SELECT count(*) FROM slm_feedback.report_jobs()), d->'operations'->'alerts' FROM (SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb AS d) d"), 't|[]', 'and the jobs');

# What is not stored in the JSON cannot end the element: no <, > or & at all.
sql(q{SELECT slm_feedback.record_query('</script><!-- & ' || chr(8232) || chr(128512) || ' "' || chr(92) || chr(1), model => '<&>', created_at => now())});
is(sql("SELECT " . data_of('slm_feedback.dashboard(title => $$</title><b>&$$)') . q{ ~ '[<>&]|[\x2028\x2029]'}), 'f', 'no markup stands in the data');
is(sql("SELECT d->'models'->>0, d->>'title', d->'questions'->'text' @> to_jsonb(ARRAY['</script><!-- & ' || chr(8232) || chr(128512) || ' \"' || chr(92) || chr(1)])
		FROM (SELECT " . data_of('slm_feedback.dashboard(title => $$</title><b>&$$)') . "::jsonb AS d) d"), '<&>|</title><b>&|t', 'but the texts come out as they went in');

# --- encodings: elsewhere the page is pure ASCII and says the same ---
is(sql("SET client_encoding = 'LATIN1'; SELECT slm_feedback.dashboard() ~ '[^\\x01-\\x7f]', (" . data_of('slm_feedback.dashboard()') . "::jsonb->'questions'->'text')::text LIKE '%' || chr(128512) || '%'"), 'f|t', 'a client of another encoding');
sql("CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
sql('CREATE EXTENSION slm_feedback CASCADE', db => 'latin1');
sql("SELECT slm_feedback.record_query(chr(233) || 't' || chr(233), model => chr(252))", db => 'latin1');
is(sql("SELECT slm_feedback.dashboard() ~ '[^\\x01-\\x7f]', d->'models'->>0 = chr(252), d->'questions'->'text'->>0 = chr(233) || 't' || chr(233) FROM (SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb AS d) d", db => 'latin1'),
	'f|t|t', 'a database of another encoding');

# --- who sees questions ---
sql("CREATE ROLE plain; CREATE ROLE reader; SELECT slm_feedback.grant_access('plain', 'analyst'), slm_feedback.grant_access('reader', 'analyst_texts')");
for my $case (['plain', 'denied'], ['reader', 'ready'])
{
	is(sql("SET ROLE $case->[0]; CREATE TEMP TABLE p AS SELECT slm_feedback.dashboard() AS page; SELECT " . data_of('page') . "::jsonb->'questions'->>'state', page LIKE '%question 3%' FROM p"),
		$case->[1] . ($case->[1] eq 'ready' ? '|t' : '|f'), "questions for an analyst: $case->[1]");
}
sql('SELECT slm_feedback.set_min_group_users(4)');
is(sql("SELECT d->'questions'->>'state', (SELECT count(*) FROM jsonb_array_elements(d->'series'->'series')) < 8 FROM (SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb AS d) d"), 'suppressed|t', 'small groups are left out, and questions with them');
sql('SELECT slm_feedback.set_min_group_users(0)');

# --- many queries: questions are chosen beforehand ---
sql(q{INSERT INTO slm_feedback.queries (request_id, query_text, created_at, model) SELECT 'big' || n, 'big question ' || n % 500, now() - n * interval '5 minutes', 'm1' FROM generate_series(1, 20500) n; CALL slm_feedback.rollup()});
is(sql('SELECT ' . data_of('slm_feedback.dashboard()') . "::jsonb->'questions'->>'state'"), 'missing', 'a large database has no questions before they are chosen');
is(sql('SELECT slm_feedback.refresh_dashboard_questions() BETWEEN 100 AND 600'), 't', 'refresh_dashboard_questions() chooses them');
is(sql("SELECT d->'questions'->>'state', jsonb_array_length(d->'questions'->'text') = (SELECT count(DISTINCT question_hash) FROM slm_feedback.dashboard_questions) FROM (SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb AS d) d"), 'ready|t', 'and then they are in the page');
is(sql("WITH top AS (SELECT question_hash, times_asked, positive_feedback_count FROM slm_feedback.report_top_questions(slm_feedback.today() - 89, NULL, 10))
		SELECT count(*) FROM top t WHERE (t.times_asked, t.positive_feedback_count) = (SELECT sum(d.times_asked), sum(d.positive_feedback_count) FROM slm_feedback.dashboard_questions d WHERE d.question_hash = t.question_hash)"),
	'10', 'the ten most asked with the figures of report_top_questions()');
sql("DELETE FROM slm_feedback.queries WHERE query_text = 'big question 7'");
is(sql("SELECT slm_feedback.dashboard() LIKE '%big question 7\"%'"), 'f', 'a deleted question is gone from the page at once');

# --- sums beyond 63 bits ---
sql(q{SELECT count(*) FROM slm_feedback.record_queries((SELECT jsonb_agg(jsonb_build_object('request_id', 'dear' || n, 'query_text', 'dear', 'model', 'dear',
	'cost_usd', 999999999, 'input_tokens', 2147483647, 'output_tokens', 2147483647, 'response_time_ms', 2147483647)) FROM generate_series(1, 9300) n))});
for my $when ('live', 'rolled up')
{
	is(sql("SELECT " . data_of('slm_feedback.dashboard()') . "::jsonb->'models' ? 'dear'"), 't', "costs beyond what 63 bits of millionths hold, $when");
	is(sql("SELECT cost_usd FROM slm_feedback.report_models() WHERE model = 'dear'"), 9300 * 999999999, "are exact in the reports, $when");
	sql('CALL slm_feedback.rollup()');
}
sql("DELETE FROM slm_feedback.queries WHERE model = 'dear'; CALL slm_feedback.rollup()");

# --- the file ---
my $dir = PostgreSQL::Test::Utils::tempdir_short();
fails('SELECT slm_feedback.write_dashboard()', '55000', 'no file is set');
fails("LOAD 'slm_feedback'; ALTER SYSTEM SET slm_feedback.dashboard_file = 'relative.html'", '22023', 'the path must be absolute');
fails("LOAD 'slm_feedback'; SET slm_feedback.dashboard_file = '/tmp/x.html'", '55P02', 'a session cannot set the path');
$node->append_conf('postgresql.conf', "slm_feedback.dashboard_file = '$dir/%d.html'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('slm_feedback.dashboard_file') <> ''");
sql('SELECT slm_feedback.write_dashboard()');
my $file = slurp_file("$dir/postgres.html");
ok(length($file) > 100000 && $file =~ m{</html>\s*$}, 'the whole page is written, under the name of the database');
is(sprintf('%o', stat("$dir/postgres.html")->mode & 0777), '644', 'for every reader');
unlike($file, qr/question 3/, 'without texts of questions');
my $first = stat("$dir/postgres.html")->ino;
$node->append_conf('postgresql.conf', 'slm_feedback.dashboard_file_questions = on');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('slm_feedback.dashboard_file_questions') = 'on'");
sql('SELECT slm_feedback.write_dashboard()');
like(slurp_file("$dir/postgres.html"), qr/question 3/, 'with them if so set');
isnt(stat("$dir/postgres.html")->ino, $first, 'by a new file in the place of the old one');
is_deeply([glob("$dir/*")], ["$dir/postgres.html"], 'nothing else is left there');
chmod 0555, $dir;
fails('SELECT slm_feedback.write_dashboard()', '42501', 'a folder that cannot be written') if $> != 0;
chmod 0755, $dir;

# A database's name is no way out of the folder.
foreach my $name ('../slm_escaped', 'a/b', '.hidden', '..')
{
	$node->safe_psql('template1', qq{ALTER DATABASE postgres RENAME TO "$name"});
	fails('SELECT slm_feedback.write_dashboard()', '42602', qq{%d does not take the name "$name"}, db => $name);
	$node->safe_psql('template1', qq{ALTER DATABASE "$name" RENAME TO postgres});
}
is_deeply([glob("$dir/* $dir/.[!.]*")], ["$dir/postgres.html"], 'nothing was written for them');
ok(!unlink("$dir/../slm_escaped.html"), 'nor beside it');

# A link waits under the temporary file's name, and another under the file's own: neither is followed.
append_to_file("$dir/victim", 'untouched');
unlink "$dir/postgres.html";
symlink 'victim', "$dir/postgres.html" or die $!;
my $writer = $node->background_psql('postgres');
# PostgreSQL 16 returns the line's end as well.
my ($pid) = $writer->query('SELECT pg_backend_pid()') =~ /(\d+)/;
symlink 'victim', "$dir/postgres.html.$pid.tmp" or die $!;
$writer->query('SELECT slm_feedback.write_dashboard()');
$writer->quit;
is(slurp_file("$dir/victim"), 'untouched', 'a link is not followed');
ok(-f "$dir/postgres.html" && !-l "$dir/postgres.html" && -s "$dir/postgres.html" > 100000, 'but replaced by the page');
ok(!-e "$dir/postgres.html.$pid.tmp" && !-l "$dir/postgres.html.$pid.tmp", 'no temporary file is left');

# --- an older snapshot ---
# The page goes by the time zone of its snapshot, although another has been set since. The two zones are 25 hours apart.
sql('CREATE DATABASE zones');
sql("CREATE EXTENSION slm_feedback CASCADE; SELECT slm_feedback.set_time_zone('Pacific/Kiritimati')", db => 'zones');
my $reader = $node->background_psql('zones');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM slm_feedback.queries');
sql("SELECT slm_feedback.set_time_zone('Pacific/Pago_Pago')", db => 'zones');
like($reader->query_safe(q{SELECT d.page ~ to_char(now() AT TIME ZONE 'Pacific/Kiritimati', '"\"today\":\""YYYY-MM-DD'),
								  d.page ~ '"time_zone":"Pacific/Kiritimati"' FROM (SELECT slm_feedback.dashboard()) d (page)}),
	qr/^t\|t\b/, "today and the zone are the snapshot's");
$reader->quit;

# --- a standby, and no page ---
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
like($standby->safe_psql('postgres', 'SELECT ' . data_of('slm_feedback.dashboard()') . "::jsonb->'questions'->>'state'"), qr/ready/, 'a standby makes the page, too');
$standby->stop;

rename $page, "$page.away" or die "could not rename $page: $!";
fails('SELECT slm_feedback.dashboard()', '58P01', 'the page is not installed');
rename "$page.away", $page;

done_testing();
