# pg_cron schedules run_jobs(): without the worker, and together with it, and no job runs twice at once.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

chomp(my $sharedir = `pg_config --sharedir`);
plan skip_all => 'pg_cron is not installed' unless -e "$sharedir/extension/pg_cron.control";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Its schedule is by the minute; it connects to the server's socket.
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '} . $node->host . q{'
slm_feedback.refresh_interval = 1s
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_cron;
	CREATE EXTENSION slm_feedback CASCADE;
	-- Every run says when it was in the middle of its work; two at once would overlap.
	CREATE TABLE seen (run_id bigint, from_time timestamptz, to_time timestamptz);
	CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE started timestamptz := clock_timestamp();
	BEGIN
		PERFORM pg_sleep(2);
		INSERT INTO public.seen VALUES (new.run_id, started, clock_timestamp());
		RETURN new;
	END $$;
	CREATE TRIGGER seen BEFORE INSERT ON slm_feedback.rollup_runs FOR EACH ROW EXECUTE FUNCTION seen();
	SELECT slm_feedback.record_query('a question');
	SELECT cron.schedule('slm_feedback', '* * * * *', 'CALL slm_feedback.run_jobs()')});

ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'retention' AND status = 'done')}),
	'without the worker, pg_cron has run the jobs');
ok($node->poll_query_until('postgres', q{SELECT EXISTS (SELECT 1 FROM cron.job_run_details WHERE status = 'succeeded')}), 'pg_cron says so, too');
is($node->safe_psql('postgres', q{SELECT sum(total_queries) FROM slm_feedback.daily_metrics WHERE model IS NULL AND prompt_version IS NULL}), '1',
	'the metrics are there');

# Both at once: several schedules of pg_cron start in the same second, while the worker refreshes all the time.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron, slm_feedback'");
$node->restart;
$node->safe_psql('postgres', qq{SELECT cron.schedule('slm_feedback $_', '* * * * *', 'CALL slm_feedback.run_jobs()')}) foreach 1 .. 4;
my $both = q{SELECT
	(SELECT count(*) > 4 FROM cron.job_run_details d WHERE d.status = 'succeeded' AND d.start_time > pg_postmaster_start_time())
	AND (SELECT count(*) > 5 FROM slm_feedback.job_runs r WHERE r.job = 'refresh' AND r.status = 'done' AND r.started_at > pg_postmaster_start_time())};
ok($node->poll_query_until('postgres', $both), 'both run');
is($node->safe_psql('postgres', 'SELECT count(*) FROM seen a JOIN seen b ON a.run_id < b.run_id AND a.from_time < b.to_time AND b.from_time < a.to_time'),
	'0', 'no rollup ran twice at once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM slm_feedback.job_runs a JOIN slm_feedback.job_runs b ON a.job = b.job AND a.run_id < b.run_id
	AND a.started_at < b.ended_at AND b.started_at < a.ended_at}), '0', 'nor any other job');
is($node->safe_psql('postgres', q{SELECT DISTINCT status FROM cron.job_run_details WHERE status NOT IN ('succeeded', 'running', 'starting', 'sending', 'connecting')
	AND start_time > pg_postmaster_start_time()}), '', 'no call failed');
is($node->safe_psql('postgres', q{SELECT DISTINCT status FROM slm_feedback.job_runs WHERE status NOT IN ('done', 'running')}), '', 'no job failed');
$node->stop;
done_testing();
