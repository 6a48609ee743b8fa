# A real midnight: a transaction writes to a day, the day ends, a rollup runs, and only then the transaction
# commits. The day must not be final without it. The time zone is chosen so that midnight is seconds away.
# And one message with several transactions: those that begin after midnight take the message's start for theirs.

use strict;
use warnings;

use IO::Socket::UNIX;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\nslm_feedback.clock_margin = 0\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');
$node->safe_psql('postgres', q{SELECT slm_feedback.record_query('old', created_at => now() - interval '3 days')});

my $directory = $PostgreSQL::Test::Utils::tmp_check;

# Makes midnight come in $seconds; returns when, by the clock.
sub set_midnight
{
	my ($seconds) = @_;
	my $midnight = int(time()) + $seconds;
	my $west = $midnight % 86400;
	$west -= 86400 if $west > 43200;
	my $zone = sprintf('<T>%s%02d:%02d:%02d', $west < 0 ? '-' : '+', int(abs($west) / 3600), int(abs($west) % 3600 / 60), abs($west) % 60);
	$node->safe_psql('postgres', "SELECT slm_feedback.set_time_zone('$zone')");
	return $midnight;
}

# Until a time by the clock: a signal, like that of the writer's end, cuts a single sleep() short.
sub sleep_until
{
	my ($when) = @_;
	while ((my $left = $when - time()) > 0) { sleep($left); }
}

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

my $today_sql = 'SELECT slm_feedback.today()';
my @cases = (
	{ name => 'no transaction is open', before => '', after => 'COMMIT', final_at_once => 't' },
	{ name => 'an open transaction', before => '', after => 'SELECT pg_sleep(%f); COMMIT', final_at_once => 'f' },
	{ name => 'an open transaction whose start is hidden', before => 'SET track_activities = off;',
		after => 'SELECT pg_sleep(%f); COMMIT', final_at_once => 'f' },
	{ name => 'a prepared transaction', before => '', after => "PREPARE TRANSACTION 'night'", prepared => 1, final_at_once => 't' });

foreach my $case (@cases)
{
	my $midnight = set_midnight(4);
	my $day = value($today_sql);
	my $id = $case->{name} =~ s/\W/-/gr;
	my $sql = "$case->{before} BEGIN; SELECT slm_feedback.record_query('q', request_id => '$id'); "
		. sprintf($case->{after}, $midnight + 3 - time()) . ';';
	my ($out, $err) = ('', '');
	append_to_file("$directory/$id.sql", $sql);
	my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-f', "$directory/$id.sql", '-d', $node->connstr('postgres') ],
		'<', '/dev/null', '>', \$out, '2>', \$err);

	sleep_until($midnight + 0.3);
	isnt(value($today_sql), $day, "$case->{name}: the day has ended");
	$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
	is(value("SELECT coalesce(max(final_through) >= '$day', false) FROM slm_feedback.rollup_state"), $case->{final_at_once},
		"$case->{name}: the rollup after midnight " . ($case->{final_at_once} eq 't' ? 'makes the day final' : 'leaves the day open'));
	$writer->finish;
	is($err, '', "$case->{name}: the writer went through");
	$node->safe_psql('postgres', "COMMIT PREPARED 'night'") if $case->{prepared};
	is(value("SELECT slm_feedback.day_of(created_at) FROM slm_feedback.queries WHERE request_id = '$id'"), $day,
		"$case->{name}: it wrote to the day that had ended");
	is(value("SELECT total_queries FROM slm_feedback.report_daily('$day', '$day')"),
		value("SELECT count(*) FROM slm_feedback.queries WHERE slm_feedback.day_of(created_at) = '$day'"),
		"$case->{name}: the report counts what it wrote");
	$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
	is(value("SELECT final_through >= '$day' FROM slm_feedback.rollup_state"), 't', "$case->{name}: the next rollup makes the day final");
	is(value("SELECT total_queries FROM slm_feedback.daily_metrics WHERE date = '$day' AND model IS NULL AND prompt_version IS NULL"),
		value("SELECT count(*) FROM slm_feedback.queries WHERE slm_feedback.day_of(created_at) = '$day'"),
		"$case->{name}: and its stored metrics exact");
}
# One message of the simple protocol with more transactions than it has room for answers: as long as the client reads
# none of them, the server waits between two transactions, and no rollup can see that the message began yesterday.
my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "cannot connect: $!";
my $parameters = pack '(Z*)*', 'user' => scalar(getpwuid($<)), 'database' => 'postgres', 'options' => '-c client_min_messages=error', '';
$socket->print(pack('N2', 8 + length $parameters, 196608) . $parameters);
$socket->flush;

# Reads messages until the server is ready; returns the rows' first columns and the errors.
sub until_ready
{
	my @answers;
	while (1)
	{
		$socket->read(my $head, 5) == 5 or die 'the server closed the connection';
		my ($type, $length) = unpack 'aN', $head;
		my $body = '';
		$socket->read($body, $length - 4) if $length > 4;
		push @answers, unpack 'x2 N/a', $body if $type eq 'D';
		push @answers, "error: $body" if $type eq 'E';
		return @answers if $type eq 'Z';
	}
}
until_ready();
my $midnight = set_midnight(4);
my $day = value($today_sql);
my $commits = 'COMMIT;' x 100_000;
my $message = "SELECT slm_feedback.record_query('q', request_id => 'message'); $commits SELECT slm_feedback.day_of(now());"
	. "SELECT slm_feedback.record_query('q', request_id => 'message-2'); COMMIT; SELECT slm_feedback.submit_feedback('message', true)::text;";
$socket->print('Q' . pack('N Z*', 5 + length $message, $message));
$socket->flush;
sleep_until($midnight + 0.3);
is(value("SELECT wait_event || ' ' || (xact_start IS NULL) FROM pg_stat_activity WHERE query LIKE '%COMMIT;COMMIT;%' AND pid <> pg_backend_pid()"),
	'ClientWrite true', 'one message: the server waits between two of its transactions');
$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
is(value("SELECT final_through >= '$day' FROM slm_feedback.rollup_state"), 't', 'one message: the rollup after midnight makes the day final');
is(join(' ', until_ready()) =~ s/\(.*\)/opinion/r, "message $day message-2 opinion", 'one message: transactions after midnight start before it');
is(value("SELECT slm_feedback.day_of(created_at) FROM slm_feedback.queries WHERE request_id = 'message-2'"), $day,
	'one message: what they record is of the day that had ended');
my $counts = value("SELECT count(*) || '|1' FROM slm_feedback.queries WHERE slm_feedback.day_of(created_at) = '$day'");
is(value("SELECT total_queries, positive_feedback_count FROM slm_feedback.report_daily('$day', '$day')"), $counts, 'one message: the report counts it');
$node->safe_psql('postgres', 'CALL slm_feedback.rollup()');
is(value("SELECT total_queries, positive_feedback_count FROM slm_feedback.daily_metrics WHERE date = '$day' AND model IS NULL AND prompt_version IS NULL"),
	$counts, 'one message: the next rollup, too');
$socket->close;
$node->stop;
done_testing();
