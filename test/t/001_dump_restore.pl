# pg_dump and pg_restore keep everything: rows, settings, metrics, marks, and so every report.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# Every column of every report, and the raw rows, over a range that is fixed.
sub state_of
{
	my ($database) = @_;
	my $range = "'2026-01-01', '2026-03-31'";
	my %queries = (
		report_daily => "SELECT * FROM slm_feedback.report_daily($range)",
		report_models => "SELECT * FROM slm_feedback.report_models($range)",
		report_models_by_version => "SELECT * FROM slm_feedback.report_models($range, by_prompt_version => true)",
		report_summary => "SELECT * FROM slm_feedback.report_summary($range)",
		report_top_questions => "SELECT * FROM slm_feedback.report_top_questions($range, 20)",
		settings => 'SELECT s, slm_feedback.time_zone() FROM slm_feedback.settings s',
		queries => 'SELECT * FROM slm_feedback.queries ORDER BY request_id',
		feedback => 'SELECT * FROM slm_feedback.feedback ORDER BY request_id, user_id',
		daily_metrics =>
		  'SELECT * FROM slm_feedback.daily_metrics ORDER BY date, model NULLS FIRST, prompt_version NULLS FIRST',
		rollup_state => 'SELECT * FROM slm_feedback.rollup_state',
		rollup_runs => 'SELECT * FROM slm_feedback.rollup_runs ORDER BY run_id');
	return { map { $_ => $node->safe_psql($database, $queries{$_}) } keys %queries };
}

sub same_state
{
	my ($got, $expected, $name, @things) = @_;
	foreach my $thing (@things ? @things : sort keys %$expected)
	{
		ok($got->{$thing} eq $expected->{$thing}, "$name: $thing")
		  or diag("expected:\n", substr($expected->{$thing}, 0, 2000), "\ngot:\n", substr($got->{$thing}, 0, 2000));
	}
}

my @reports = qw(report_daily report_models report_models_by_version report_summary report_top_questions);

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql(
	'source', q{
	CREATE EXTENSION slm_feedback CASCADE;
	SELECT count(*) FROM slm_feedback.record_queries((
		SELECT jsonb_agg(jsonb_build_object(
			'request_id', 'r' || i,
			'query_text', E'Which \\ "question" <b>' || i % 25 || E'</b>\n\t?',
			'response_text', E'Line one\r\nline two \\. \u20ac',
			'created_at', '2026-01-15 00:30+00'::timestamptz + i * interval '47 minutes',
			'user_id', 'user ' || i % 31, 'model', 'model ' || i % 3, 'prompt_version', 'v' || i % 2,
			'response_time_ms', 100 + i * 7919 % 1900, 'cost_usd', 0.000123, 'input_tokens', i % 300,
			'sources_used', jsonb_build_array(i, 'a "source"'), 'tags', '{"k": null}'::jsonb))
		FROM generate_series(1, 1500) i));
	SELECT count(*) FROM slm_feedback.submit_feedback_batch((
		SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
			'request_id', 'r' || 1 + i * 5 % 1500, 'user_id', 'rater ' || i % 4,
			'is_helpful', CASE WHEN i % 2 = 0 THEN i % 3 = 0 END, 'rating', CASE WHEN i % 2 = 1 THEN 1 + i % 5 END,
			'comment', CASE WHEN i % 7 = 0 THEN E'said\nthis' END)))
		FROM generate_series(1, 700) i));
	SELECT slm_feedback.set_time_zone('Europe/Vienna');
});

# Restores in one go, or by the given steps.
sub dump_and_restore
{
	my ($from, $to, @steps) = @_;
	my $file = $PostgreSQL::Test::Utils::tmp_check . "/$to.dump";
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr($from) ], "pg_dump of $from");
	$node->safe_psql('postgres', "CREATE DATABASE $to");
	foreach my $step (@steps ? @steps : [])
	{
		$node->command_ok([ 'pg_restore', '--exit-on-error', @$step, '-d', $node->connstr($to), $file ],
			"pg_restore @$step into $to");
	}
	unlink $file;
}

# Before any rollup.
my $expected = state_of('source');
is($expected->{daily_metrics}, '', 'nothing is rolled up yet');
isnt($expected->{report_daily}, '', 'there is something to report');
dump_and_restore('source', 'never_rolled_up');
same_state(state_of('never_rolled_up'), $expected, 'dumped before any rollup');
$node->safe_psql('never_rolled_up', 'CALL slm_feedback.rollup()');

# Rolled up, and then marks that no rollup has seen yet.
$node->safe_psql('source', 'CALL slm_feedback.rollup()');
same_state(state_of('never_rolled_up'), state_of('source'), 'rolled up after the restore', @reports);
$node->safe_psql(
	'source', q{
	SELECT slm_feedback.submit_feedback('r100', false, comment => 'late', user_id => 'late rater');
	SELECT slm_feedback.withdraw_feedback('r6', 'rater 1');
	SELECT slm_feedback.record_query('late query', request_id => 'late', created_at => '2026-01-20 12:00+01', model => 'model 0');
	DELETE FROM slm_feedback.queries WHERE request_id = 'r200'});
isnt($node->safe_psql('source', 'SELECT count(*) FROM slm_feedback.rollup_queue'), '0', 'some days are marked');
# Rows that lie ahead of this server's clock, as a server brings them whose clock was ahead.
my $ahead = q{INSERT INTO slm_feedback.queries (request_id, query_text, created_at) VALUES ('ahead', 'q', now() + interval '20 days')};
my ($ahead_status, undef, $ahead_error) = $node->psql('source', $ahead);
like($ahead_error, qr/created_at is in the future/, 'a row that is 20 days ahead is refused');
$node->safe_psql('source', "SET row_security = off; SET check_function_bodies = off; $ahead; SELECT slm_feedback.submit_feedback('ahead', true)");
is($node->safe_psql('source', q{SELECT total_queries, positive_feedback_count FROM slm_feedback.report_daily('2026-06-01', 'infinity')
	WHERE date = slm_feedback.day_of(now() + interval '20 days')}), '1|1', 'but not in a restore, and then reported');
$expected = state_of('source');
dump_and_restore('source', 'restored');
same_state(state_of('restored'), $expected, 'dumped with marks');

# With several jobs at once pg_restore keeps no order among an extension's tables, and the data of feedback
# cannot come before that of queries: docs/operations.md says to restore the data by one job.
dump_and_restore('source', 'restored_in_steps', ['--section=pre-data'], ['--section=data'], [ '--section=post-data', '--jobs=3' ]);
same_state(state_of('restored_in_steps'), $expected, 'restored in steps');

# The restored database goes on: a rollup has a number of its own and changes no report.
$node->safe_psql('restored', 'CALL slm_feedback.rollup()');
same_state(state_of('restored'), $expected, 'rolled up after the restore', @reports);
is( $node->safe_psql(
		'restored',
		"SELECT count(*), count(*) FILTER (WHERE status = 'done'), (SELECT count(*) FROM slm_feedback.rollup_queue)
		FROM slm_feedback.rollup_runs"),
	'2|2|0',
	'the restored database numbers its runs on');

# A dump as SQL statements, read by psql.
my ($stdout, $stderr) = run_command([ 'pg_dump', '--inserts', $node->connstr('restored') ]);
$node->safe_psql('postgres', 'CREATE DATABASE from_statements');
is($node->psql('from_statements', $stdout, on_error_die => 0), 0, 'a plain dump runs without an error');
same_state(state_of('from_statements'), state_of('restored'), 'plain dump');

$node->stop;
done_testing();
