# Retention: rows and texts go when they are old enough, in batches, never before a day is final, and no
# published metric changes.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

my $database = 'postgres';

sub sql
{
	return $node->safe_psql($database, $_[0]);
}

# What run_jobs('retention') says.
sub notice_at
{
	my $stderr;
	$node->psql('postgres', "SET slm_feedback.debug_now = '$_[0]'; CALL slm_feedback.run_jobs('retention')", stderr => \$stderr);
	return $stderr =~ /NOTICE:  retention removed nothing\n.*DETAIL:  ([^\n]*)/s ? $1 : $stderr;
}

sub purge_at
{
	return sql("SET slm_feedback.debug_now = '$_[0]'; CALL slm_feedback.run_jobs('retention');
		SELECT status || coalesce(': ' || error, '') || ' ' || rows FROM slm_feedback.job_runs WHERE job = 'retention' ORDER BY run_id DESC LIMIT 1");
}

# January to March: 100 queries a day, 40 of them judged; every fourth opinion is a comment alone.
sub load
{
	sql(q{
		SELECT count(*) FROM slm_feedback.record_queries((
			SELECT jsonb_agg(jsonb_build_object('request_id', 'q' || i, 'query_text', 'question ' || i % 50, 'response_text', 'answer ' || i,
				'created_at', '2026-01-01 00:00+00'::timestamptz + i * interval '1 day' / 100, 'user_id', 'user ' || i % 90,
				'model', 'model ' || i % 3, 'response_time_ms', i % 900, 'input_tokens', i % 50, 'cost_usd', 0.001,
				'error', CASE WHEN i % 20 = 0 THEN 'timeout' END))
			FROM generate_series(0, 8999) i));
		SELECT count(*) FROM slm_feedback.submit_feedback_batch((
			SELECT jsonb_agg(jsonb_build_object('request_id', 'q' || i, 'user_id', 'rater ' || i % 3, 'comment', 'words ' || i)
				|| CASE WHEN i % 4 = 0 THEN '{}' ELSE jsonb_build_object('rating', 1 + i % 5) END)
			FROM generate_series(0, 8999) i WHERE i % 5 < 2));
		SELECT slm_feedback.submit_correction('q' || i, 'better ' || i, 'editor') FROM generate_series(0, 8999, 100) i});
}

my $published = q{SELECT md5(string_agg(to_jsonb(m)::text, E'\n' ORDER BY m.date, m.model, m.prompt_version)) FROM slm_feedback.daily_metrics m};
my $reports = q{SELECT md5(string_agg(r::text, E'\n' ORDER BY r.date)) FROM slm_feedback.report_daily('2026-01-01', '2026-03-31') r};

load();
# --- off by default, and not before a day is final ---------------------------------------------------------
sql('CALL slm_feedback.rollup()');
is(purge_at('2030-01-01 00:00:00'), 'done 0', 'off by default');
like(notice_at('2030-01-01 00:00:00'), qr/^Rows and texts are kept for good/, 'run_jobs() says so');
sql('UPDATE slm_feedback.rollup_state SET final_through = NULL');
sql('SELECT slm_feedback.set_retention(30, 10)');
is(purge_at('2026-03-15 00:00:00'), 'done 0', 'nothing goes while no day is final');
like(notice_at('2026-03-15 00:00:00'), qr/^Only final days are purged, and no day is final yet: run CALL/, 'run_jobs() says so');
is(notice_at('2026-01-05 00:00:00'), 'No query is older than 10 days.', 'or that nothing is old enough');
sql(q{UPDATE slm_feedback.rollup_state SET final_through = '2026-01-05'});
is(sql(q{BEGIN; SET LOCAL slm_feedback.debug_now = '2026-03-15 00:00:00'; SELECT * FROM slm_feedback.freeze_days()}),
	'2026-01-06 00:00:00+00|2026-01-06 00:00:00+00', 'nothing after the last final day');
sql(q{INSERT INTO slm_feedback.rollup_queue VALUES ('2026-01-03')});
is(sql(q{BEGIN; SET LOCAL slm_feedback.debug_now = '2026-03-15 00:00:00'; SELECT * FROM slm_feedback.freeze_days()}),
	'2026-01-03 00:00:00+00|2026-01-03 00:00:00+00', 'nor a marked day');
sql('CALL slm_feedback.rollup()');

# --- texts and rows ---------------------------------------------------------------------------------------
my ($metrics, $daily) = (sql($published), sql($reports));
# On March 15: rows before February 13 (43 days), texts before March 5 (63 days).
is(purge_at('2026-03-15 00:10:00'), 'done ' . (4300 + 2000 + 800 + 20), 'old rows are deleted; texts, comments and corrections of others removed');
is(sql('SELECT min(created_at), count(*) FROM slm_feedback.queries'), '2026-02-13 00:00:00+00|4700', 'rows from February 13 are kept');
is(sql('SELECT min(query_created_at) >= \'2026-02-13\', count(*) FROM slm_feedback.feedback'), 't|1880', 'and their feedback');
is(sql(q{SELECT min(created_at), count(*) FROM slm_feedback.queries WHERE query_text IS NOT NULL AND response_text IS NOT NULL}),
	'2026-03-05 00:00:00+00|2700', 'texts from March 5 are kept');
is(sql(q{SELECT count(*) FROM slm_feedback.queries WHERE (query_text IS NULL) <> (response_text IS NULL)}), '0', 'or neither text');
is(sql(q{SELECT count(*) FILTER (WHERE comment = ''), count(*) FILTER (WHERE comment <> ''), min(query_created_at) FILTER (WHERE comment <> '')::date
	FROM slm_feedback.feedback}), '800|1080|2026-03-05', 'comments, too');
is(sql('SELECT count(*), min(q.created_at)::date FROM slm_feedback.corrections c JOIN slm_feedback.queries q USING (request_id)'), '27|2026-03-05', 'corrections, too');
is(sql(q{SELECT count(*) FROM slm_feedback.rollup_queue}), '0', 'no day is marked');
is(sql('SELECT purged_before FROM slm_feedback.rollup_state'), '2026-02-13', 'the days are frozen');
is(sql($published), $metrics, 'the stored metrics are the same');
is(sql($reports), $daily, 'so are reports');
sql('CALL slm_feedback.rollup()');
is(sql($published), $metrics, 'also after a rollup');
sql(q{CALL slm_feedback.rebuild('2026-01-01', '2026-03-31')});
is(sql($reports), $daily, 'a rebuild recomputes the days without texts to the same, and leaves the others');
is(purge_at('2026-03-15 00:20:00'), 'done 0', 'a second run has nothing to do');
is(notice_at('2026-03-15 00:20:00'), 'What is old enough was removed earlier.', 'and says so');
sql(q{INSERT INTO slm_feedback.rollup_queue VALUES ('2026-02-20')});
like(notice_at('2026-03-15 00:20:00'), qr/^Only days before those marked for a rollup are purged, and 2026-02-20 is marked/, 'or that a day is marked');
sql(q{DELETE FROM slm_feedback.rollup_queue});

# --- late writes to frozen days ---------------------------------------------------------------------------
sql(q{SELECT slm_feedback.record_query('late', request_id => 'late', created_at => '2026-01-20 12:00+00')});
sql('CALL slm_feedback.rollup()');
is(sql($reports), $daily, 'a late query to a frozen day changes no metric');
is(sql('SELECT count(*) FROM slm_feedback.rollup_queue'), '0', 'its mark is gone');
sql(q{CALL slm_feedback.rebuild('-infinity', 'infinity')});
is(sql('SELECT count(*) FROM slm_feedback.rollup_queue'), '0', 'a rebuild of everything leaves no mark either');
is(purge_at('2026-03-15 00:30:00'), 'done 1', 'and goes with the next purge');
is(sql(q{SELECT count(*) FROM slm_feedback.queries WHERE request_id = 'late'}), '0', 'it is gone');

# --- batches, and a purge that is interrupted -------------------------------------------------------------
sql('SELECT slm_feedback.set_retention(1)');
sql(q{
	CREATE TABLE batches (xid xid8, rows bigint);
	CREATE FUNCTION batch() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT count(*) FROM public.batches) = 0 AND current_setting('test.fail', true) = 'on' THEN
			RAISE EXCEPTION 'stop';
		END IF;
		INSERT INTO public.batches SELECT pg_current_xact_id(), count(*) FROM gone;
		RETURN NULL;
	END $$;
	CREATE TRIGGER batch AFTER DELETE ON slm_feedback.queries REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION batch()});
