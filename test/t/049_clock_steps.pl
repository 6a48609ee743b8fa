# Clocks that step: forward and back, by minutes and by days, before, during and after a rollup, with transactions in
# progress on each side of the step. Whatever the clock shows, the reports count every row. The server's clock is
# libfaketime's, an offset that the test writes into a file.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan skip_all => 'there is no libfaketime: install the package libfaketime' unless $library;

my $offset_file = "$PostgreSQL::Test::Utils::tmp_check/clock_offset";
my $offset = 0;

# Sets the server's clock, by seconds from the real time. Renamed into place, so that no process reads half of it.
sub set_offset
{
	($offset) = @_;
	open my $file, '>', "$offset_file.new" or die "$offset_file.new: $!";
	printf $file "%+d\n", $offset;
	close $file;
	rename "$offset_file.new", $offset_file or die "$offset_file: $!";
}

# Sets it to so many seconds after the midnight that ends the day of the tests.
my $midnight = (int(time() / 86400) + 1) * 86400;
sub set_clock { my ($seconds) = @_; set_offset($midnight + $seconds - time()); }

set_clock(-3600);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nslm_feedback.worker = off\nslm_feedback.clock_margin = 300");
{
	local %ENV = (%ENV, LD_PRELOAD => $library, FAKETIME_TIMESTAMP_FILE => $offset_file, FAKETIME_NO_CACHE => 1, FAKETIME_DONT_FAKE_MONOTONIC => 1);
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}
cmp_ok(abs(value('SELECT extract(epoch FROM clock_timestamp())') - $midnight + 3600), '<', 30, 'the server has our clock');

# A session that stays: each call waits for the answer.
my %sessions;
sub in_session
{
	my ($name, @statements) = @_;
	my $session = $sessions{$name} //= do
	{
		my %new = (in => '', out => '', err => '');
		$new{run} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-f', '-', '-d', $node->connstr('postgres') ],
			'<', \$new{in}, '>', \$new{out}, '2>', \$new{err}, IPC::Run::timeout(120));
		\%new;
	};
	foreach my $statement (@statements, "\\echo done")
	{
		$session->{in} .= "$statement\n";
	}
	$session->{out} = '';
	$session->{run}->pump until $session->{out} =~ /done\n/;
	is($session->{err}, '', "$name goes through");
	return $session->{out} =~ s/done\n//r;
}
sub start_in_session
{
	my ($name, $statement) = @_;
	in_session($name);
	$sessions{$name}{in} .= "$statement\n";
	$sessions{$name}{run}->pump_nb;
	return;
}

sub right
{
	my ($what) = @_;
	my $raw = value(q{SELECT string_agg(concat_ws(' ', d.day, d.n, d.f), ', ' ORDER BY d.day) FROM (
		SELECT (q.created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n, count(f.request_id) AS f
		FROM slm_feedback.queries q LEFT JOIN slm_feedback.feedback f USING (request_id) GROUP BY 1) d});
	is(value(q{SELECT string_agg(concat_ws(' ', d.date, d.total_queries, d.positive_feedback_count), ', ' ORDER BY d.date)
		FROM slm_feedback.report_daily('2000-01-01', 'infinity') d}), $raw, "$what: the reports count every row");
}
my $n = 0;
sub write_sql { $n++; return "SELECT slm_feedback.record_query('q', request_id => 'r$n') = 'r$n' AND slm_feedback.submit_feedback('r$n', true) IS NOT NULL;"; }
sub rolled_up
{
	my ($what) = @_;
	value('CALL slm_feedback.rollup()');
	right("$what, rolled up");
	my $today = value('SELECT slm_feedback.day_of(clock_timestamp())');
	is(value("SELECT coalesce(final_through < '$today', true) AND coalesce(closed_through < '$today', true) FROM slm_feedback.rollup_state"), 't',
		"$what: no day is final that is not over");
	is(value('SELECT count(*) FROM slm_feedback.rollup_queue'), 0, "$what: no mark is left");
}

# Every session that the test keeps has written once, so that it has its copy of the settings.
sub warm { my ($name) = @_; in_session($name, write_sql()); }

foreach my $ahead (600, 3 * 3600, 86400 * 3, 86400 * 400)
{
	my $what = "$ahead seconds ahead";
	set_clock(-3600);
	warm('kept');
	set_clock(-3600 + $ahead);
	value('CALL slm_feedback.rollup()');
	in_session('while ahead', write_sql());
	set_clock(-3500);
	in_session('kept', write_sql());
	value(write_sql());
	right("$what, set right");
	rolled_up("$what, set right");
	in_session('kept', write_sql());
	value(write_sql());
	right("$what, after the next rollup");
}

# Back over midnight by more than the margin: yesterday is final, and is today again.
foreach my $back (1, 400, 1800, 86400)
{
	my $what = "$back seconds back over midnight";
	set_clock(-60);
	warm('kept');
	set_clock(900);
	value('CALL slm_feedback.rollup()');
	is(value(q{SELECT final_through = slm_feedback.day_of(clock_timestamp()) - 1 FROM slm_feedback.rollup_state}), 't', "$what: yesterday is final");
	in_session('in progress', 'BEGIN; SELECT 1;');
	set_clock(-$back);
	in_session('kept', write_sql());
	value(write_sql());
	in_session('in progress', write_sql(), 'COMMIT;');
	right($what);
	rolled_up($what);
}

# A step back while a rollup runs. A transaction that began before it is on its list, and began on the next day.
foreach my $forward_again (0, 1)
{
	my $what = 'a step back during a run' . ($forward_again ? ', and forward again' : '');
	set_clock(-60);
	warm($_) for 'kept', 'listed';
	set_clock(900);
	in_session('listed', 'BEGIN; SELECT 1;');
	in_session('holder', 'BEGIN; LOCK slm_feedback.daily_metrics IN SHARE ROW EXCLUSIVE MODE;');
	start_in_session('roller', 'CALL slm_feedback.rollup();');
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted") or die 'the rollup does not wait';
	set_clock(-1800);
	in_session('begun', 'BEGIN;', write_sql());
	in_session('kept', write_sql());
	set_clock(900) if $forward_again;
	in_session('holder', 'COMMIT;');
	in_session('roller');
	set_clock(-1790);
	in_session('listed', write_sql(), 'COMMIT;');
	in_session('begun', 'COMMIT;');
	right($what);
	set_clock(1000);
	right("$what, later");
	rolled_up($what);
}

foreach my $name (sort keys %sessions)
{
	$sessions{$name}{in} .= "\\q\n";
	$sessions{$name}{run}->finish;
}
$node->stop;
done_testing();
