# The launcher and its workers on a real server: several databases, workers and servers that die in mid-job,
# databases and extensions that are dropped under them, no free slot, and nothing at all while nothing is due.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'slm_feedback'
slm_feedback.refresh_interval = 1h
autovacuum = off
max_worker_processes = 8
log_line_prefix = '%m [%p] %q%a '
});
$node->start;

sub sql
{
	my ($database, $sql) = @_;
	return $node->safe_psql($database, $sql);
}

sub eventually
{
	my ($database, $condition, $name) = @_;
	return ok($node->poll_query_until($database, "SELECT $condition"), $name);
}

sub log_since
{
	my ($offset) = @_;
	return substr(slurp_file($node->logfile), $offset);
}

sub log_size
{
	return -s $node->logfile;
}

my $queries = q{
	SELECT count(*) FROM slm_feedback.record_queries((
		SELECT jsonb_agg(jsonb_build_object('request_id', 'q' || i, 'query_text', 'question ' || i % 10,
			'created_at', '2026-02-01 00:00+00'::timestamptz + i * interval '6 hours', 'user_id', 'user ' || i % 7))
		FROM generate_series(0, 39) i))};

# Makes the third day of a rollup wait until the brake is taken off.
my $brake = q{
	CREATE TABLE public.brake ();
	CREATE FUNCTION public.brake() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF new.date = '2026-02-03' AND pg_catalog.to_regclass('public.brake') IS NOT NULL THEN
			PERFORM pg_catalog.pg_sleep(600);
		END IF;
		RETURN new;
	END $$;
	CREATE TRIGGER brake BEFORE INSERT ON slm_feedback.daily_metrics FOR EACH ROW EXECUTE FUNCTION public.brake()};

my $worker_in = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'slm_feedback worker' AND datname = '%s'
	AND wait_event = 'PgSleep'};

sub braked
{
	my ($database) = @_;
	return eventually('postgres', 'EXISTS (' . sprintf($worker_in, $database) . ')', "a worker is in mid-job in $database");
}

# A database whose rollup stops on the third day.
sub braked_database
{
	my ($database) = @_;
	sql('postgres', "CREATE DATABASE $database");
	sql($database, "BEGIN; CREATE EXTENSION slm_feedback CASCADE; $queries; $brake; COMMIT");
	braked($database);
}

# Everything is rolled up, exactly once a day, by the worker.
sub rolled_up
{
	my ($database, $name) = @_;
	eventually($database,
		"(SELECT count(*) = 10 AND sum(total_queries) = 40 FROM slm_feedback.daily_metrics
		  WHERE model IS NULL AND prompt_version IS NULL)
		 AND EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'retention' AND status = 'done')",
		"$name: the worker did every job");
	# While a transaction hides its start (a session that is just beginning), a run makes no day final; the next one does.
	my $final = q{SELECT coalesce(final_through >= '2026-02-10', false) FROM slm_feedback.rollup_state};
	sql($database, 'CALL slm_feedback.rollup()') if sql($database, $final) ne 't';
	is(sql($database, $final), 't', "$name: the days are final");
}

# --- two databases at once, and those that are left alone -------------------------------------------------

sql('postgres', 'CREATE DATABASE closed');
sql('closed', "BEGIN; CREATE EXTENSION slm_feedback CASCADE; $queries; COMMIT");
eventually('closed', "EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'rollup' AND status = 'done')",
	'a new extension is found at once');
eventually('postgres', "NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'slm_feedback worker' AND datname = 'closed')",
	'and the worker leaves when its last job is done');
sql('closed', 'DELETE FROM slm_feedback.job_runs');
sql('postgres', 'CREATE DATABASE a_template TEMPLATE closed; ');
sql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false; ALTER DATABASE a_template IS_TEMPLATE true');

braked_database('first');
braked_database('second');
is( sql('postgres', q{SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_stat_activity WHERE backend_type = 'slm_feedback worker'}),
	'first,second', 'two databases are worked on at once');
