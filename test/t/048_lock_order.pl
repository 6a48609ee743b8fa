# Everything that writes, all at once: capture functions one by one and in batches of random order, direct writes,
# data-subject requests, retention, conversions, settings and jobs. Nobody waits in a circle, nobody fails, and the
# metrics are those of the raw rows afterwards. test/isolation/specs/lock_order.spec has the pairs one by one.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{SLM_LOCK_ORDER_SECONDS} // 10;
my $node = PostgreSQL::Test::Cluster->new('locks');
$node->init;
my $keys = $node->basedir . '/keys';
append_to_file($keys, 'k1:8f1d5a3c7e9b24608f0c6db1a2e4957338d1c0fe52b7469a0e3d8c7f61b5a294' . "\n");
chmod 0600, $keys;
$node->append_conf('postgresql.conf', qq{
deadlock_timeout = 10ms
fsync = off
shared_preload_libraries = 'slm_feedback'
slm_feedback.refresh_interval = 0
slm_feedback.pseudonym_key_file = '$keys'
timezone = 'UTC'
});
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
CREATE EXTENSION slm_feedback CASCADE;
-- What may be refused here: an answer that has been deleted, a withdrawal under the policy drop, a second row of one key.
CREATE FUNCTION try(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
EXCEPTION WHEN SQLSTATE 'PT404' OR object_not_in_prerequisite_state OR unique_violation OR foreign_key_violation THEN
	NULL;
END $$;
CREATE FUNCTION pick(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * n)::integer $$;
-- 60 answers of the last 40 days, 12 users: enough for everybody to meet.
CREATE FUNCTION questions(n integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_agg(jsonb_build_object('request_id', 'r' || 100 + pick(60), 'query_text', 'question ' || pick(9) || ' of a@b.example',
		'response_text', 'answer', 'user_id', 'u' || pick(12), 'model', 'm' || pick(2), 'created_at', now() - pick(40) * interval '1 day'))
	FROM generate_series(1, n) $$;
CREATE FUNCTION opinions(n integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('request_id', 'r' || 100 + pick(60), 'rating', 1 + pick(5), 'comment', 'words',
		'user_id', CASE WHEN pick(8) > 0 THEN 'u' || pick(12) END)))
	FROM generate_series(1, n) $$;
SELECT count(*) FROM slm_feedback.record_queries(questions(300));
SELECT count(*) FROM slm_feedback.submit_feedback_batch(opinions(300));
SELECT slm_feedback.set_alert_rule('few', 'total_queries', 'below', 10);
SELECT slm_feedback.set_retention(35, 25);
});

# Statement and weight. What ends transactions is called by itself.
my @work = (
	[ 6, 'SELECT count(*) FROM slm_feedback.record_queries(questions(30))' ],
	[ 12, 'SELECT count(*) FROM slm_feedback.submit_feedback_batch(opinions(30))' ],
	# several calls in a transaction, in ascending order
	[ 10, q{BEGIN;
		SELECT try(format('SELECT slm_feedback.submit_feedback(%L, true, user_id => %L)', 'r' || 100 + i, 'u' || pick(12)))
		FROM generate_series(pick(20), 59, 7) i;
		SELECT 1; COMMIT} ],
	[ 5, q{SELECT try(format('SELECT slm_feedback.withdraw_feedback(%L, %L)', 'r' || 100 + pick(60), 'u' || pick(12)))} ],
	[ 5, q{SELECT try(format('SELECT slm_feedback.submit_correction(%L, %L, %L)', 'r' || 100 + pick(60), 'better ' || pick(3), 'u' || pick(12)))} ],
	[ 3, q{SELECT try(format('SELECT slm_feedback.withdraw_corrections(%L, %L)', 'r' || 100 + pick(60), 'u' || pick(12)))} ],
	[ 3, q{SELECT try(format('INSERT INTO slm_feedback.feedback (request_id, user_id, rating) VALUES (%L, %L, 3)', 'r' || 100 + pick(60), 'u' || pick(12)))} ],
	[ 3, q{SELECT try(format('UPDATE slm_feedback.feedback SET rating = 1 + pick(5) WHERE request_id = %L AND user_id = %L', 'r' || 100 + pick(60), 'u' || pick(12)))} ],
	[ 2, q{DELETE FROM slm_feedback.queries WHERE request_id = (SELECT 'r' || 100 + pick(60))} ],
	[ 6, q{SELECT slm_feedback.erase_user('u' || pick(12))} ],
	[ 6, q{SELECT try(format('SELECT slm_feedback.erase_user(%L, %L)', 'u' || pick(12), 'anonymize'))} ],
	[ 3, q{SELECT slm_feedback.set_redaction(pick(2) = 1)} ],
	[ 2, q{SELECT slm_feedback.set_redaction_pattern('NUMBER' || pick(2), 'question [0-9]')} ],
	[ 3, q{SELECT slm_feedback.set_user_id_policy((ARRAY['plain', 'pseudonym', 'drop'])[1 + pick(3)])} ],
	[ 3, q{CALL slm_feedback.convert_user_ids(20)} ],
	[ 2, q{SELECT slm_feedback.set_time_zone((ARRAY['UTC', 'Asia/Tokyo'])[1 + pick(2)])} ],
	[ 2, q{BEGIN; SELECT slm_feedback.set_retention(30 + pick(9), 20 + pick(9)); SELECT slm_feedback.set_min_group_users(0); SELECT slm_feedback.set_redaction(false); COMMIT} ],
	[ 3, q{CALL slm_feedback.rollup()} ],
	[ 4, q{CALL slm_feedback.run_jobs('retention')} ],
	[ 2, q{CALL slm_feedback.run_jobs()} ],
	[ 2, q{SELECT slm_feedback.generate_report((ARRAY['week', 'month'])[1 + pick(2)])} ],
	[ 2, q{SELECT slm_feedback.refresh_dashboard_questions()} ],
	[ 2, q{SELECT slm_feedback.evaluate_alerts()} ],
	[ 1, q{SELECT slm_feedback.set_alert_rule('few', 'total_queries', 'below', 5 + pick(9))} ],
	[ 2, q{SELECT slm_feedback.prune_tombstones('0 seconds')} ],
	[ 1, q{SELECT count(*) FROM slm_feedback.export_changes(NULL)} ],
	[ 1, q{SELECT count(*) FROM slm_feedback.period_reports} ]);

