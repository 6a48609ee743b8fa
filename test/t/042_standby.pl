# No worker on a standby; after promotion it takes over. Whatever writes is refused with 25006, there and in a
# read-only session.

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

# Every routine that writes and that can be granted. (write_dashboard() writes a file, and may do so on a standby.)
my @writers = split /\n/, <<'END';
audit_conversion(1, 2, 3)
convert_corrections()
convert_feedback_batch('-infinity', 10)
convert_queries_batch('-infinity', 10)
convert_user_ids()
drop_alert_rule('none')
erase_user('u')
export_user('u')
forget_frozen_users()
generate_report('range', '2026-01-01', '2026-01-02')
grant_access('pg_monitor', 'app')
prune_tombstones()
rebuild('2026-01-01', '2026-01-02')
record_queries('[{"query_text": "q"}]')
record_query('q')
refresh_dashboard_questions()
revoke_access('pg_monitor')
rollup()
run_jobs()
run_jobs('rollup')
set_alert_rule('a', 'total_queries', 'falls', 0.5)
set_job('rollup', true, '01:00')
set_min_group_users(0)
set_redaction(false)
set_redaction_pattern('A', 'a0')
set_retention(400, 90)
set_time_zone('Europe/Berlin')
set_user_id_policy('drop')
submit_correction('r', 'better')
submit_feedback('r', true)
submit_feedback_batch('[{"request_id": "r", "is_helpful": true}]')
withdraw_corrections('r', 'u')
withdraw_feedback('r', 'u')
END
my %procedure = map { $_ => 1 } split /\n/,
	$primary->safe_psql('postgres', q{SELECT proname FROM pg_proc WHERE pronamespace = 'slm_feedback'::regnamespace AND prokind = 'p'});
my %called = map { (/^(\w+)/)[0] => 1 } @writers;
my $granted = $primary->safe_psql('postgres', q{
	SELECT DISTINCT p.proname FROM pg_proc p JOIN slm_feedback.object_access() a ON a.kind = 'routine' AND a.object_name = p.proname
	WHERE p.pronamespace = 'slm_feedback'::regnamespace AND p.provolatile = 'v' AND p.proname <> 'write_dashboard' ORDER BY 1});
is(join("\n", sort keys %called), $granted, 'the list of routines that write is complete');
foreach my $call (@writers)
{
	my ($name) = $call =~ /^(\w+)/;
	foreach my $case ([ $standby, '', 'on a standby' ], [ $primary, 'SET default_transaction_read_only = on;', 'in a read-only session' ])
	{
		my ($node, $before, $where) = @$case;
		my $stderr;
		$node->psql('postgres', "\\set VERBOSITY verbose\n$before" . ($procedure{$name} ? 'CALL' : 'SELECT') . " slm_feedback.$call",
			stderr => \$stderr, on_error_stop => 0);
		like($stderr, qr/ERROR:  25006: cannot execute/, "$call $where");
	}
}

$primary->stop('immediate');
my $before = $standby->safe_psql('postgres', $refreshes);
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT ($refreshes) > $before + 2"), 'after promotion it takes over');
$standby->stop;
done_testing();
