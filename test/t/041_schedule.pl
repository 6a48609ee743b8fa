# When jobs are due, by a clock that the test sets: nights, nights when the clock changes, nights when the
# server was down, and pauses after failures.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nslm_feedback.refresh_interval = 0");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

# What run_jobs() does at an instant.
sub jobs_at
{
	my ($now) = @_;
	return $node->safe_psql(
		'postgres', qq{
		SET slm_feedback.debug_now = '$now';
		SET client_min_messages = error;
		SELECT coalesce(max(run_id), 0) AS last FROM slm_feedback.job_runs \\gset
		CALL slm_feedback.run_jobs();
		SELECT string_agg(job || CASE status WHEN 'done' THEN '' ELSE ' ' || status END, ' ' ORDER BY run_id)
		FROM slm_feedback.job_runs WHERE run_id > :last AND job NOT IN ('questions', 'dashboard', 'alerts', 'reports', 'tombstones')});
}

sub next_run
{
	my ($now, $job) = @_;
	return $node->safe_psql('postgres', qq{
		SET slm_feedback.debug_now = '$now';
		SELECT next_run AT TIME ZONE 'UTC' FROM slm_feedback.report_jobs() WHERE job = '$job'});
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# --- nights -----------------------------------------------------------------------------------------------

is(jobs_at('2026-03-10 15:00:00'), 'rollup retention', 'a new database is done at once');
is(jobs_at('2026-03-10 15:00:00'), '', 'and not again');
is(next_run('2026-03-10 15:00:00', 'rollup'), '2026-03-11 00:10:00', 'the next run is in the night');
is(jobs_at('2026-03-11 00:09:59'), '', 'not before its time');
is(jobs_at('2026-03-11 00:10:00'), 'rollup retention', 'at its time');
is(jobs_at('2026-03-11 00:10:01'), '', 'once');
is(jobs_at('2026-03-11 23:00:00'), '', 'not by day');

# --- missed nights ----------------------------------------------------------------------------------------

is(jobs_at('2026-03-15 09:00:00'), 'rollup retention', 'missed nights are made up, together');
is(next_run('2026-03-15 09:00:00', 'rollup'), '2026-03-16 00:10:00', 'then it is night by night again');

# --- the database's own schedule --------------------------------------------------------------------------

sql(q{SELECT slm_feedback.set_job('rollup', schedule => '03:30')});
sql(q{SELECT slm_feedback.set_job('retention', false)});
is(jobs_at('2026-03-16 00:10:00'), '', 'another time, and a job that is off');
is(jobs_at('2026-03-16 03:30:00'), 'rollup', 'at the other time');
sql(q{SELECT slm_feedback.set_job('refresh', schedule => '10 minutes')});
is(jobs_at('2026-03-16 03:39:59'), '', 'a rollup counts as a refresh');
is(jobs_at('2026-03-16 03:40:00'), 'refresh', 'ten minutes later the refresh is due');
sql(q{SELECT slm_feedback.set_job('refresh', schedule => 'default'), slm_feedback.set_job('rollup', schedule => 'default'),
	slm_feedback.set_job('retention', true)});
is(sql(q{SELECT job, schedule, enabled FROM slm_feedback.jobs WHERE job IN ('rollup', 'refresh', 'retention') ORDER BY position}),
	"rollup|nightly at 00:10|t\nrefresh|off|f\nretention|nightly at 00:10|t", 'back to the defaults');
foreach (
	[ q{'rollup', schedule => '25:00'}, 'Write a time of day as 02:30, or default.' ],
	[ q{'refresh', schedule => '-5 minutes'}, 'Write an interval of a second or more as 10 minutes, or default.' ],
	[ q{'alerts', schedule => '1 hour'}, 'It runs after each rollup' ],
	[ q{'roll'}, 'Choose one of: rollup, refresh, reports' ])
{
	my ($arguments, $hint) = @$_;
	my $stderr;
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT slm_feedback.set_job($arguments)", stderr => \$stderr);
	like($stderr, qr/ERROR:  22023: .*\Q$hint\E/s, "set_job($arguments) is refused");
}

# --- nights when the clock changes ------------------------------------------------------------------------

# Berlin: 2026-03-29 02:00 becomes 03:00 (CEST); 2026-10-25 03:00 becomes 02:00 (CET).
sql(q{SELECT slm_feedback.set_time_zone('Europe/Berlin'), slm_feedback.set_job('rollup', schedule => '02:30'), slm_feedback.set_job('retention', false)});
is(jobs_at('2026-03-28 01:30:00'), 'rollup', '02:30 CET');
is(next_run('2026-03-28 02:00:00', 'rollup'), '2026-03-29 01:30:00', 'a time that the clock skips is an hour later by the clock');
is(jobs_at('2026-03-29 01:29:59'), '', 'not before');
is(jobs_at('2026-03-29 01:30:00'), 'rollup', '03:30 CEST, once');
is(jobs_at('2026-03-29 02:30:00'), '', 'not twice');
is(jobs_at('2026-03-30 00:30:00'), 'rollup', '02:30 CEST');
is(jobs_at('2026-10-24 00:30:00'), 'rollup', 'in October');
is(jobs_at('2026-10-25 00:30:00'), '', 'a time that comes twice: not the first');
is(jobs_at('2026-10-25 01:30:00'), 'rollup', 'but the second');
is(jobs_at('2026-10-25 02:30:00'), '', 'once');
is(jobs_at('2026-10-26 01:30:00'), 'rollup', '02:30 CET');

# --- pauses after failures --------------------------------------------------------------------------------

sql(q{SELECT slm_feedback.set_time_zone('UTC'), slm_feedback.set_job('rollup', schedule => 'default'), slm_feedback.set_job('retention', true)});
sql(q{
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk of the test is full' USING ERRCODE = '53100'; END $$;
	CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON slm_feedback.rollup_runs FOR EACH STATEMENT EXECUTE FUNCTION fail()});
is(jobs_at('2026-11-01 00:10:00'), 'rollup failed retention', 'a job that fails does not stop the next');
is(sql(q{SELECT status, sqlstate, error FROM slm_feedback.job_runs WHERE job = 'rollup' ORDER BY run_id DESC LIMIT 1}),
	'failed|53100|disk of the test is full', 'its error is logged');
my @pauses;
my $now = '2026-11-01 00:10:00';
foreach (1 .. 9)
{
	my $next = next_run($now, 'rollup');
	push @pauses, sql("SELECT extract(epoch FROM timestamp '$next' - timestamp '$now')::integer / 60");
	is(jobs_at(sql("SELECT timestamp '$next' - interval '1 second'")), '', 'not before') if $_ == 3;
	is(jobs_at($next), 'rollup failed', "at $next");
	$now = $next;
}
is("@pauses", '1 2 4 8 16 32 60 60 60', 'the pauses grow');
is(sql(qq{SET slm_feedback.debug_now = '$now'; SELECT status, failures, last_error FROM slm_feedback.report_jobs() WHERE job = 'rollup'}),
	'failed|10|disk of the test is full', 'report_jobs() tells');
sql('DROP TRIGGER fail ON slm_feedback.rollup_runs');
is(jobs_at(next_run($now, 'rollup')), 'rollup', 'until it works');
is(sql(qq{SET slm_feedback.debug_now = '2026-11-02 00:00:00'; SELECT status, failures, next_run FROM slm_feedback.report_jobs() WHERE job = 'rollup'}),
	'done|0|2026-11-02 00:10:00+00', 'and then as always');

# Runs that died: at once again, then with pauses, too.
sql(q{INSERT INTO slm_feedback.job_runs (job, started_at) VALUES ('rollup', '2026-11-02 00:10:00+00')});
is(next_run('2026-11-02 00:11:00', 'rollup'), '2026-11-02 00:10:00', 'after one interruption it is due at once');
sql(q{INSERT INTO slm_feedback.job_runs (job, started_at) VALUES ('rollup', '2026-11-02 00:11:00+00')});
is(next_run('2026-11-02 00:11:00', 'rollup'), '2026-11-02 00:12:00', 'after two, in a minute');
is(sql(q{SET slm_feedback.debug_now = '2026-11-02 00:11:30'; SELECT status, lag IS NULL FROM slm_feedback.report_jobs() WHERE job = 'rollup'}),
	'interrupted|t', 'report_jobs() knows that it does not run');
is(jobs_at('2026-11-02 00:12:00'), 'rollup retention', 'then');
is(sql(q{SELECT status FROM slm_feedback.job_runs WHERE job = 'rollup' ORDER BY run_id DESC LIMIT 3}), "done\ninterrupted\ninterrupted", 'logged');

# --- the log is bounded -----------------------------------------------------------------------------------

sql(q{INSERT INTO slm_feedback.job_runs (job, started_at, ended_at, status)
	SELECT 'rollup', '2026-11-02 00:20:00+00', '2026-11-02 00:20:00+00', 'done' FROM generate_series(1, 1000)});
sql(q{CALL slm_feedback.run_jobs('rollup')});
is(sql(q{SELECT count(*), min(status) FROM slm_feedback.job_runs WHERE job = 'rollup'}), '200|done', 'the newest 200 runs are kept');

# --- run_jobs() -------------------------------------------------------------------------------------------

my $stderr;
$node->psql('postgres', 'BEGIN; CALL slm_feedback.run_jobs()', stderr => \$stderr);
like($stderr, qr/run_jobs\(\) cannot run inside a transaction block/, 'not in a transaction block');
$node->psql('postgres', q{DO $$ BEGIN CALL slm_feedback.run_jobs('rollup'); END $$}, stderr => \$stderr);
is($stderr, '', 'but in a DO block that may commit');
$node->psql('postgres', q{LOAD 'slm_feedback'; SET slm_feedback.debug_now = '2026-02-30 00:00:00'}, stderr => \$stderr);
like($stderr, qr/Write YYYY-MM-DD HH:MM:SS in UTC/, 'a wrong debug_now is refused');

# --- the worker, too, follows the clock -------------------------------------------------------------------

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'slm_feedback'\nslm_feedback.debug_now = '2026-12-01 12:00:00'");
$node->restart;
my $nights = q{SELECT count(*) FROM slm_feedback.job_runs WHERE job = 'rollup' AND status = 'done' AND started_at >= '2026-12-01'};
ok($node->poll_query_until("postgres", $nights, "1"),
	'the worker makes up for missed nights at its start');
foreach my $day (2 .. 4)
{
	$node->append_conf('postgresql.conf', sprintf("slm_feedback.debug_now = '2026-12-%02d 00:10:00'", $day));
	$node->reload;
	ok($node->poll_query_until('postgres', $nights, $day), "the night of December $day");
}

# --- a restore keeps the worker away, for a day -----------------------------------------------------------

sub clock_at
{
	$node->append_conf('postgresql.conf', "slm_feedback.debug_now = '$_[0]'");
	$node->reload;
}
clock_at('2026-12-04 12:00:00');
my $out = '';
my $restore = IPC::Run::start([ 'psql', '-X', '-q', '-At', '-d', $node->connstr('postgres'), '-c', 'SET row_security = off', '-c', 'SET check_function_bodies = off',
	'-c', q{SELECT slm_feedback.record_query('restored', request_id => 'restored')}, '-c', 'SELECT pg_sleep(600)' ], '<', '/dev/null', '>', \$out, '2>', \$stderr);
ok($node->poll_query_until('postgres', q{SELECT bool_and(paused ~ '^session [0-9]+ restores a dump since 2026-12-04 12:00:00') FROM slm_feedback.report_jobs()}), 'report_jobs() tells of a restore')
  or diag(sql('SELECT job, paused FROM slm_feedback.report_jobs()'));
clock_at('2026-12-05 00:10:00');
sleep 3;
is(sql($nights), '4', 'while the session is there, no job runs');
clock_at('2026-12-05 12:00:00');
ok($node->poll_query_until('postgres', $nights, '5'), 'after a day it counts no longer');
is(sql(q{SELECT count(paused) FROM slm_feedback.report_jobs()}), '0', 'and is not shown');
$restore->kill_kill;

$node->stop;
done_testing();