is(sql('first', q{SELECT status FROM slm_feedback.report_jobs() WHERE job = 'rollup'}), 'running', 'report_jobs() tells');
like(sql('postgres', q{SELECT query FROM pg_stat_activity WHERE backend_type = 'slm_feedback worker' AND datname = 'first'}),
	qr/slm_feedback rollup: day 2026-02-03, 3 of 10/, 'pg_stat_activity tells how far it is');

# --- no job twice at once ---------------------------------------------------------------------------------

my ($out, $err) = ('', '');
my $started = time;
$node->psql('first', 'CALL slm_feedback.run_jobs()', stdout => \$out, stderr => \$err);
$node->psql('first', q{CALL slm_feedback.run_jobs('refresh')}, stdout => \$out, stderr => \$err);
like($err, qr/NOTICE:  job "refresh" is already running/, 'run_jobs() beside the worker does not run the rollup again');
cmp_ok(time - $started, '<', 20, 'and does not wait for it');
is(sql('first', q{SELECT count(*) FROM slm_feedback.job_runs WHERE job IN ('rollup', 'refresh')}), '1', 'there is one run');

# --- a worker that is killed ------------------------------------------------------------------------------

sql('first', 'DROP TABLE public.brake');
my $offset = log_size();
sql('postgres', 'SELECT pg_terminate_backend(pid) FROM (' . sprintf($worker_in, 'first') . ') w');
rolled_up('first', 'after a worker was terminated');
is(sql('first', q{SELECT status FROM slm_feedback.job_runs WHERE job = 'rollup' ORDER BY run_id}), "interrupted\ndone",
	'the log of jobs tells of both runs');
is(sql('second', q{SELECT status FROM slm_feedback.report_jobs() WHERE job = 'rollup'}), 'running', 'the other database was not disturbed');

# A cancelled job fails by itself: the worker goes on with the next jobs.
sql('second', 'DROP TABLE public.brake');
sql('postgres', 'SELECT pg_cancel_backend(pid) FROM (' . sprintf($worker_in, 'second') . ') w');
eventually('second', q{EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'retention' AND status = 'done')}, 'a cancelled job does not stop the others');
is(sql('second', q{SELECT status, sqlstate FROM slm_feedback.job_runs WHERE job = 'rollup'}), 'failed|57014', 'and is logged');
is(sql('second', q{SELECT next_run BETWEEN last_started_at + last_duration + interval '55 seconds' AND last_started_at + last_duration + interval '65 seconds', failures
	FROM slm_feedback.report_jobs() WHERE job = 'rollup'}), 't|1', 'it is tried again after a minute');
sql('second', q{CALL slm_feedback.run_jobs('rollup')});
rolled_up('second', 'run by hand meanwhile');

# --- the launcher that is killed --------------------------------------------------------------------------

my $launcher = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'slm_feedback launcher'};
my $pid = sql('postgres', $launcher);
sql('postgres', "SELECT pg_terminate_backend($pid)");
eventually('postgres', "EXISTS ($launcher AND pid <> $pid)", 'the launcher comes back');

# --- databases that are dropped, copied, renamed ----------------------------------------------------------

braked_database('doomed');
$started = time;
sql('postgres', 'DROP DATABASE doomed');
cmp_ok(time - $started, '<', 5, 'DROP DATABASE during a rollup');

braked_database('original');
sql('postgres', 'CREATE DATABASE copy TEMPLATE original');
pass('CREATE DATABASE ... TEMPLATE during a rollup');
sql('original', 'DROP TABLE public.brake');
sql('copy', 'DROP TABLE public.brake; SELECT count(*) FROM slm_feedback.report_summary()');
rolled_up('copy', 'a copied database');
eventually('postgres', 'NOT EXISTS (' . sprintf($worker_in, 'original') . ')', 'the worker left the original');
braked_database('old_name');
sql('postgres', 'ALTER DATABASE old_name RENAME TO new_name');
sql('new_name', 'DROP TABLE public.brake');
rolled_up('new_name', 'a renamed database');

my $elsewhere = PostgreSQL::Test::Utils::tempdir();
sql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$elsewhere'");
braked_database('moved');
sql('postgres', 'ALTER DATABASE moved SET TABLESPACE elsewhere');
sql('moved', 'DROP TABLE public.brake');
rolled_up('moved', 'a database that was moved to another tablespace');
sql('postgres', 'DROP DATABASE moved');
sql('postgres', 'DROP TABLESPACE elsewhere');

