# An incremental reader of export_changes() beside writers, while the server crashes again and again: after each
# restart the reader goes on with the cursor that it has, and its copy equals the tables. Removals too: those that
# it had not read before the crash, and those that the crash took back.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Commits that do not wait for the disk: a crash takes back some that were seen by others, and their ids.
$node->append_conf('postgresql.conf', "synchronous_commit = off\nwal_writer_delay = 10s\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

# One write of any kind on one of 300 answers. The block with an exception gives the rows the id of a
# subtransaction; the pause lets transactions commit in another order than that of their ids.
$node->safe_psql('postgres', q{
CREATE FUNCTION public.write_something() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id text := 'w' || (random() * 299)::integer;
	kind integer := (random() * 9.98 - 0.49)::integer;
BEGIN
	IF kind <= 3 THEN
		PERFORM slm_feedback.record_query('question', 'answer ' || random(), request_id => id);
	ELSIF kind <= 4 THEN
		UPDATE slm_feedback.queries SET response_text = 'changed ' || random() WHERE request_id = id;
	ELSIF kind <= 6 THEN
		PERFORM slm_feedback.submit_feedback(id, rating => 1 + (random() * 4)::integer, user_id => 'u' || (random() * 2)::integer);
	ELSIF kind <= 7 THEN
		PERFORM slm_feedback.withdraw_feedback(id, 'u' || (random() * 2)::integer);
	ELSIF kind <= 8 THEN
		PERFORM slm_feedback.submit_correction(id, 'better ' || random(), user_id => 'u');
	ELSE
		DELETE FROM slm_feedback.queries WHERE request_id = id;
	END IF;
	PERFORM pg_sleep(random() * random() * 0.03);
EXCEPTION WHEN SQLSTATE 'PT404' OR unique_violation OR deadlock_detected THEN
	NULL;
END $$});
my $script = $PostgreSQL::Test::Utils::tmp_check . '/write.sql';
append_to_file($script, "SELECT public.write_something();\n");

# What the reader holds, outside of the server: by answer, everything about it as one text.
my (%copy, $cursor);
my ($lines_read, $deletes_read, $withdrawals_read) = (0, 0, 0);

# The answer of a "put" or "withdraw" in the form in which present() gives a table's.
my $state = q{concat_ws(' / ', %1$s,
	(SELECT string_agg(f ->> 'user_id' || '=' || (f ->> 'rating'), ',' ORDER BY f ->> 'user_id' COLLATE "C") FROM json_array_elements(%2$s) f),
	(SELECT string_agg(c ->> 'corrected_text', ',' ORDER BY c ->> 'corrected_text' COLLATE "C") FROM json_array_elements(%3$s) c))};

sub pull
{
	my $argument = defined $cursor ? "'$cursor'" : 'NULL';
	my $row = sprintf $state, q{j #>> '{query,response_text}'}, q{j -> 'feedback'}, q{j -> 'corrections'};
	my $lines = $node->safe_psql('postgres',
		qq{SELECT j ->> 'op', coalesce(j ->> 'request_id', j ->> 'cursor'), CASE WHEN j ->> 'op' IN ('put', 'withdraw') THEN $row END
		   FROM slm_feedback.export_changes($argument) j});
	my $new;
	foreach (split /\n/, $lines)
	{
		my ($op, $id, $text) = split /\|/, $_, 3;
		$lines_read++;
		$deletes_read++ if $op eq 'delete';
		$withdrawals_read++ if $op eq 'withdraw';
		if    ($op eq 'cursor') { $new = $id }
		elsif ($op eq 'delete') { delete $copy{$id} }
		else                    { $copy{$id} = $text }
	}
	die 'no cursor in the last line' unless defined $new;
	$cursor = $new;
	return;
}

# Counted from the tables, without export_changes().
sub present
{
	my $row = sprintf $state, 'q.response_text',
	  q{(SELECT coalesce(json_agg(f), '[]') FROM slm_feedback.feedback f WHERE f.request_id = q.request_id)},
	  q{(SELECT coalesce(json_agg(c), '[]') FROM slm_feedback.corrections c WHERE c.request_id = q.request_id)};
	return $node->safe_psql('postgres', qq{SELECT q.request_id, $row FROM slm_feedback.queries q ORDER BY 1});
}

sub held
{
	return join "\n", map { "$_|$copy{$_}" } sort keys %copy;
}

sub start_writers
{
	my $output = '';
	return IPC::Run::start(
		[ 'pgbench', '-n', '-c', '6', '-T', '60', '-f', $script, '-d', $node->connstr('postgres') ],
		'<', '/dev/null', '>', \$output, '2>', \$output);
}

$node->safe_psql('postgres', q{SELECT slm_feedback.record_query('question', 'kept', request_id => 'kept' || i) FROM generate_series(1, 20) i});
$node->safe_psql('postgres', q{SELECT slm_feedback.submit_feedback('kept' || i, rating => 1, user_id => 'u') FROM generate_series(7, 12) i});
pull();

my ($unread_removals, $ids_back) = (0, 0);
foreach my $round (1 .. 6)
{
	my $writers = start_writers();
	pull() foreach 1 .. 12;

	# Removals that are on disk; in the odd rounds nobody has read them before the crash.
	my $opinion = 'kept' . (6 + $round);
	$node->safe_psql('postgres', "SET synchronous_commit = on; DELETE FROM slm_feedback.queries WHERE request_id = 'kept$round';"
		  . "SELECT slm_feedback.withdraw_feedback('$opinion', 'u')");

	# In the even rounds the read is the very last thing before the crash: what it saw must have survived.
	pull() if $round % 2 == 0;
	$unread_removals++ if exists $copy{"kept$round"} && $copy{$opinion} =~ /u=1/;
	my $before = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
	$node->stop('immediate');
	$writers->finish;
	$node->start;
	my $after = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
	$ids_back++ if $after < $before;

	# Others write before the reader comes back, some with ids that were in use before the crash.
	$node->safe_psql('postgres', 'SELECT public.write_something()') foreach 1 .. 5;
	pull();
	is(held(), present(), "round $round: the reader's copy equals the tables");
	ok(!exists $copy{"kept$round"} && $copy{$opinion} !~ /u=1/, "round $round: the tombstones have survived");
}

is($unread_removals, 3, 'in the odd rounds the reader still held what was removed when the server crashed');
cmp_ok($deletes_read, '>', 20, 'answers were deleted meanwhile');
cmp_ok($withdrawals_read, '>=', 6, 'opinions were withdrawn');
note "$lines_read lines read, $deletes_read deletes, $withdrawals_read withdrawals; ids given out again after $ids_back of 6 crashes";

# A new reader, from the beginning, comes to the same.
my $long = held();
undef $cursor;
%copy = ();
pull();
is(held(), $long, 'a reader without a cursor holds the same');

done_testing();
