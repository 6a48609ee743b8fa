# Every procedure, interrupted at 200 random points (of a fixed seed) each, half of them a cancel, half a
# termination: afterwards the session goes on or is gone, holds no lock and no transaction, and the stored metrics
# are what the raw rows give. SLM_INTERRUPTIONS sets another number of points.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $points = $ENV{SLM_INTERRUPTIONS} || 200;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $key_file = $node->basedir . '/pseudonym_keys';
append_to_file($key_file, 'k1:' . join('', map { sprintf '%02x', int rand 256 } 1 .. 32) . "\n");
chmod 0600, $key_file;
$node->append_conf('postgresql.conf', "slm_feedback.pseudonym_key_file = '$key_file'\nautovacuum = off\nlog_min_messages = fatal\n");
$node->start;
plan skip_all => "dblink is not installed (the server's contrib package)"
  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'}) eq '0';

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# 8 days of questions, and opinions on some of them.
sql(q{
CREATE EXTENSION slm_feedback CASCADE;
CREATE EXTENSION dblink;
CREATE FUNCTION add_queries(name text, first_day int, days int, a_day int) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM slm_feedback.record_queries((
		SELECT jsonb_agg(jsonb_build_object('request_id', concat(name, '/', day, '/', i), 'query_text', 'question ' || i % 10,
			'user_id', 'user ' || i % 20, 'model', 'model ' || i % 2, 'response_time_ms', i % 700,
			'created_at', date_trunc('day', now(), 'UTC') - day * interval '1 day' + i * interval '1 day' / a_day))
		FROM generate_series(first_day - days + 1, first_day) day, generate_series(0, a_day - 1) i))
$$;
SELECT add_queries('q', 8, 8, 30);
SELECT count(*) FROM slm_feedback.submit_feedback_batch((
	SELECT jsonb_agg(jsonb_build_object('request_id', q.request_id, 'rating', 3, 'user_id', 'rater'))
	FROM slm_feedback.queries q WHERE q.request_id LIKE '%0'));
SELECT slm_feedback.set_alert_rule('many', 'total_queries', 'above', 1);
CALL slm_feedback.rollup();

-- Rows of final, unmarked days in which the stored metrics and a computation now differ.
CREATE FUNCTION differing_metrics() RETURNS bigint LANGUAGE sql AS $$
	WITH day AS (
		SELECT d.day FROM slm_feedback.rollup_state s, slm_feedback.days_with_queries(NULL) d (day)
		WHERE d.day >= coalesce(s.purged_before, '-infinity') AND d.day <= s.final_through
			AND NOT EXISTS (SELECT 1 FROM slm_feedback.rollup_queue q WHERE q.date = d.day)
	), stored AS (
		SELECT to_jsonb(m) - 'refreshed_at' FROM slm_feedback.daily_metrics m JOIN day d ON d.day = m.date
	), computed AS (
		SELECT to_jsonb(m) - 'refreshed_at' FROM day d, slm_feedback.day_metrics(d.day) m
	)
	SELECT (SELECT count(*) FROM (TABLE stored EXCEPT ALL TABLE computed) s)
		+ (SELECT count(*) FROM (TABLE computed EXCEPT ALL TABLE stored) c)
$$;

CREATE TABLE outcome (procedure text, how text, point int, message text, problem text);

-- Interrupts the statement at so many points. "before" are statements that give it something to do.
CREATE PROCEDURE interrupt(procedure text, how text, points int, before text[], statement text, columns text)
LANGUAGE plpgsql AS $$
DECLARE
	connection text := format('dbname=%s host=%s port=%s', current_database(),
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'));
	victim int;
	started timestamptz;
	duration double precision;
	step text;
	results int;
	empty int;
	message text;
	problem text;
BEGIN
	PERFORM dblink_connect('helper', connection);
	FOR point IN -1 .. points LOOP
		IF 'victim' <> ALL (coalesce(dblink_get_connections(), '{}')) THEN
			PERFORM dblink_connect('victim', connection);
			victim := (SELECT r.pid FROM dblink('victim', 'SELECT pg_backend_pid()') AS r (pid int));
		END IF;
		COMMIT;
		FOREACH step IN ARRAY before || CASE WHEN point % 20 = 0 THEN ARRAY['VACUUM ANALYZE'] ELSE '{}' END LOOP
			PERFORM dblink_exec('helper', step);
		END LOOP;
		COMMIT;
		started := clock_timestamp();
		PERFORM dblink_send_query('victim', statement);
		-- Undisturbed twice: the second run tells how long it takes.
		IF point > 0 THEN
			PERFORM pg_sleep(random() * duration);
			PERFORM CASE how WHEN 'cancel' THEN pg_cancel_backend(victim) ELSE pg_terminate_backend(victim) END;
		END IF;
		-- No row is an error, and then the end, when the server is ready for the next query.
		empty := 0;
		WHILE empty < 2 LOOP
			EXECUTE format('SELECT * FROM dblink_get_result(%L, false) AS r (%s)', 'victim', columns);
			GET DIAGNOSTICS results = ROW_COUNT;
			empty := empty + CASE results WHEN 0 THEN 1 ELSE 0 END;
		END LOOP;
		message := dblink_error_message('victim');
		-- About two thirds of the points lie before its end, whatever else the machine does meanwhile.
		duration := CASE WHEN point <= 0 THEN extract(epoch FROM clock_timestamp() - started)
						 ELSE duration * CASE WHEN message ~ 'cancel|terminat' THEN 1.05 ELSE 0.9 END END;
		WHILE how = 'terminate' AND point > 0 AND EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = victim) LOOP
			PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
		END LOOP;

		-- Locks and the state of the transaction, as others see them; then whether the session goes on.
		problem := (SELECT 'holds a lock' FROM pg_locks l WHERE l.pid = victim LIMIT 1);
		PERFORM pg_stat_clear_snapshot();
		problem := concat_ws(', ', problem,
			(SELECT 'is ' || a.state FROM pg_stat_activity a WHERE a.pid = victim AND a.state <> 'idle'));
		IF how = 'terminate' AND point > 0 THEN
			PERFORM dblink_disconnect('victim');
		ELSE
			BEGIN
				PERFORM * FROM dblink('victim', 'SELECT 1') AS r (one int);
			EXCEPTION WHEN OTHERS THEN
				problem := concat_ws(', ', nullif(problem, ''), SQLERRM);
				PERFORM dblink_disconnect('victim');
			END;
		END IF;
		IF point % 10 = 0 AND differing_metrics() > 0 THEN
			problem := concat_ws(', ', nullif(problem, ''), 'metrics differ');
		END IF;
		INSERT INTO outcome VALUES (procedure, how, point, message, problem);
		COMMIT;
	END LOOP;
	PERFORM dblink_disconnect(c) FROM unnest(dblink_get_connections()) c;
END $$;
});

