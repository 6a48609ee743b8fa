# export_changes() beyond one server's life: crashes, dumps, copies. A cursor is never handed out that a crash
# could put ahead of the server's own transaction ids, and one that is of no use here is refused.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
# Commits and aborted ids that nobody flushes: what a crash can take back.
$node->append_conf('postgresql.conf', "synchronous_commit = off\nautovacuum = off\nrestart_after_crash = on\nwal_buffers = 4MB\nshared_buffers = 128MB\nbgwriter_lru_maxpages = 0\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

# The reader's copy lives here, outside of the server.
my (%copy, $cursor);

sub pull
{
	my ($from) = @_;
	my $argument = defined $cursor ? "'$cursor'" : 'NULL';
	my $lines = $from->safe_psql('postgres',
		qq{SELECT j ->> 'op', coalesce(j ->> 'request_id', j ->> 'cursor'), j -> 'query' ->> 'query_text' FROM slm_feedback.export_changes($argument) j});
	for (split /\n/, $lines)
	{
		my ($op, $id, $text) = split /\|/, $_, 3;
		if    ($op eq 'cursor') { $cursor = $id }
		elsif ($op eq 'delete') { delete $copy{$id} }
		else                    { $copy{$id} = $text }
	}
	return scalar(split /\n/, $lines) - 1;
}

sub copy_equals
{
	my ($name) = @_;
	is( join("\n", map { "$_|$copy{$_}" } sort keys %copy),
		$node->safe_psql('postgres', 'SELECT request_id, query_text FROM slm_feedback.queries ORDER BY 1'), $name);
	return;
}

$node->safe_psql('postgres', "SELECT slm_feedback.record_query('q' || i, request_id => 'a' || i) FROM generate_series(1, 9) i");
is(pull($node), 9, 'without a cursor: everything');
is(pull($node), 0, 'with the new cursor: nothing');
copy_equals('the copy equals the table');

# With the WAL writer stopped nobody writes the log out but who has to. Use up transaction ids that leave nothing
# on disk, read, and crash: the server starts again when one of its processes is killed.
for my $round (1 .. 3)
{
	my $walwriter = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	kill 'STOP', $walwriter;
	$node->safe_psql('postgres', "SELECT slm_feedback.record_query('seen', request_id => 'seen$round');"
		  . join('', map { "BEGIN; SELECT pg_current_xact_id(); ROLLBACK;" } 1 .. 50));
	pull($node);
	kill 'KILL', $walwriter;
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'walwriter' AND pid <> $walwriter")
	  or die 'the server has not come back';
	my ($xid) = $cursor =~ /-([0-9a-f]+)\z/;
	cmp_ok($node->safe_psql('postgres', 'SELECT pg_current_xact_id()'), '>=', hex $xid, "round $round: no id below the cursor is given out again");
	copy_equals("round $round: what the reader saw has survived");
	$node->safe_psql('postgres', "SELECT slm_feedback.record_query('after', request_id => 'after$round'); DELETE FROM slm_feedback.queries WHERE request_id = 'a$round'");
	is(pull($node), 2, "round $round: the next read has what came after the crash, and no more");
	copy_equals("round $round: the copy equals the table");
}

# A prepared transaction, across a restart.
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
$node->restart;
$node->safe_psql('postgres', "BEGIN; SELECT slm_feedback.record_query('prepared', request_id => 'p'); PREPARE TRANSACTION 'p'");
pull($node);
$node->safe_psql('postgres', "SELECT slm_feedback.record_query('later', request_id => 'later')");
pull($node);
$node->restart;
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
pull($node);
copy_equals('a transaction prepared before two reads and committed after them');

# Freezing keeps what a row's header says.
$node->safe_psql('postgres', 'VACUUM FREEZE slm_feedback.queries');
is(pull($node), 0, 'freezing changes nothing');

# A standby hands out cursors, too; after a failover they are refused.
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', "SELECT slm_feedback.record_query('streamed', request_id => 'streamed'); SELECT slm_feedback.withdraw_feedback('streamed', 'nobody')");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(pull($standby), 1, 'read from a standby');
copy_equals('what the standby gave equals the table');
$node->safe_psql('postgres', "SELECT slm_feedback.record_query('back', request_id => 'back')");
pull($node);
copy_equals('and its cursor goes on at the primary');
$node->stop;
$standby->promote;
my ($status, $out, $error) = $standby->psql('postgres', "SELECT slm_feedback.export_changes('$cursor')");
like($error, qr/belongs to another database.*Start again/s, 'a cursor from before a failover is refused, with what to do');
$standby->stop;

# A dump in another database.
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->command_ok([ 'sh', '-c', 'pg_dump -Fc -d "$1" | pg_restore -d "$2"', '-', $node->connstr('postgres'), $node->connstr('other') ], 'dump and restore');
($status, $out, $error) = $node->psql('other', "SELECT slm_feedback.export_changes('$cursor')");
like($error, qr/belongs to another database/, 'a cursor is refused by a restored database');
is($node->safe_psql('other', 'SELECT count(*) FROM slm_feedback.tombstones'), '0', 'tombstones are not dumped');
is( $node->safe_psql('other', q{SELECT count(*) FROM slm_feedback.export_changes()}) - 1,
	$node->safe_psql('postgres', 'SELECT count(*) FROM slm_feedback.queries'), 'but it reads from the beginning');

# TRUNCATE and pruned tombstones.
$node->safe_psql('postgres', "DELETE FROM slm_feedback.queries WHERE request_id = 'back'");
my $before = $cursor;
pull($node);
is($node->safe_psql('postgres', "SELECT slm_feedback.prune_tombstones('1 day')"), '0', 'young tombstones stay');
is($node->safe_psql('postgres', "SELECT slm_feedback.prune_tombstones('-1 s') > 0"), 't', 'pruned');
is(pull($node), 0, 'a newer cursor goes on');
copy_equals('and has missed nothing');
($status, $out, $error) = $node->psql('postgres', "SELECT slm_feedback.export_changes('$before')");
like($error, qr/the cursor is too old.*Start again/s, 'an older one is refused');
$node->safe_psql('postgres', 'TRUNCATE slm_feedback.feedback');
($status, $out, $error) = $node->psql('postgres', "SELECT slm_feedback.export_changes('$cursor')");
like($error, qr/the cursor is too old/, 'a TRUNCATE cannot be followed');
undef $cursor;
%copy = ();
pull($node);
pull($node);
copy_equals('starting again');

done_testing();