is(sql(q{SET client_min_messages = error; SET test.fail = on; SET slm_feedback.debug_now = '2026-06-01 00:00:00'; CALL slm_feedback.run_jobs('retention');
	SELECT status, error FROM slm_feedback.job_runs WHERE job = 'retention' ORDER BY run_id DESC LIMIT 1}), 'failed|stop', 'a purge that fails');
is(sql($reports), $daily, 'changes no metric');
is(sql('SELECT count(*) FROM slm_feedback.queries'), '4700', 'its batch is undone');
load_more();
is(purge_at('2026-06-01 00:00:00'), 'done 16700', 'the next goes on');
is(sql('SELECT max(rows) <= 5000, count(*) FILTER (WHERE rows > 0) >= 4 AND count(DISTINCT xid) = count(*) FROM batches'), 't|t',
	'in batches of at most 5,000 rows, a transaction each');
is(sql($reports), $daily, 'still the same');

sub load_more
{
	sql(q{SELECT count(*) FROM slm_feedback.record_queries((SELECT jsonb_agg(jsonb_build_object('request_id', 'r' || i, 'query_text', 'q',
		'created_at', '2026-05-10 00:00+00'::timestamptz + i * interval '1 second')) FROM generate_series(1, 12000) i))});
	sql('CALL slm_feedback.rollup()');
}