braked_database('forced');
sql('postgres', 'DROP DATABASE forced WITH (FORCE)');
pass('DROP DATABASE ... WITH (FORCE)');

# Somebody who may not drop the database cannot disturb its worker.
braked_database('guarded');
sql('postgres', 'CREATE ROLE nobody_special LOGIN CREATEDB');
$node->psql('postgres', 'DROP DATABASE guarded', extra_params => [ '-U', 'nobody_special' ], stderr => \$err);
like($err, qr/must be owner of database guarded/, 'somebody else cannot drop it');
$node->psql('postgres', 'CREATE DATABASE mine TEMPLATE guarded', extra_params => [ '-U', 'nobody_special' ], stderr => \$err);
like($err, qr/permission denied to copy database "guarded"/, 'nor copy it');
braked('guarded');

# --- DROP EXTENSION and ALTER EXTENSION UPDATE ------------------------------------------------------------

# Waits for the day that is being rolled up, then goes through; the worker leaves quietly.
$offset = log_size();
my $drop = IPC::Run::start([ 'psql', '-X', '-q', '-c', 'DROP EXTENSION slm_feedback', '-d', $node->connstr('guarded') ], '>', \$out, '2>', \$err);
eventually('guarded', q{EXISTS (SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DROP EXTENSION%' AND wait_event_type = 'Lock')},
	'DROP EXTENSION waits for the day that is being rolled up');
$err = '';
sql('postgres', 'SELECT pg_cancel_backend(pid) FROM (' . sprintf($worker_in, 'guarded') . ') w');
ok($drop->finish, 'and goes through');
is($err, '', 'without an error');
eventually('postgres', q{NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'slm_feedback worker' AND datname = 'guarded')},
	'the worker leaves');
unlike(log_since($offset), qr/deadlock|does not exist/, 'quietly');
sql('guarded', "BEGIN; DROP TABLE public.brake; CREATE EXTENSION slm_feedback; $queries; COMMIT");
eventually('guarded', q{EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'retention' AND status = 'done')}, 'a new extension is found again');
sql('guarded', 'ALTER EXTENSION slm_feedback UPDATE');
pass('ALTER EXTENSION UPDATE');

# --- no free slot -----------------------------------------------------------------------------------------

$offset = log_size();
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
# Our launcher has one slot, that of logical replication the other.
sleep 12;
is(() = log_since($offset) =~ /found no free background worker slot/g, 1, 'no free worker slot is logged once');
sql('first', 'DELETE FROM slm_feedback.job_runs');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
eventually('first', q{EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'retention' AND status = 'done')}, 'with a slot the jobs are done');

# --- a server that is killed in mid-job -------------------------------------------------------------------

braked_database('crashed');
sql('crashed', 'DROP TABLE public.brake');
$node->stop('immediate');
$node->start;
rolled_up('crashed', 'after a server was killed in mid-job');
is(sql('crashed', q{SELECT status FROM slm_feedback.job_runs WHERE job = 'rollup' ORDER BY run_id}), "interrupted\ndone",
	'the log of jobs tells of both runs');

# The same of one worker: the server restarts all its processes.
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
braked_database('killed');
sql('killed', 'DROP TABLE public.brake');
kill 'KILL', sql('postgres', sprintf($worker_in, 'killed'));
eventually('killed', q{EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'rollup' AND status = 'done')}, 'a worker that is killed comes back');
rolled_up('killed', 'after a worker was killed in mid-job');
is(sql('killed', q{SELECT status FROM slm_feedback.job_runs WHERE job = 'rollup' ORDER BY run_id}), "interrupted\ndone",
	'and finds its job interrupted');
$node->append_conf('postgresql.conf', 'restart_after_crash = off');
$node->reload;

# --- settings that are reloaded ---------------------------------------------------------------------------

