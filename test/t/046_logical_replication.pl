# Logical replication as docs/operations.md describes it: a published database takes every write, and the subscriber,
# which gets rows and settings but no metrics, computes the same reports by itself.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
my $keys = $publisher->data_dir . '/pseudonym_keys';
append_to_file($keys, 'k1:' . join('', map { sprintf '%02x', rand 256 } 1 .. 32) . "\n");
chmod 0600, $keys;
$publisher->append_conf('postgresql.conf', "slm_feedback.pseudonym_key_file = '$keys'");
$publisher->start;
# No key there: what arrives is stored as it is.
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->start;
$_->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE') foreach $publisher, $subscriber;

my $reports = q{SELECT md5(string_agg(r::text, E'\n' ORDER BY r.date)) FROM (
	SELECT date, total_queries, avg_response_time_ms, positive_feedback_count, negative_feedback_count, neutral_feedback_count, unique_users
	FROM slm_feedback.report_daily('2026-01-01', '2026-03-31')) r};
my $rows = q{SELECT md5(string_agg(t, E'\n' ORDER BY t COLLATE "C")) FROM (
	SELECT q::text FROM slm_feedback.queries q UNION ALL SELECT f::text FROM slm_feedback.feedback f
	UNION ALL SELECT c::text FROM slm_feedback.corrections c) r (t)};

sub same
{
	my ($name) = @_;
	$publisher->wait_for_catchup('sub');
	is($subscriber->safe_psql('postgres', $rows), $publisher->safe_psql('postgres', $rows), "$name: the same rows");
	is($subscriber->safe_psql('postgres', $reports), $publisher->safe_psql('postgres', $reports), "$name: the same reports");
	$subscriber->safe_psql('postgres', 'CALL slm_feedback.rollup()');
	is($subscriber->safe_psql('postgres', $reports), $publisher->safe_psql('postgres', $reports), "$name: and after a rollup there");
}

$publisher->safe_psql('postgres', q{
	SELECT slm_feedback.set_user_id_policy('pseudonym');
	SELECT slm_feedback.set_time_zone('Asia/Tokyo');
	SELECT count(*) FROM slm_feedback.record_queries((
		SELECT jsonb_agg(jsonb_build_object('request_id', 'q' || i, 'query_text', 'question ' || i % 10, 'response_text', 'answer', 'user_id', 'u' || i % 9,
			'created_at', '2026-02-01 00:00+00'::timestamptz + i * interval '5 hours', 'response_time_ms', i, 'model', 'm' || i % 2))
		FROM generate_series(1, 100) i));
	SELECT count(slm_feedback.submit_feedback('q' || i, i % 3 = 0, user_id => CASE WHEN i % 4 > 0 THEN 'rater' END)) FROM generate_series(1, 60) i;
	CALL slm_feedback.rollup();
	CREATE PUBLICATION pub FOR TABLE slm_feedback.queries, slm_feedback.feedback, slm_feedback.corrections, slm_feedback.settings});
$subscriber->safe_psql('postgres', sprintf(q{CREATE SUBSCRIPTION sub CONNECTION '%s' PUBLICATION pub}, $publisher->connstr . ' dbname=postgres'));
$subscriber->wait_for_subscription_sync($publisher, 'sub');
same('the initial copy');
$subscriber->safe_psql('postgres', q{CALL slm_feedback.rebuild('-infinity', 'infinity')});
same('and a rebuild');
is($subscriber->safe_psql('postgres', 'SELECT time_zone, user_id_policy FROM slm_feedback.settings'), 'Asia/Tokyo|pseudonym', 'settings arrive');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM slm_feedback.queries WHERE user_id NOT LIKE 'slmp:%'}), '0', 'pseudonyms stay what they are');

# Everything below is of days that are final on both sides.
$publisher->safe_psql('postgres', q{
	SELECT slm_feedback.record_query('late', 'answer', 'late', user_id => 'u1', created_at => '2026-02-03 12:00+00');
	SELECT slm_feedback.submit_feedback('late', false, user_id => 'rater')});
same('late inserts');
$publisher->safe_psql('postgres', q{
	SELECT count(slm_feedback.submit_feedback('q' || i, i % 3 > 0, 5, 'a changed mind', user_id => CASE WHEN i % 4 > 0 THEN 'rater' END)) FROM generate_series(1, 10) i;
	SELECT slm_feedback.submit_correction('q2', 'better', 'editor'), slm_feedback.submit_correction('q2', 'better', 'editor', 'with a note')});
same('changed opinions');
$publisher->safe_psql('postgres', q{
	SELECT slm_feedback.withdraw_feedback('q3', 'rater'), slm_feedback.withdraw_feedback('q2', 'rater'), slm_feedback.withdraw_corrections('q2', 'editor');
	DELETE FROM slm_feedback.queries WHERE request_id IN ('q5', 'q6')});
same('withdrawn and deleted');

# Where everything is published, every function goes on working.
$publisher->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
$publisher->safe_psql('postgres', q{
	SELECT slm_feedback.submit_feedback('q7', true, user_id => 'rater');
	SELECT slm_feedback.submit_feedback('q7', false, user_id => 'rater');
	SELECT slm_feedback.withdraw_feedback('q7', 'rater');
	CALL slm_feedback.rebuild('-infinity', 'infinity');
	CALL slm_feedback.rollup();
	SELECT slm_feedback.set_retention(30, 10);
	SET slm_feedback.debug_now = '2026-05-01 00:00:00';
	CALL slm_feedback.run_jobs();
	CALL slm_feedback.run_jobs('retention');
	SELECT slm_feedback.prune_tombstones(interval '0')});
is($publisher->safe_psql('postgres', q{SELECT string_agg(job || ' ' || status, ', ' ORDER BY job) FROM slm_feedback.report_jobs() WHERE status <> 'done' AND job NOT IN ('refresh', 'dashboard')}),
	'', 'all jobs that a rollup brings were done');
is($publisher->safe_psql('postgres', q{SELECT count(*) FROM slm_feedback.queries}), '0', 'retention as well');
unlike(slurp_file($publisher->logfile) . slurp_file($subscriber->logfile), qr/ERROR:|PANIC|TRAP/, 'no error on either side');

$subscriber->stop;
$publisher->stop;
done_testing();
