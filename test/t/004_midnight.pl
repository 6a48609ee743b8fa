# A real midnight: a transaction writes to a day, the day ends, a rollup runs, and only then the transaction
# commits. The day must not be final without it. The time zone is chosen so that midnight is seconds away.

use strict;
use warnings;

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
$node->stop;
done_testing();
