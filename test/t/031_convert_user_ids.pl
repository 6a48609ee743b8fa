# The way from plain user ids to pseudonyms, and to none: interrupted and taken up again, one person's opinions
# merged; afterwards no raw id in the files of the tables. And what the server's own logging shows of ids.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $key_file = $node->basedir . '/pseudonym_keys';
open my $file, '>', $key_file or die "cannot write $key_file: $!";
print $file 'k1:' . join('', map { sprintf '%02x', int rand 256 } 1 .. 32) . "\n";
close $file;
chmod 0600, $key_file;
$node->append_conf('postgresql.conf', "slm_feedback.pseudonym_key_file = '$key_file'\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

# --- plain rows, then pseudonyms for new ones ----------------------------------------------------------
my $rows = 4000;
value(qq{
SELECT count(slm_feedback.record_query('q', 'a', 'r' || i, 'mallory-rawid-' || i % 50)) FROM generate_series(1, $rows) i;
SELECT count(f) FROM (SELECT slm_feedback.submit_feedback('r' || i, is_helpful => true, rating => 4, user_id => 'mallory-rawid-' || i) FROM generate_series(1, 3) i) f;
SELECT slm_feedback.submit_correction('r1', 'better', 'mallory-rawid-1');
CALL slm_feedback.rollup();
ANALYZE});
is(value(q{SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'slm_feedback' AND attname = 'user_id' AND most_common_vals::text LIKE '%mallory-rawid%'}), 't',
	'the statistics of plain ids hold ids');
my $daily = q{SELECT string_agg(d::text, E'\n' ORDER BY d.date) FROM (SELECT date, total_queries, positive_feedback_count, unique_users FROM slm_feedback.report_daily()) d};
my $before = value($daily);
value(q{SELECT slm_feedback.set_user_id_policy('pseudonym');
SELECT slm_feedback.submit_feedback('r1', rating => 2, user_id => 'mallory-rawid-1');
SELECT slm_feedback.submit_feedback('r2', comment => 'later', user_id => 'mallory-rawid-2');
SELECT slm_feedback.submit_correction('r1', 'better', 'mallory-rawid-1')});
is(value('SELECT count(*) FROM slm_feedback.feedback'), '5', 'opinions from before and after are two rows at first');

# --- cut off in the middle, and taken up again ---------------------------------------------------------
my $left = q{SELECT sum(to_convert) FROM slm_feedback.user_id_report()};
my $all = value($left);
my ($out, $err) = ('', '');
my $run = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', 'CALL slm_feedback.convert_user_ids(1)' ], '>', \$out, '2>', \$err);
$node->poll_query_until('postgres', "SELECT sum(to_convert) < $all FROM slm_feedback.user_id_report()") or die 'nothing is converted';
value(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL%convert_user_ids%'});
$run->finish;
like($err, qr/canceling statement/, 'a conversion is cancelled');
my $rest = value($left);
cmp_ok($rest, '<', $all, 'what it had done stays');
cmp_ok($rest, '>', 0, 'and something is left');
value('CALL slm_feedback.convert_user_ids()');
is(value($left), '0', 'the next call does the rest');
is(value(q{SELECT string_agg(f.request_id || ' ' || f.is_helpful || ' ' || f.rating || ' ' || coalesce(f.comment, '-'), ', ' ORDER BY f.request_id) FROM slm_feedback.feedback f}),
	'r1 true 2 -, r2 true 4 later, r3 true 4 -', 'one opinion a person: the latest word on each point');
is(value('SELECT count(*) FROM slm_feedback.corrections'), '1', 'and one correction');
is(value(q{SELECT bool_and(user_id LIKE 'slmp:k1:%') FROM slm_feedback.queries}), 't', 'all ids are pseudonyms');
value('CALL slm_feedback.rollup()');
is(value($daily), $before, 'the metrics count the same people');

# --- what is left of the ids ----------------------------------------------------------------------------
my $data = $node->data_dir;
value('CHECKPOINT');
is(system("grep -rqa 'mallory-rawid' '$data/base'") >> 8, 0, 'old row versions and statistics still hold them');
value('ANALYZE');
value('VACUUM FULL');
value('CHECKPOINT');
is(system("grep -rqa 'mallory-rawid' '$data/base'") >> 8, 1, 'ANALYZE and VACUUM FULL of the database remove them');

# --- drop: all opinions on an answer become one ---------------------------------------------------------
value(q{SELECT slm_feedback.submit_feedback('r3', false, user_id => 'somebody else');
SELECT slm_feedback.set_user_id_policy('drop')});
value('CALL slm_feedback.convert_user_ids()');
is(value(q{SELECT count(*) || ' ' || count(user_id) FROM slm_feedback.feedback}), '3 0', 'drop leaves one opinion an answer, of nobody');
is(value(q{SELECT is_helpful || ' ' || rating FROM slm_feedback.feedback WHERE request_id = 'r3'}), 'false 4', 'with the latest word on each point');
value('CALL slm_feedback.rollup()');
is(value(q{SELECT sum(unique_users) FROM slm_feedback.report_daily()}), '0', 'and no users are counted any more');

value('SELECT slm_feedback.set_min_group_users(1)');
is(value('SELECT count(*) FROM slm_feedback.report_daily()'), '0', 'so that a least number of users hides every row');
value('SELECT slm_feedback.set_min_group_users(0)');

# --- logging: a bound parameter is logged, or not, as the server is told --------------------------------
value(q{SELECT slm_feedback.set_user_id_policy('pseudonym')});
my $script = $node->basedir . '/bound.sql';
append_to_file($script, "SELECT slm_feedback.record_query('q', user_id => :who);\n");
for my $case ([ 0, 'log_parameter_max_length = 0' ], [ 1, 'log_parameter_max_length = -1' ])
{
	my ($shown, $setting) = @$case;
	$node->append_conf('postgresql.conf', "log_statement = 'all'\n$setting\n");
	$node->reload;
	my $start = -s $node->logfile;
	$node->command_ok([ 'pgbench', '-n', '-t', '1', '-M', 'extended', '-D', 'who=mallory-rawid-7', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
		"a call with a bound id, $setting");
	my $log = slurp_file($node->logfile, $start);
	like($log, qr/record_query\('q', user_id => \$1\)/, 'its statement is logged');
	is(scalar($log =~ /mallory-rawid/), $shown ? 1 : '', $shown ? 'and its id, by the default' : 'and not its id');
}

# --- a COPY that fails -----------------------------------------------------------------------------------
my $lines = value('SELECT count(*) FROM slm_feedback.queries');
($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', 'COPY slm_feedback.queries (request_id, query_text, user_id, response_time_ms) FROM STDIN' ],
	'<', \"c1\tq\tmallory-rawid-8\t10\nc2\tq\tmallory-rawid-9\t-1\n", '>', \$out, '2>', \$err);
like($err, qr/violates check constraint/, 'a COPY with a bad line fails');
like($err, qr/^CONTEXT:.*line 2.*mallory-rawid-9/m, "the server's CONTEXT shows the input line (docs/privacy.md)");
like($err, qr/^DETAIL:.*slmp:k1:/m, 'its DETAIL the row as it would have been stored');
unlike($err =~ s/^CONTEXT:.*//mr, qr/mallory-rawid/, 'and nothing else names an id');
is(value('SELECT count(*) FROM slm_feedback.queries'), $lines, 'and nothing of it is stored');

$node->stop;
done_testing();