my @scripts;
foreach my $i (0 .. $#work)
{
	my $file = $node->basedir . sprintf('/work_%02d.sql', $i);
	append_to_file($file, "$work[$i][1];\n");
	push @scripts, '-f', "$file\@$work[$i][0]";
}
my ($stdout, $stderr) = ('', '');
my $done = IPC::Run::run([ 'pgbench', '-n', '-c', 8, '-j', 2, '-T', $seconds, '--random-seed=1', '-h', $node->host, '-p', $node->port, @scripts, 'postgres' ],
	'>', \$stdout, '2>', \$stderr);
note $stdout =~ s/^SQL script.*//msr;
my @errors = $stderr =~ /^(pgbench: error:.*)$/mg;
is(join("\n", @errors), '', 'no statement failed') or diag($stderr);
is(sql(q{SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()}), '0', 'nobody waited in a circle');
my ($transactions) = $stdout =~ /number of transactions actually processed: (\d+)/;
cmp_ok($transactions // 0, '>', 5 * $seconds, 'much was done');

# A late write may have come between the last rollup and the end.
sql('CALL slm_feedback.rollup()');
is(sql(q{
	WITH state AS (SELECT coalesce(max(purged_before), '-infinity') AS purged_before FROM slm_feedback.rollup_state),
	stored AS (SELECT m.* FROM slm_feedback.daily_metrics m, state s WHERE m.date >= s.purged_before),
	days AS (SELECT d.day FROM state s, slm_feedback.days_with_queries(NULL) AS d (day) WHERE d.day >= s.purged_before),
	computed AS (SELECT m.* FROM days d, LATERAL slm_feedback.day_metrics(d.day) m)
	SELECT count(*) FROM stored s FULL JOIN computed c
		ON s.date = c.date AND s.model IS NOT DISTINCT FROM c.model AND s.prompt_version IS NOT DISTINCT FROM c.prompt_version
	WHERE (s.total_queries, s.unique_users, s.positive_feedback_count, s.negative_feedback_count, s.neutral_feedback_count, s.feedback_count,
		s.rated_queries, s.rating_sum) IS DISTINCT FROM (c.total_queries, c.unique_users, c.positive_feedback_count, c.negative_feedback_count,
		c.neutral_feedback_count, c.feedback_count, c.rated_queries, c.rating_sum)}), '0', 'the metrics are those of the raw rows');
is(sql(q{SELECT count(*) FROM slm_feedback.feedback f WHERE NOT EXISTS (SELECT 1 FROM slm_feedback.queries q WHERE q.request_id = f.request_id)}), '0', 'no opinion without its answer');

$node->stop;
done_testing();
