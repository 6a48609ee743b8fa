# Periodic reports that the worker writes when a period has ended, alerts that open and close, and the listener
# of examples/ that hears of both.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nslm_feedback.refresh_interval = 0");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub at
{
	my ($now, $sql) = @_;
	return sql("SET slm_feedback.debug_now = '$now'; $sql");
}

# $positive of $judged opinions out of $queries queries on a day.
sub traffic
{
	my ($day, $queries, $judged, $positive, $model) = @_;
	$model //= 'm';
	sql(qq{
		SELECT count(*) FROM slm_feedback.record_queries((
			SELECT jsonb_agg(jsonb_build_object('request_id', '$day-$model-' || i, 'query_text', 'question ' || i % 7,
				'created_at', '$day 08:00+00'::timestamptz + i * interval '1 second', 'user_id', 'user ' || i, 'model', '$model',
				'prompt_version', 'v' || i % 2, 'response_time_ms', 100 + i, 'cost_usd', 0.01))
			FROM generate_series(1, $queries) i)) WHERE $queries > 0;
		SELECT count(*) FROM slm_feedback.submit_feedback_batch((
			SELECT jsonb_agg(jsonb_build_object('request_id', '$day-$model-' || i, 'user_id', 'rater', 'is_helpful', i <= $positive))
			FROM generate_series(1, $judged) i)) WHERE $judged > 0});
}

# --- the listener -----------------------------------------------------------------------------------------

