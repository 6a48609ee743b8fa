# A server killed with SIGKILL in the middle of rollups and batches: nothing that was acknowledged is lost, a
# batch is whole or not there, and reports and the next rollup are exact.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nrestart_after_crash = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

# Kills every process of the server at once. The postmaster is stopped first, so that it neither starts nor
# ends any process meanwhile; a backend that outlived it could still commit.
sub crash
{
	my $postmaster = $node->{_pid};
	kill 'STOP', $postmaster;
	my @children;
	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		open my $stat, '<', $file or next;
		my $line = <$stat> // next;
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $postmaster;
	}
	kill 'KILL', @children;
	$node->kill9;
	foreach my $try (1 .. 100)
	{
		last unless grep { kill 0, $_ } @children;
		usleep(100_000);
	}
	return scalar @children;
}

# Runs a script in the background; what it prints can be read from the file $name.out at any time.
my $directory = $PostgreSQL::Test::Utils::tmp_check;

sub start_psql
{
	my ($name, $script) = @_;
	append_to_file("$directory/$name.sql", $script);
	return IPC::Run::start(
		[ 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-f', "$directory/$name.sql", '-d', $node->connstr('postgres') ],
		'<', '/dev/null', '>', "$directory/$name.out", '2>', '/dev/null');
}

sub output_of
{
	my ($name) = @_;
	return -e "$directory/$name.out" ? slurp_file("$directory/$name.out") : '';
}

# Days whose stored metrics differ from those recomputed from the raw rows. Sketches stand for themselves:
# how a t-digest splits equal data may depend on the order of rows.
my $different_days = q{
	WITH days AS (
		SELECT DISTINCT slm_feedback.day_of(created_at) AS day FROM slm_feedback.queries
		UNION SELECT date FROM slm_feedback.daily_metrics
	), raw AS (
		SELECT c.* FROM days, LATERAL slm_feedback.day_metrics(days.day) c
	)
	SELECT DISTINCT date
	FROM (SELECT to_jsonb(m) - '{refreshed_at,users,response_times,p50_response_time_ms,p95_response_time_ms,p99_response_time_ms}'::text[] AS row, m.date
	      FROM %s m) stored
	FULL JOIN (SELECT to_jsonb(r) - '{refreshed_at,users,response_times,p50_response_time_ms,p95_response_time_ms,p99_response_time_ms}'::text[] AS row, r.date
	      FROM raw r) recomputed USING (row, date)
	WHERE stored.row IS NULL OR recomputed.row IS NULL
	ORDER BY date};

# Counted without any function of the extension.
my $plain_counts = q{
	SELECT (created_at AT TIME ZONE 'UTC')::date, count(*) FROM slm_feedback.queries GROUP BY 1 ORDER BY 1};

sub check_exact
{
	my ($name) = @_;
	is($node->safe_psql('postgres', sprintf($different_days, q{slm_feedback.metrics('2026-01-01', '2100-01-01')})),
		'', "$name: reports are exact before the next rollup");
	$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
	is($node->safe_psql('postgres', sprintf($different_days, 'slm_feedback.daily_metrics')),
		'', "$name: stored metrics are exact after it");
	is( $node->safe_psql(
			'postgres',
			'SELECT date, total_queries FROM slm_feedback.daily_metrics WHERE model IS NULL AND prompt_version IS NULL ORDER BY 1'),
		$node->safe_psql('postgres', $plain_counts),
		"$name: every query is counted on its day");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM slm_feedback.rollup_queue'), '0', "$name: no mark is left");
}

# --- killed in the middle of a rollup, in the middle of a day ---------------------------------------------

$node->safe_psql(
	'postgres', q{
	SELECT count(*) FROM slm_feedback.record_queries((
		SELECT jsonb_agg(jsonb_build_object('request_id', 'start-' || i, 'query_text', 'question ' || i % 50,
			'created_at', '2026-02-01 00:00+00'::timestamptz + i * interval '20 minutes',
			'user_id', 'user ' || i % 40, 'model', 'model ' || i % 3, 'response_time_ms', i % 900))
		FROM generate_series(1, 2000) i));
	-- The test's own brake: the tenth day stops half-way.
	CREATE FUNCTION brake() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF new.date = '2026-02-10' AND new.model = 'model 1' THEN
			PERFORM pg_sleep(600);
		END IF;
		RETURN new;
	END $$;
	CREATE TRIGGER brake BEFORE INSERT ON slm_feedback.daily_metrics FOR EACH ROW EXECUTE FUNCTION brake()});

my $rollup = start_psql('rollup', 'CALL slm_feedback.rollup();');
ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
	'the rollup is in the middle of a day');
like(
	$node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
	qr/slm_feedback rollup: day 2026-02-10, 10 of \d+/,
	'pg_stat_activity tells how far it is');
