# Real interactions: 6,438 answers of eight models, each with a judge's opinion, go in through the batch
# functions, and the reports give the published leaderboard and the daily figures that were computed without
# this extension, before any rollup and after it.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{SLM_TEST_DATA} // '';
plan skip_all => 'the AlpacaEval files are not here (SLM_TEST_DATA names their folder)'
  unless -f "$data/alpaca_eval.jsonl.gz";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', qq{
	CREATE EXTENSION slm_feedback CASCADE;
	CREATE TABLE expected_models (model text, n_wins bigint, n_wins_base bigint, n_draws bigint, n_total bigint,
		discrete_win_rate float8, win_rate float8, standard_error float8);
	COPY expected_models FROM '$data/alpaca_eval_models.csv' (FORMAT csv, HEADER true);
	CREATE TABLE expected_daily (date date, total_queries bigint, avg_ms float8, p50_ms float8, p95_ms float8,
		positive bigint, negative bigint, neutral bigint, unique_users bigint);
	COPY expected_daily FROM '$data/alpaca_eval_daily.csv' (FORMAT csv, HEADER true);
	-- The file's own lines, to compare the stored texts with.
	CREATE TABLE lines (line jsonb);
	COPY lines FROM PROGRAM 'zcat $data/alpaca_eval.jsonl.gz' (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')});

my $loaded = system_log('sh', '-c', 'zcat "$1" | psql -X -q -d "$2" -f "$3"',
	'-', "$data/alpaca_eval.jsonl.gz", $node->connstr('postgres'), "$FindBin::RealBin/../../scripts/load.sql");
is($loaded, 0, 'the file is loaded');
is( $node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM slm_feedback.queries), (SELECT count(*) FROM slm_feedback.feedback)'),
	'6438|6438',
	'all queries and opinions are stored');

is( $node->safe_psql(
		'postgres', q{
	SELECT count(*) FROM lines l FULL JOIN slm_feedback.queries q ON q.request_id = l.line ->> 'request_id'
	WHERE (q.query_text, q.response_text, q.created_at, q.user_id, q.session_id, q.model, q.response_time_ms, q.tags ->> 'dataset')
	IS DISTINCT FROM (l.line ->> 'query_text', l.line ->> 'response_text', (l.line ->> 'created_at')::timestamptz,
		l.line ->> 'user_id', l.line ->> 'session_id', l.line ->> 'model', (l.line -> 'response_time_ms')::int, l.line ->> 'dataset')}),
	'0',
	'every text and field is stored as it stands in the file');

# How far a percentile may be off: the report's value lies between the values that stand r ranks below and
# above the exact percentile, where r = 1 + 4 * n * q * (1 - q) / 200. A t-digest of compression 200 puts at
# most 4 * n * q * (1 - q) / 200 values, or else a single one, into the centroid at quantile q, and
# interpolates between the middles of neighbours: it is less than one centroid's weight off, and one rank
# more for the difference between its way to interpolate and percentile_cont's.
my $percentile_bounds = q{
	WITH days AS (
		SELECT created_at::date AS date, count(*) AS n, array_agg(response_time_ms ORDER BY response_time_ms) AS sorted
		FROM slm_feedback.queries GROUP BY 1
	)
	SELECT r.date, p.q, p.value, d.sorted[p.low], d.sorted[p.high]
	FROM slm_feedback.report_daily('2026-10-01', '2026-10-30') r
	JOIN days d USING (date),
	LATERAL (
		SELECT v.q, v.value,
			greatest(1, floor(1 + v.q * (d.n - 1) - 1 - 4 * d.n * v.q * (1 - v.q) / 200)::int) AS low,
			least(d.n, ceil(1 + v.q * (d.n - 1) + 1 + 4 * d.n * v.q * (1 - v.q) / 200))::int AS high
		FROM (VALUES (0.5, r.p50_response_time_ms), (0.95, r.p95_response_time_ms), (0.99, r.p99_response_time_ms)) v (q, value)
	) p
	WHERE p.value IS NULL OR NOT p.value BETWEEN d.sorted[p.low] AND d.sorted[p.high]};