my ($listened, $heard) = ('', '');
my $directory = $PostgreSQL::Test::Utils::tmp_check;
my $command = "$directory/deliver";
append_to_file($command, qq{#!/bin/sh\n(echo "== \$SLM_CHANNEL"; cat; echo) >>"$directory/delivered"\n});
chmod 0755, $command;
my $listener = IPC::Run::start([ '/usr/bin/python3', 'examples/notify_listener.py', $node->connstr('postgres'), $command ],
	'<', '/dev/null', '>', \$listened, '2>&1');
foreach (1 .. 200)
{
	$listener->pump_nb;
	last if $listened =~ /listening/ || !$listener->pumpable;
	sleep 0.1;
}
like($listened, qr/^listening$/m, 'the listener listens') or BAIL_OUT("no listener: $listened");

sub delivered
{
	my ($pattern, $name) = @_;
	my $file = "$directory/delivered";
	foreach (1 .. 200)
	{
		last if -e $file && slurp_file($file) =~ $pattern;
		sleep 0.1;
	}
	like(-e $file ? slurp_file($file) : '', $pattern, $name);
}

# --- reports ----------------------------------------------------------------------------------------------

# Two weeks, Monday June 1 to Sunday June 14, 2026: the second has more of everything, and is worse.
traffic(sprintf('2026-06-%02d', $_), 20, 10, 8) foreach 1 .. 7;
traffic(sprintf('2026-06-%02d', $_), 30, 10, 5) foreach 8 .. 14;
at('2026-06-14 23:59:00', 'CALL slm_feedback.run_jobs()');
is(sql('SELECT period, first_day, last_day FROM slm_feedback.period_reports ORDER BY 1, 2'), "week|2026-06-01|2026-06-07",
	'on Sunday there is the report of the week before; May had no traffic, nor had April');
at('2026-06-15 00:10:00', 'CALL slm_feedback.run_jobs()');
is(sql('SELECT period, first_day, last_day, final FROM slm_feedback.period_reports ORDER BY 1, 2'),
	"week|2026-06-01|2026-06-07|t\nweek|2026-06-08|2026-06-14|t", 'on Monday night that of the week that has ended');
at('2026-06-16 00:10:00', 'CALL slm_feedback.run_jobs()');
is(sql('SELECT count(*) FROM slm_feedback.period_reports'), '2', 'once');
at('2026-07-20 00:10:00', 'CALL slm_feedback.run_jobs()');
is(sql('SELECT period, first_day FROM slm_feedback.period_reports ORDER BY 1, 2'),
	"month|2026-06-01\nweek|2026-06-01\nweek|2026-06-08\nweek|2026-06-15",
	'missed ones are made up: the month, and the week without traffic after one with; none of weeks with nothing before either');

my $second = q{FROM slm_feedback.period_reports WHERE period = 'week' AND first_day = '2026-06-08'};
is(sql(qq{SELECT report #>> '{summary,total_queries}', report #>> '{summary,before,total_queries}', report #>> '{summary,change,total_queries}' $second}),
	'210|140|70', 'volumes against the period before');
is(sql(qq{SELECT (report #>> '{summary,positive_ratio}')::numeric, (report #>> '{summary,before,positive_ratio}')::numeric,
		round((report #>> '{summary,change,positive_ratio}')::numeric, 6) $second}), '0.5|0.8|-0.300000', 'satisfaction');
is(sql(qq{SELECT abs((report #>> '{summary,positive_ratio_low}')::float8 - low) < 1e-12 AND abs((report #>> '{summary,positive_ratio_high}')::float8 - high) < 1e-12
	FROM slm_feedback.wilson_interval(35, 70), slm_feedback.period_reports WHERE period = 'week' AND first_day = '2026-06-08'}), 't', 'with its 95% interval');
is(sql(qq{SELECT report #>> '{models,0,model}', report #>> '{models,0,change,total_queries}', jsonb_array_length(report -> 'prompt_versions'),
		report #>> '{prompt_versions,1,prompt_version}' $second}), 'm|70|2|v1', 'by model and prompt version');
is(sql(qq{SELECT string_agg(jsonb_array_length(report -> 'questions' -> k)::text, ' ') FROM unnest('{best,worst,asked}'::text[]) k,
	slm_feedback.period_reports WHERE period = 'week' AND first_day = '2026-06-08'}), '5 5 5', 'questions');
is(sql(qq{SELECT report #>> '{questions,asked,0,times_asked}' = r.times_asked::text, report #>> '{questions,asked,0,question}' = r.question
	FROM slm_feedback.period_reports, slm_feedback.report_top_questions('2026-06-08', '2026-06-14', 1) r
	WHERE period = 'week' AND first_day = '2026-06-08'}), 't|t', 'as report_top_questions() has them');
my $markdown = sql("SELECT markdown $second");
like($markdown, qr/^\| Queries \| 210 \| 140 \| \+70 \|$/m, 'Markdown: volumes');
like($markdown, qr/^\| Satisfied \(95% interval\) \| 50\.0 % \(38\.6 to 61\.4\) \| 80\.0 % \(69\.2 to 87\.7\) \| -30\.0 points \|$/m, 'Markdown: satisfaction');
like($markdown, qr/^## $_$/m, "Markdown: $_") foreach 'Models', 'Prompt versions', 'Best rated questions', 'Worst rated questions';
delivered(qr/^== slm_feedback_report\n# Feedback report: 2026-06-08 to 2026-06-14$/m, 'the listener delivered the report');

is(sql(q{SELECT first_day, last_day, report #>> '{before,first_day}', report #>> '{summary,total_queries}' FROM slm_feedback.generate_report('range', '2026-06-05', '2026-06-08')}),
	'2026-06-05|2026-06-08|2026-06-01|90', 'any range on demand');
is(sql(q{SELECT first_day, last_day FROM slm_feedback.generate_report('month', '2026-02-17')}), '2026-02-01|2026-02-28', 'the month of a day');
is(at('2026-06-17 12:00:00', q{SELECT first_day, last_day FROM slm_feedback.generate_report('week')}), '2026-06-08|2026-06-14', 'the last week that has ended');
foreach ([ q{'day'}, '22023', 'Choose one of: week, month, range' ], [ q{'range', '2026-06-01'}, '22004', 'needs from_date and to_date' ],
	[ q{'range', '2026-06-02', '2026-06-01'}, '22023', 'cannot be reported' ], [ q{'week', '2026-06-02', '2026-06-03'}, '22023', 'to_date is given' ],
	[ q{'week', 'infinity'}, '22023', 'cannot be reported' ])
{
	my $stderr;
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT slm_feedback.generate_report($_->[0])", stderr => \$stderr);
	like($stderr, qr/$_->[1]: .*$_->[2]/s, "generate_report($_->[0]) is refused");
}
# Text that would be markup.
is(sql(q{SELECT slm_feedback.markdown_text(E'a|b\n<img src=x> [l](u) *x* https://evil.example ' || repeat('z', 200), 50)}),
	'`a|b <img src=x> [l](u) *x* https://evil.example...`', 'a question is a code span, so it cannot bring markup or links into a report');
is(sql(q{SELECT slm_feedback.markdown_text('`<b>` ``x')}), '``` `<b>` ``x ```', 'it cannot end the code span');
is(sql(q{SELECT slm_feedback.markdown_text(E' \u202Ecod\u2069.exe\u200E\u061C\u2028x\u0085')}), '`cod.exe x`', 'it cannot turn the direction of the text');
is(sql(q{SELECT slm_feedback.markdown_text(v) FROM unnest(ARRAY[NULL, '', E' \n\u200E']) v}), "\n\n", 'nothing stays nothing');
is(sql(q{SELECT slm_feedback.markdown_cell(E'a|b\\\\|c')}), '`a/b\\/c`', 'it cannot end a cell');

# A report keeps no words: what happens to a question's text happens to it in every report that quotes it.
sub quoted
{
	my ($text) = @_;
	return sql(qq{SELECT count(*) FILTER (WHERE report::text LIKE '%"$text"%') || ' ' || count(*) FILTER (WHERE markdown LIKE '%`$text`%')
		FROM slm_feedback.period_reports});
}
my $quote = sql(qq{SELECT r ->> 'request_id' FROM (SELECT report $second) s, jsonb_array_elements(report #> '{questions,asked}') r WHERE r ->> 'question' = 'question 1'});
is($quote, '2026-06-08-m-1', 'a quote names its request');
is(sql(q{SELECT count(*) FROM slm_feedback.stored_reports WHERE report::text ~ 'question \d|question_hash'}), '0', 'what is stored holds neither text nor hash');
is(sql(qq{SELECT count(*) FROM (SELECT report $second) s, jsonb_array_elements(report #> '{questions,asked}') r
	WHERE (r ->> 'question_hash')::bigint = slm_feedback.question_hash(r ->> 'question')}), '5', 'what is read holds both');
my $before = quoted('question 1');
like($before, qr/^([3-9]) \1$/, 'several reports quote the question');
sql(q{UPDATE slm_feedback.queries SET query_text = 'redacted' WHERE query_text = 'question 1'});
is(quoted('question 1') . '; ' . quoted('redacted'), "0 0; $before", 'a text that is replaced is replaced in every report');
sql(qq{DELETE FROM slm_feedback.queries WHERE query_text = 'redacted'});
is(quoted('redacted'), '0 0', 'one that is deleted is gone');
like(sql("SELECT markdown $second"), qr/^1\. text not kept - asked 35 times.*^2\. `question 2` - asked 35 times/ms, 'its numbers stay');
sql('CREATE ROLE reads_texts; CREATE ROLE reads_numbers');
sql("SELECT slm_feedback.grant_access('reads_texts', 'analyst_texts'), slm_feedback.grant_access('reads_numbers', 'analyst')");
is(sql("SET ROLE reads_texts; SELECT report::text LIKE '%question 2%', markdown LIKE '%question 2%' $second"), 't|t', 'a role that may read texts reads reports');
foreach my $table ('period_reports', 'stored_reports')
{
	my $stderr;
	$node->psql('postgres', "SET ROLE reads_numbers; SELECT * FROM slm_feedback.$table", stderr => \$stderr);
	like($stderr, qr/permission denied for (table|view) $table/, "one that may not does not: $table");
}

# Questions leave the reports together with the texts, however recent the report's last day is.
sql(q{SELECT slm_feedback.generate_report('range', '2026-06-01', '2026-06-14')});
is(sql(q{SELECT markdown LIKE '%question 2%' FROM slm_feedback.period_reports WHERE (first_day, last_day) = ('2026-06-01', '2026-06-14')}), 't', 'a report of two weeks');
sql('SELECT slm_feedback.set_retention(NULL, 12)');
sql('CALL slm_feedback.rollup()');
at('2026-06-20 00:10:00', q{CALL slm_feedback.run_jobs('retention')});
is(sql(q{SELECT first_day, last_day, report::text LIKE '%question 2%', markdown LIKE '%question 2%' FROM slm_feedback.period_reports
	WHERE first_day < '2026-06-15' AND last_day BETWEEN '2026-06-07' AND '2026-06-14' ORDER BY 1, 2}),
	"2026-06-01|2026-06-07|f|f\n2026-06-01|2026-06-14|f|f\n2026-06-05|2026-06-08|f|f\n2026-06-08|2026-06-14|t|t", 'retention of texts takes the questions out of reports');
sql('SELECT slm_feedback.set_retention(NULL)');

# --- alerts -----------------------------------------------------------------------------------------------

sub rule
{
	sql("SELECT slm_feedback.set_alert_rule($_[0])");
}

my $last_alert = 0;
# What the rules make of a day at noon: the alerts that were opened or closed, with their values.
sub alerts_on
{
	my ($day) = @_;
	return at("$day 12:00:00", q{
		SET client_min_messages = error;
		CALL slm_feedback.run_jobs('rollup'); CALL slm_feedback.run_jobs('alerts');
		SELECT string_agg(rule_name || CASE WHEN closed_at IS NULL THEN ' opened ' || reason ELSE ' closed ' || closed_reason END
			|| coalesce(' ' || round(last_value::numeric, 3), ''), ', ' ORDER BY rule_name)
		FROM slm_feedback.alerts WHERE slm_feedback.clock() IN (opened_at, closed_at)});
}

rule(q{'satisfied', 'positive_ratio', 'below', 0.7, 0.8, min_sample => 10});
traffic('2026-08-03', 20, 9, 0);
is(alerts_on('2026-08-03'), '', 'too small a sample');
traffic('2026-08-04', 20, 10, 6);
is(alerts_on('2026-08-04'), 'satisfied opened threshold 0.600', 'below the threshold');
is(sql(q{SELECT rule_name, metric, value, sample FROM slm_feedback.report_alerts()}), 'satisfied|positive_ratio|0.6|10', 'report_alerts()');
traffic('2026-08-05', 20, 20, 15);
is(alerts_on('2026-08-05'), '', 'hysteresis: 0.75 does not close it');
is(sql(q{SELECT last_value, worst_value FROM slm_feedback.report_alerts()}), '0.75|0.6', 'but is noted');
is(alerts_on('2026-08-06'), '', 'no data keeps it');
traffic('2026-08-07', 20, 20, 16);
is(alerts_on('2026-08-07'), 'satisfied closed recovered 0.800', 'it closes at the clear_threshold');
traffic('2026-08-08', 20, 20, 15);
is(alerts_on('2026-08-08'), '', 'and 0.75 does not open it again');
delivered(qr/^== slm_feedback_alert\n\{.*"state": "open".*\}\n== slm_feedback_alert\n\{.*"state": "closed".*\}/m, 'the listener delivered both changes');

# Anybody can send on the channels: the listener hands on what the tables say, once.
sql('CREATE ROLE forger LOGIN');
my $forge = sub { $node->safe_psql('postgres', "SELECT pg_notify(v.channel, v.payload) FROM (VALUES $_[0]) AS v (channel, payload)", extra_params => [ '-U', 'forger' ]) };
my $delivered = slurp_file("$directory/delivered");
my $closed = sql('SELECT max(alert_id) FROM slm_feedback.alerts');
$forge->(qq{('slm_feedback_alert', '{"alert_id": $closed, "state": "closed", "rule": "forged"}'), ('slm_feedback_alert', '{"alert_id": 999999, "state": "open"}'),
	('slm_feedback_alert', '{"alert_id": {}, "state": []}'), ('slm_feedback_alert', 'no JSON'), ('slm_feedback_alert', '[]'), ('slm_feedback_report', 'null'),
	('slm_feedback_report', '{"period": "week", "first_day": "1999-01-04", "last_day": "1999-01-10"}'), ('slm_feedback_report', '{"period": 1, "first_day": "x", "last_day": ""}')});
rule(q{'heartbeat', 'total_queries', 'above', 1});
at('2026-08-08 13:00:00', q{CALL slm_feedback.run_jobs('alerts')});
delivered(qr/"rule_name": "heartbeat"/, 'after forged notifications it still listens');
like(slurp_file("$directory/delivered"), qr/\A\Q$delivered\E\n?== slm_feedback_alert\n[^\n]*heartbeat[^\n]*\n\z/, 'and has handed on none of them');
sql(q{SELECT slm_feedback.drop_alert_rule('heartbeat')});
is(sql(q{SELECT slm_feedback.drop_alert_rule('satisfied'), slm_feedback.drop_alert_rule('satisfied')}), 't|f', 'a rule is dropped once');

# Change against the period before, for one model.
rule(q{'traffic falls', 'total_queries', 'falls', 0.5, 0.2, ends => 'yesterday', model => 'n', no_data => 'open', min_sample => 1});
rule(q{'slower', 'avg_response_time_ms', 'rises', 0.5, model => 'n'});
traffic('2026-09-01', 100, 0, 0, 'n');
traffic('2026-09-02', 100, 0, 0, 'n');
traffic('2026-09-03', 49, 0, 0, 'n');
is(alerts_on('2026-09-03'), '', 'as many queries yesterday as the day before');
is(alerts_on('2026-09-04'), 'traffic falls opened threshold -0.510', 'half of them missing');
traffic('2026-09-04', 40, 0, 0, 'n');
is(alerts_on('2026-09-05'), 'traffic falls closed recovered -0.184', 'a smaller fall closes it');
is(alerts_on('2026-09-06'), 'traffic falls opened no data', 'no data opens it, if so asked');
# Response times rise with the number of queries here.
traffic('2026-09-07', 10, 0, 0, 'n');
traffic('2026-09-08', 200, 0, 0, 'n');
is(alerts_on('2026-09-08'), 'slower opened threshold 0.900', 'a rise');
rule(q{'slower', 'avg_response_time_ms', 'rises', 0.9, model => 'n'});
is(sql(q{SELECT closed_reason FROM slm_feedback.alerts WHERE rule_name = 'slower'}), 'rule changed', 'a changed rule closes its alert');
is(alerts_on('2026-09-08'), 'slower closed rule changed 0.900, slower opened threshold 0.900', 'and is evaluated anew');
rule(q{'slower', 'avg_response_time_ms', 'rises', 0.9, model => 'n', enabled => false});
is(sql(q{SELECT closed_reason FROM slm_feedback.alerts WHERE rule_name = 'slower' ORDER BY alert_id DESC LIMIT 1}), 'rule disabled', 'a disabled one, too');
is(sql(q{SELECT slm_feedback.drop_alert_rule('traffic falls')}), 't', 'dropped');
is(sql(q{SELECT closed_reason FROM slm_feedback.alerts ORDER BY alert_id DESC LIMIT 1}) =~ /rule d/ ? 1 : 0, 1, 'so is its alert closed');
is(sql('SELECT count(*) FROM slm_feedback.report_alerts()'), '0', 'none is open');

foreach ([ q{'a', 'x', 'above', 1}, 'metric "x" is not known' ], [ q{'a', 'total_queries', 'over', 1}, 'condition "over" is not known' ],
	[ q{'a', 'total_queries', 'above', 1, 2}, 'wrong side' ], [ q{'a', 'total_queries', 'below', 2, 1}, 'wrong side' ],
	[ q{'a', 'total_queries', 'falls', -0.5}, 'must be positive' ], [ q{'a', 'total_queries', 'above', 'NaN'}, 'out of range' ],
	[ q{'a', 'total_queries', 'above', 1, days => 0}, 'out of range' ], [ q{'a', 'total_queries', 'above', 1, prompt_version => 'v'}, 'needs a model' ],
	[ q{'', 'total_queries', 'above', 1}, 'out of range' ],
	[ q{'a', 'total_queries', 'above', 1, model => repeat('m', 9000)}, 'out of range' ],
	[ q{'a', 'total_queries', 'above', 1, model => 'm', prompt_version => repeat('v', 256)}, 'out of range' ],
	(map { [ "'a', $_", 'outside of what metric' ] } "'positive_ratio', 'below', 70", "'positive_ratio_high', 'above', 1", "'feedback_rate', 'above', -0.1",
		"'feedback_rate', 'below', 0.5, 1.1", "'avg_rating', 'below', 1", "'avg_rating', 'above', 5", "'avg_rating', 'above', 0.9", "'total_queries', 'below', 0",
		"'cost_usd', 'above', -1"),
	[ q{'a', 'total_queries', 'falls', 1}, 'no metric falls by more' ])
{
	my $stderr;
	$node->psql('postgres', "\\set VERBOSITY verbose\nSELECT slm_feedback.set_alert_rule($_->[0])", stderr => \$stderr);
	like($stderr, qr/22023: .*$_->[1]/, "set_alert_rule($_->[0]) is refused");
}
foreach (q{'positive_ratio', 'above', 0}, q{'positive_ratio', 'below', 1}, q{'avg_rating', 'above', 1, 1}, q{'avg_rating', 'below', 4.5, 5}, q{'cost_usd', 'above', 1e9}, q{'total_queries', 'falls', 0.99},
	q{'total_queries', 'rises', 9})
{
	is($node->psql('postgres', "SELECT slm_feedback.set_alert_rule('a', $_)"), 0, "$_ is accepted");
}
sql(q{SELECT slm_feedback.drop_alert_rule('a')});

# Every metric that can be named can be evaluated, and lies in its range.
is(sql(q{SELECT count(*) > 15, count(*) = count(r.rule_name) FROM slm_feedback.alert_metrics() m
	LEFT JOIN LATERAL slm_feedback.set_alert_rule('all ' || m.metric, m.metric, 'above', m.least_value, model => CASE WHEN m.of_feedback THEN 'm' END) r ON true}), 't|t', 'a rule on every metric');
sql(q{UPDATE slm_feedback.alert_rules SET threshold = -1, clear_threshold = -1});
is(at('2026-08-08 12:00:00', q{SELECT slm_feedback.evaluate_alerts() = count(*) FROM slm_feedback.alert_rules WHERE metric <> 'avg_rating' AND enabled}), 't', 'each has a value');
is(sql(q{SELECT count(*) FROM slm_feedback.alert_metrics() m, slm_feedback.report_models('2026-01-01', '2026-12-31') r,
	LATERAL (SELECT (to_jsonb(r) ->> m.metric)::double precision) AS v (value) WHERE v.value NOT BETWEEN m.least_value AND coalesce(m.greatest_value, v.value)}),
	'0', 'no measure is outside of its range');
sql(q{SELECT slm_feedback.drop_alert_rule(rule_name) FROM slm_feedback.alert_rules});

# Every role can listen: a notification tells no more than that there is something to look up.
rule(q{'heard', 'total_queries', 'above', 0, ends => 'yesterday', days => 300});
like(at('2026-11-02 12:00:00', q{LISTEN slm_feedback_alert; SELECT slm_feedback.evaluate_alerts()}), qr/"slm_feedback_alert" with payload "\{"state": "open", "alert_id": \d+\}" received/,
	'a notification holds the id and the state');
like(at('2026-11-02 12:10:00', q{LISTEN slm_feedback_alert; SELECT slm_feedback.drop_alert_rule('heard')}), qr/with payload "\{"state": "closed", "alert_id": \d+\}" received/,
	'and nothing else');

# The longest names, all of characters that JSON escapes.
my $long = q{repeat(E'\\x01', 255)};
sql(qq{SELECT slm_feedback.record_query('q', model => $long, prompt_version => $long, created_at => '2026-11-02 12:00+00')});
rule(qq{$long, 'total_queries', 'above', 0, model => $long, prompt_version => $long});
is(at('2026-11-02 13:00:00', q{SELECT slm_feedback.evaluate_alerts()}), '1', 'an alert with the longest names');
sql(qq{SELECT slm_feedback.drop_alert_rule($long)});
is($node->psql('postgres', q{INSERT INTO slm_feedback.alert_rules VALUES ('a', 'total_queries', 'above', 1, 1, 1, 'today', 0, 'keep', repeat('m', 9000), NULL, true)}), 3,
	'the table takes no longer ones either');

# --- a new rule is evaluated at once ----------------------------------------------------------------------

traffic('2026-11-10', 30, 0, 0, 'p');
sql('DELETE FROM slm_feedback.job_runs; DELETE FROM slm_feedback.job_settings');
at('2026-11-10 12:00:00', 'CALL slm_feedback.run_jobs()');
is(at('2026-11-10 12:01:00', q{SELECT next_run IS NULL FROM slm_feedback.report_jobs() WHERE job = 'alerts'}), 't', 'without a rollup alerts are not due');
at('2026-11-10 12:02:00', q{SELECT slm_feedback.set_alert_rule('traffic', 'total_queries', 'above', 20)});
is(at('2026-11-10 12:03:00', q{SELECT next_run FROM slm_feedback.report_jobs() WHERE job = 'alerts'}), '2026-11-10 12:02:00+00', 'after set_alert_rule() they are');
at('2026-11-10 12:03:00', 'CALL slm_feedback.run_jobs()');
is(sql('SELECT rule_name, value FROM slm_feedback.report_alerts()'), 'traffic|30', 'run_jobs() evaluates the new rule');
is(at('2026-11-10 12:04:00', q{SELECT next_run IS NULL FROM slm_feedback.report_jobs() WHERE job = 'alerts'}), 't', 'once');
at('2026-11-10 12:05:00', q{SELECT slm_feedback.set_alert_rule('traffic', 'total_queries', 'above', 20)});
is(at('2026-11-10 12:06:00', q{SELECT next_run IS NULL FROM slm_feedback.report_jobs() WHERE job = 'alerts'}), 't', 'a rule set to what it is asks for nothing');

$listener->kill_kill;
$node->stop;
done_testing();