$node->safe_psql('postgres', "SELECT slm_feedback.submit_feedback('start-20', true)");
cmp_ok(crash(), '>', 3, 'killed in the middle of a rollup');
$rollup->finish;
$node->start;
is($node->safe_psql('postgres', 'SELECT min(date), max(date) FROM slm_feedback.daily_metrics'),
	'2026-02-01|2026-02-09', 'the days done before are kept, the half-done day is not');
is($node->safe_psql('postgres', "SELECT is_helpful FROM slm_feedback.feedback WHERE request_id = 'start-20'"),
	't', 'feedback acknowledged meanwhile is there');
$node->safe_psql('postgres', 'DROP TRIGGER brake ON slm_feedback.daily_metrics');
check_exact('killed in a rollup');
is($node->safe_psql('postgres', 'SELECT status FROM slm_feedback.rollup_runs ORDER BY run_id'),
	"interrupted\ndone", 'the log tells of the interrupted run');

# The same when all days are final and only marks tell what is left to do.
$node->safe_psql(
	'postgres', q{
	SELECT count(slm_feedback.submit_feedback(request_id, false, user_id => 'late rater'))
	FROM slm_feedback.queries WHERE created_at::date IN ('2026-02-05', '2026-02-10', '2026-02-15');
	CREATE TRIGGER brake BEFORE INSERT ON slm_feedback.daily_metrics FOR EACH ROW EXECUTE FUNCTION brake()});
$rollup = start_psql('rollup_of_marks', 'CALL slm_feedback.rollup();');
ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
	'the rollup is in the middle of a marked day');
crash();
$rollup->finish;
$node->start;
is($node->safe_psql('postgres', 'SELECT DISTINCT date FROM slm_feedback.rollup_queue ORDER BY 1'),
	"2026-02-10\n2026-02-15", 'the marks of the days that were not done are there');
$node->safe_psql('postgres', 'DROP TRIGGER brake ON slm_feedback.daily_metrics');
check_exact('killed among marked days');

# --- killed in the middle of batches, with rollups all the time -------------------------------------------

# Three writers: every batch says its number once it is committed. Half of its queries belong to today, half
# to earlier days, and so does the feedback.
sub writer_script
{
	my ($writer) = @_;
	return join '', map {
		qq{
		SELECT '$writer-$_ queries ' || count(*) FROM slm_feedback.record_queries((
			SELECT jsonb_agg(jsonb_build_object('request_id', '$writer-$_-' || i, 'query_text', 'question ' || i % 50,
				'created_at', now() - (i % 2) * (i % 40) * interval '1 day', 'user_id', 'user ' || i % 40,
				'model', 'model ' || i % 3, 'response_time_ms', i % 900))
			FROM generate_series(1, 400) i)) WHERE status = 'recorded';
		SELECT '$writer-$_ feedback ' || count(*) FROM slm_feedback.submit_feedback_batch((
			SELECT jsonb_agg(jsonb_build_object('request_id', '$writer-$_-' || i, 'is_helpful', i % 3 = 0,
				'user_id', 'rater ' || i % 2))
			FROM generate_series(1, 400, 3) i)) WHERE status = 'submitted';
		}
	} 1 .. 5000;
}

foreach my $round (1 .. 3)
{
	my @writers = map { "w$round$_" } 0 .. 2;
	my @clients = map { start_psql($_, writer_script($_)) } @writers;
	push @clients, start_psql("rollups_$round", "CALL slm_feedback.rollup();\n" x 5000);
	# Wait until each writer has committed some batches, then let chance choose the moment.
	foreach my $try (1 .. 600)
	{
		last unless grep { (output_of($_) =~ tr/\n//) < 6 } @writers;
		usleep(50_000);
	}
	usleep(int rand 200_000);
	crash();
	$_->finish foreach @clients;
	$node->start;

	my %acknowledged = (queries => [], feedback => []);
	foreach (map { split /\n/, output_of($_) } @writers)
	{
		push @{ $acknowledged{$2} }, $1 if /^(\S+) (queries|feedback) \d+$/;
	}
	cmp_ok(scalar @{ $acknowledged{queries} }, '>', 8, "round $round: batches were acknowledged before the crash");
	note(scalar(@{ $acknowledged{$_} }), " batches of $_ acknowledged") foreach qw(queries feedback);
	foreach ([ queries => 400 ], [ feedback => 134 ])
	{
		my ($table, $size) = @$_;
		my $stored = "SELECT regexp_replace(request_id, '-[^-]+\$', '') AS batch, count(*) AS rows
			FROM slm_feedback.$table WHERE request_id LIKE 'w$round%' GROUP BY 1";
		my $list = join ',', map { "('$_')" } @{ $acknowledged{$table} };
		is( $node->safe_psql('postgres', "SELECT a.batch FROM (VALUES $list) a (batch) LEFT JOIN ($stored) s USING (batch) WHERE s.rows IS NULL"),
			'', "round $round: no acknowledged batch of $table is lost");
		is($node->safe_psql('postgres', "SELECT batch, rows FROM ($stored) s WHERE rows <> $size"),
			'', "round $round: no batch of $table is there in part");
	}
	check_exact("round $round");
}

$node->stop;
done_testing();