# Each of these gives the rows that differ.
my %differences = (
	'report_models gives the leaderboard' => q{
	SELECT * FROM expected_models e FULL JOIN slm_feedback.report_models('2026-10-01', '2026-10-30') r USING (model)
	WHERE (r.total_queries, r.positive_feedback_count, r.negative_feedback_count, r.neutral_feedback_count)
		IS DISTINCT FROM (e.n_total, e.n_wins, e.n_wins_base, e.n_draws)
		OR abs(100 * (r.positive_feedback_count + 0.5 * r.neutral_feedback_count) / r.total_queries - e.discrete_win_rate) > 1e-9},
	'report_daily gives the counts, averages and unique users of every day' => q{
	SELECT * FROM expected_daily e FULL JOIN slm_feedback.report_daily('2026-10-01', '2026-10-30') r USING (date)
	WHERE (r.total_queries, r.positive_feedback_count, r.negative_feedback_count, r.neutral_feedback_count, r.unique_users)
		IS DISTINCT FROM (e.total_queries, e.positive, e.negative, e.neutral, e.unique_users)
		OR (abs(r.avg_response_time_ms - e.avg_ms) < 1e-9) IS NOT TRUE},
	'report_daily gives percentiles within the error of the sketch' => $percentile_bounds,
	'report_summary adds up to the same, with unique users within three standard errors' => q{
	SELECT * FROM slm_feedback.report_summary('2026-10-01', '2026-10-30') r,
		(SELECT sum(total_queries) AS total, sum(positive) AS positive, sum(negative) AS negative, sum(neutral) AS neutral
		 FROM expected_daily) e,
		(SELECT count(DISTINCT user_id) AS users FROM slm_feedback.queries) u
	WHERE (r.total_queries, r.positive_feedback_count, r.negative_feedback_count, r.neutral_feedback_count)
		IS DISTINCT FROM (e.total, e.positive, e.negative, e.neutral)
		OR (abs(r.approx_unique_users - u.users) < 3 * 0.023 * u.users) IS NOT TRUE});

# The bounds are made from the stored rows: these are the rows that the published percentiles come from.
is( $node->safe_psql(
		'postgres', q{
	SELECT count(*), count(*) FILTER (WHERE abs(p50 - p50_ms) < 1e-6 AND abs(p95 - p95_ms) < 1e-6)
	FROM expected_daily JOIN (
		SELECT created_at::date AS date, percentile_cont(0.5) WITHIN GROUP (ORDER BY response_time_ms) AS p50,
			percentile_cont(0.95) WITHIN GROUP (ORDER BY response_time_ms) AS p95
		FROM slm_feedback.queries GROUP BY 1) s USING (date)}),
	'30|30',
	'the stored response times have the published percentiles');

sub check_reports
{
	my ($when) = @_;
	is($node->safe_psql('postgres', $differences{$_}), '', "$when: $_") foreach sort keys %differences;
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM slm_feedback.daily_metrics'), '0', 'nothing is rolled up yet');
check_reports('before any rollup');

$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
is( $node->safe_psql(
		'postgres', q{
	SELECT (SELECT count(DISTINCT date) FROM slm_feedback.daily_metrics),
		(SELECT count(*) FROM slm_feedback.live_days('2026-10-01', '2026-10-30'))}),
	'30|0',
	'all 30 days are rolled up, none is computed live any more');
check_reports('after the rollup');

# Opinions that come after the rollup count at once; when they are gone, all is as before.
$node->safe_psql('postgres', q{
	SELECT count(slm_feedback.submit_feedback(request_id, true, user_id => 'a late rater')) FROM slm_feedback.queries});
is( $node->safe_psql('postgres', q{
	SELECT sum(r.positive_feedback_count) - sum(e.n_wins) FROM slm_feedback.report_models('2026-10-01', '2026-10-30') r JOIN expected_models e USING (model)}),
	'6438',
	'late feedback counts before the next rollup');
$node->safe_psql('postgres', q{
	SELECT count(slm_feedback.withdraw_feedback(request_id, 'a late rater')) FROM slm_feedback.queries});
$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
check_reports('after late feedback, its withdrawal and another rollup');

$node->stop;
done_testing();