# --- wrong settings ---------------------------------------------------------------------------------------
foreach ([ '0', 'at least one day' ], [ '10, 10', 'as long as their rows' ], [ 'NULL, -1', 'at least one day' ])
{
	my $stderr;
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT slm_feedback.set_retention($_->[0])", stderr => \$stderr);
	like($stderr, qr/22023: .*$_->[1]/, "set_retention($_->[0]) is refused");
}
sql('SELECT slm_feedback.set_retention(NULL, 5)');
is(sql('SELECT retain_rows_days, retain_texts_days FROM slm_feedback.settings'), '|5', 'texts alone');

# --- the time zone changes after days are frozen ----------------------------------------------------------
# Frozen days keep their metrics and end where they ended: every query counts once, wherever midnight moves, on its
# frozen day or on an open one, and so does a query that arrives late.
$node->safe_psql('postgres', 'CREATE DATABASE zones');
$database = 'zones';
sql('CREATE EXTENSION slm_feedback CASCADE');
load();
sql('CALL slm_feedback.rollup(); SELECT slm_feedback.set_retention(30)');
is(purge_at('2026-03-15 12:00:00'), 'done 4300', 'days are frozen in UTC');
my $counted = 9000;
my $total = q{SELECT sum(total_queries) FROM slm_feedback.report_daily('-infinity', 'infinity')};
my $frozen = q{SELECT md5(string_agg(to_jsonb(m)::text, E'\n' ORDER BY m.date, m.model, m.prompt_version))
	FROM slm_feedback.daily_metrics m WHERE m.date < '2026-02-13'};
my $frozen_metrics = sql($frozen);
my $purged = 0;
# West of it, east of it, a day and more away, and back.
foreach my $zone ('America/Los_Angeles', 'Asia/Tokyo', 'Etc/GMT+12', 'Pacific/Kiritimati', 'UTC')
{
	sql("SELECT slm_feedback.set_time_zone('$zone')");
	is(sql($total), $counted, "$zone: every query counts once");
	sql('CALL slm_feedback.rollup()');
	is(sql($total), $counted, "$zone: after a rollup, too");
	is(sql($frozen), $frozen_metrics, "$zone: frozen days are as they were");
	# In the hours between the old midnight and the new one, on both sides.
	my $open_from = sql('SELECT slm_feedback.day_start(s.purged_before) FROM slm_feedback.rollup_state s');
	sql("SELECT slm_feedback.record_query('q', created_at => '$open_from'::timestamptz + h * interval '1 hour') FROM generate_series(0, 30) h");
	$counted += 31;
	is(sql($total), $counted, "$zone: so do late ones");
	sql('CALL slm_feedback.rollup()');
	is(sql($total), $counted, "$zone: and their rollup");
	like(purge_at('2026-03-' . (16 + 2 * $purged++) . ' 12:00:00'), qr/^done [1-9]/, "$zone: more days are frozen");
	is(sql($total), $counted, "$zone: nothing is purged uncounted");
	is(sql("SELECT count(*) FROM slm_feedback.queries q, slm_feedback.rollup_state s WHERE q.created_at < slm_feedback.day_start(s.purged_before)"), '0',
		"$zone: no row is left of frozen days");
}
$node->stop;
done_testing();
