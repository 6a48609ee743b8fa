# No worker on a standby; after promotion it takes over.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'slm_feedback'\nslm_feedback.refresh_interval = 1s");
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my $processes = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'slm_feedback%'};
my $refreshes = q{SELECT count(*) FROM slm_feedback.job_runs WHERE job = 'refresh' AND status = 'done'};
$primary->safe_psql('postgres', q{BEGIN; CREATE EXTENSION slm_feedback CASCADE; SELECT slm_feedback.record_query('a question'); COMMIT});
ok($primary->poll_query_until('postgres', "SELECT ($refreshes) > 2"), 'the primary works');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $processes), '0', 'a standby has neither launcher nor worker');
is($standby->safe_psql('postgres', q{SELECT count(*) > 2 FROM slm_feedback.report_jobs()}), 't', 'but reads what the primary did');
is($standby->safe_psql('postgres', q{SELECT total_queries FROM slm_feedback.report_summary()}), '1', 'and reports');
my $stderr;
$standby->psql('postgres', 'CALL slm_feedback.run_jobs()', stderr => \$stderr);
like($stderr, qr/cannot execute run_jobs\(\) during recovery/, 'run_jobs() is refused there');

$primary->stop('immediate');
my $before = $standby->safe_psql('postgres', $refreshes);
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT ($refreshes) > $before + 2"), 'after promotion it takes over');
$standby->stop;
done_testing();