$node->append_conf('postgresql.conf', 'slm_feedback.worker = off');
$node->reload;
sleep 1;
sql('first', q{DELETE FROM slm_feedback.job_runs});
sql('first', q{SELECT slm_feedback.set_job('refresh', schedule => '1 second')});
sleep 3;
is(sql('first', 'SELECT count(*) FROM slm_feedback.job_runs'), '0', 'switched off, the worker does nothing');
$node->append_conf('postgresql.conf', 'slm_feedback.worker = on');
$node->reload;
eventually('first', q{(SELECT count(*) > 2 FROM slm_feedback.job_runs WHERE job = 'refresh')}, 'switched on, it refreshes as often as the database asks');
sql('first', q{SELECT slm_feedback.set_job('refresh', schedule => 'default')});
$node->append_conf('postgresql.conf', 'slm_feedback.refresh_interval = 1s');
$node->reload;
eventually('second', q{(SELECT count(*) > 2 FROM slm_feedback.job_runs WHERE job = 'refresh')}, 'a shorter refresh_interval counts at once');
$node->append_conf('postgresql.conf', 'slm_feedback.refresh_interval = 1h');
$node->reload;
my ($ret) = $node->psql('postgres', q{ALTER SYSTEM SET slm_feedback.nightly_time = '25:00'}, stderr => \$err);
like($err, qr/invalid value for parameter "slm_feedback.nightly_time": "25:00".*Write a time of day/s, 'a wrong nightly_time is refused');

# --- a dump that is restored under it --------------------------------------------------------------------

# Every table of the dump is restored slowly, with a worker that would be glad to work every second.
sql('first', q{SELECT slm_feedback.set_job('refresh', schedule => '1 second'), slm_feedback.set_min_group_users(0)});
eventually('first', q{EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE job = 'refresh' AND status = 'done')}, 'the worker is busy');
my $dump = $PostgreSQL::Test::Utils::tmp_check . '/first';
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dump.dir", $node->connstr('first') ], 'a dump');
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", $node->connstr('first') ], 'and as a script');
my $script = slurp_file("$dump.sql");
is(($script =~ s/^(COPY slm_feedback)/SELECT pg_catalog.pg_sleep(0.3);\n$1/mg) > 5, 1, 'a script with pauses');
append_to_file("$dump.slow.sql", $script);
foreach (
	[ 'by_script', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dump.slow.sql" ],
	[ 'by_restore', 'pg_restore', '--exit-on-error', "$dump.dir" ],
	[ 'by_jobs', 'pg_restore', '--exit-on-error', '--jobs', '2', "$dump.dir" ])
{
	my ($database, @command) = @$_;
	sql('postgres', "CREATE DATABASE $database");
	$node->command_ok([ @command, '-d', $node->connstr($database) ], "$database: a dump is restored while the worker runs");
	my $restored = sql($database, q{SELECT max(run_id) FROM slm_feedback.job_runs});
	eventually($database, qq{EXISTS (SELECT 1 FROM slm_feedback.job_runs WHERE status = 'done' AND run_id > $restored)}, "$database: then the worker works there");
}
sql('postgres', "DROP DATABASE $_") foreach qw(by_script by_restore by_jobs);
sql('first', q{SELECT slm_feedback.set_job('refresh', schedule => 'default')});

# --- who keeps the worker away, and who does not ----------------------------------------------------------

sql('postgres', 'CREATE DATABASE paused');
sql('paused', "BEGIN; CREATE EXTENSION slm_feedback CASCADE; $queries; CREATE ROLE writer LOGIN; SELECT slm_feedback.grant_access('writer', 'app');
	SELECT slm_feedback.set_job('refresh', schedule => '1 second'); COMMIT");
my $refreshes = q{SELECT count(*) FROM slm_feedback.job_runs WHERE job = 'refresh'};
my $paused = q{SELECT string_agg(DISTINCT paused, ',') FROM slm_feedback.report_jobs()};

# A session with the two settings that every dump begins with; it stays connected.
sub session_like_a_dump
{
	my ($role, @then) = @_;
	$out = '';
	my $session = IPC::Run::start([ 'psql', '-X', '-q', '-At', '-U', $role, '-d', $node->connstr('paused'),
		map { ('-c', $_) } 'SET row_security = off', 'SET check_function_bodies = off', "SELECT slm_feedback.record_query('q')", @then,
		"SELECT 'there'", 'SELECT pg_sleep(600)' ], '<', '/dev/null', '>', \$out, '2>', \$err);
	$session->pump until $out =~ /there/ || !$session->pumpable;
	like($out, qr/there/, "a session of $role with the settings of a dump");
	return $session;
}

sub end_session
{
	my ($session) = @_;
	sql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND datname = 'paused'});
	$session->finish;
}
eventually('paused', "($refreshes) > 1", 'the worker refreshes every second');
my $session = session_like_a_dump('writer');
my $count = sql('paused', $refreshes);
eventually('paused', "($refreshes) > $count + 2", 'a writer with the settings of a dump does not stop it');
is(sql('paused', $paused), '', 'and is no restore');
end_session($session);
my $superuser = sql('paused', 'SELECT current_user');
$session = session_like_a_dump($superuser);
like(sql('paused', $paused), qr/^session \d+ restores a dump since /, 'that of a superuser is one');
sleep 2;
$count = sql('paused', $refreshes);
sleep 3;
is(sql('paused', $refreshes), $count, 'and keeps the worker away');
end_session($session);
eventually('paused', "($refreshes) > $count + 1", 'until it ends');
is(sql('paused', $paused), '', 'then there is no restore');
$session = session_like_a_dump($superuser, 'RESET row_security');
is(sql('paused', $paused), '', 'a connection that has reset the settings is none either');
$count = sql('paused', $refreshes);
eventually('paused', "($refreshes) > $count + 2", 'and the worker goes on');
end_session($session);