# [ procedure, statements that give it something to do, what it returns ]
my @procedures = (
	[ 'rollup()', ['INSERT INTO slm_feedback.rollup_queue SELECT date FROM slm_feedback.daily_metrics'] ],
	[ q{rebuild('-infinity', 'infinity')}, [] ],
	[ 'run_jobs()', [ 'DELETE FROM slm_feedback.job_runs', 'INSERT INTO slm_feedback.rollup_queue SELECT date FROM slm_feedback.daily_metrics' ] ],
	[ q{run_jobs('retention')}, [
		q{DO $d$ BEGIN PERFORM slm_feedback.set_retention(9, 4), add_queries(clock_timestamp()::text, 12, 2, 100); END $d$},
		q{UPDATE slm_feedback.queries SET query_text = 'question again' WHERE created_at > now() - interval '7 days'},
		'CALL slm_feedback.rollup()' ] ],
	[ 'convert_user_ids(20)', [
		q{DO $d$ BEGIN
			PERFORM slm_feedback.set_user_id_policy('plain');
			UPDATE slm_feedback.queries SET user_id = 'user ' || abs(hashtext(request_id)) % 20;
			PERFORM slm_feedback.set_user_id_policy('pseudonym');
		END $d$} ],
		'queries bigint, feedback bigint, merged bigint' ]);
foreach my $kind (@procedures)
{
	my ($procedure, $before, $columns) = @$kind;
	foreach my $how ('cancel', 'terminate')
	{
		my $steps = join ', ', map { "\$q\$$_\$q\$" } @$before;
		sql(qq{SELECT setseed(0.5); SET client_min_messages = error;
			CALL interrupt(\$n\$$procedure\$n\$, '$how', $points / 2, ARRAY[$steps]::text[], \$s\$CALL slm_feedback.$procedure\$s\$, '}
			. ($columns || 'status text') . q{')});
		is(sql(qq{SELECT string_agg(DISTINCT problem || ': ' || message, E'\n') FILTER (WHERE problem <> '') FROM outcome WHERE procedure = \$n\$$procedure\$n\$ AND how = '$how'}), '',
			"$procedure, $how: the session goes on, no lock is held, metrics are right");
		my $hit = sql(qq{SELECT count(*) FROM outcome WHERE procedure = \$n\$$procedure\$n\$ AND how = '$how' AND message ~ 'cancel|terminat'});
		cmp_ok($hit, '>', $points / 6, "$procedure, $how: $hit points were inside it");
	}
	sql(q{CALL slm_feedback.run_jobs('retention')}) if $procedure =~ /retention/;
}

# What they left undone is done by the next run of each.
sql(q{DELETE FROM slm_feedback.job_runs});
sql(qq{CALL slm_feedback.$_}) foreach 'convert_user_ids()', 'rollup()', 'run_jobs()';
is(sql(q{SELECT sum(to_convert) FROM slm_feedback.user_id_report()}), '0', 'every user id is converted at last');
is(sql(q{SELECT count(*) FROM slm_feedback.rollup_queue q, slm_feedback.rollup_state s WHERE q.date >= s.purged_before}), '0', 'no day is marked');
is(sql(q{SELECT differing_metrics()}), '0', 'and the metrics are those of the raw rows');
is(sql(q{SELECT string_agg(DISTINCT status, ',') FROM slm_feedback.report_jobs() WHERE job <> 'refresh'}), 'done', 'every job is done');

$node->stop;
done_testing();