# --- a schema that is renamed -----------------------------------------------------------------------------

$offset = log_size();
sql('paused', 'ALTER SCHEMA slm_feedback RENAME TO renamed');
foreach (1 .. 200)
{
	last if log_since($offset) =~ /leaves database \d+ alone/;
	sleep 0.1;
}
like(log_since($offset), qr/slm_feedback worker leaves database \d+ alone: schema "slm_feedback" does not exist/, 'the worker says what is wrong');
$node->psql('paused', 'SELECT * FROM renamed.report_summary()', stderr => \$err);
like($err, qr/schema "slm_feedback" does not exist.*HINT:  Run ALTER SCHEMA ... RENAME TO slm_feedback/s, 'so does a function');
sql('paused', 'ALTER SCHEMA renamed RENAME TO slm_feedback');
$count = sql('paused', $refreshes);
sql('paused', 'SELECT count(*) FROM slm_feedback.report_summary()');
eventually('paused', "($refreshes) > $count", 'renamed back, the next session that uses the extension brings the worker');
sql('postgres', 'DROP DATABASE paused');
sql('postgres', 'DROP ROLE writer');

# --- nothing while nothing is due -------------------------------------------------------------------------

my $transactions = q{SELECT datname, xact_commit + xact_rollback FROM pg_stat_database
	WHERE datname NOT IN ('postgres', 'template0') ORDER BY 1};
sleep 3;
my $before = sql('postgres', $transactions);
my $own = sql('postgres', q{SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'});
my $cpu = cpu_of(sql('postgres', $launcher));
sleep 60;
is(sql('postgres', $transactions), $before, 'a quiet minute without a transaction in any database');
is(cpu_of(sql('postgres', $launcher)), $cpu, 'the launcher used no processor time');
note($before);
cmp_ok(sql('postgres', q{SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'}) - $own, '<', 10,
	'but for our own in this database');

sub cpu_of
{
	my ($pid) = @_;
	my @fields = split ' ', slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;
	return "$fields[11] $fields[12]";
}

is(sql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'slm_feedback worker'}), '0', 'no worker stays connected');
sql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS true');
is(sql('closed', 'SELECT count(*) FROM slm_feedback.job_runs'), '0', 'a database that takes no connections was left alone');
is(sql('a_template', 'SELECT count(*) FROM slm_feedback.job_runs'), '0', 'so was a template');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11|signal 6|deadlock detected/, 'nothing bad in the log');

$node->stop;
done_testing();
