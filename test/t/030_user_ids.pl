# The user-id policy on a real server: raw ids are looked for in every file of the server (write-ahead log,
# tables, log), in what pg_waldump and pg_dump print and in error texts; the key is looked for by every route
# that a role without superuser rights has; keys are rotated.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
my $key_file = $node->basedir . '/pseudonym_keys';
$node->append_conf('postgresql.conf', "slm_feedback.pseudonym_key_file = '$key_file'\nfull_page_writes = off\nwal_keep_size = '512MB'\nautovacuum = off\nlog_parameter_max_length = 0\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION slm_feedback CASCADE');

sub write_keys
{
	my ($text, $mode) = @_;
	unlink $key_file;
	open my $file, '>', $key_file or die "cannot write $key_file: $!";
	print $file $text;
	close $file;
	chmod $mode // 0600, $key_file;
	$node->safe_psql('postgres', 'SELECT pg_reload_conf(); SELECT pg_sleep(0.1)');
}

sub random_hex
{
	return join '', map { sprintf '%02x', int rand 256 } 1 .. 32;
}

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

# --- keys that are refused -----------------------------------------------------------------------------
my %refused = (
	'a missing file' => [undef],
	'an empty file' => [''],
	'a short key' => [ 'k1:' . substr(random_hex(), 0, 62) ],
	'a key of one byte repeated' => [ 'k1:' . '41' x 32 ],
	'a key that is not hexadecimal' => [ 'k1:' . 'zz' x 32 ],
	'a key without a name' => [ random_hex() ],
	'two keys of one name' => [ 'k1:' . random_hex() . "\nk1:" . random_hex() ],
	'the reserved name' => [ 'erased:' . random_hex() ],
	'a file that its group can read' => [ 'k1:' . random_hex(), 0640 ],
	'a file that everybody can read' => [ 'k1:' . random_hex(), 0644 ],);
foreach my $case (sort keys %refused)
{
	my ($text, $mode) = @{ $refused{$case} };
	defined $text ? write_keys($text, $mode) : unlink $key_file;
	my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT slm_feedback.set_user_id_policy('pseudonym')");
	like($err, qr/F0000: user ids cannot be pseudonymised.*HINT: .*openssl rand -hex 32/s, "$case is refused, with a hint");
	my ($secret) = ($text // '') =~ /([0-9a-z]{40,})/;
	ok(!defined $secret || index($err, $secret) < 0, 'without the key in the message');
}
is(value("SELECT count(*) FROM slm_feedback.settings WHERE user_id_policy <> 'plain'"), '0', 'the policy is not set without a key');

# --- pseudonyms on every path; raw ids nowhere ---------------------------------------------------------
my $key1 = random_hex();
write_keys("# the first key\nk1:$key1\n");
value("SELECT slm_feedback.set_user_id_policy('pseudonym')");
my $start = value('SELECT pg_switch_wal(); SELECT pg_current_wal_lsn()');
$start =~ s/.*\n//s;
my $log_start = -s $node->logfile;

# Ids are made inside the server from halves, so that no statement holds one.
$node->safe_psql('postgres', q{
SELECT slm_feedback.record_query('q', 'a', 'single', user_id => 'mallory-' || 'rawid-1');
SELECT count(*) FROM slm_feedback.record_queries(jsonb_build_array(jsonb_build_object('query_text', 'q', 'request_id', 'batch', 'user_id', 'mallory-' || 'rawid-2')));
SELECT slm_feedback.submit_feedback('single', true, user_id => 'mallory-' || 'rawid-1');
SELECT slm_feedback.submit_feedback('single', rating => 4, user_id => 'mallory-' || 'rawid-1');
SELECT count(*) FROM slm_feedback.submit_feedback_batch(jsonb_build_array(jsonb_build_object('request_id', 'batch', 'rating', 2, 'user_id', 'mallory-' || 'rawid-2')));
SELECT slm_feedback.submit_correction('single', 'better', 'mallory-' || 'rawid-1');
INSERT INTO slm_feedback.queries (request_id, query_text, user_id) VALUES ('insert', 'q', 'mallory-' || 'rawid-1');
INSERT INTO slm_feedback.feedback (request_id, user_id, rating) VALUES ('insert', 'mallory-' || 'rawid-3', 1);
UPDATE slm_feedback.queries SET user_id = 'mallory-' || 'rawid-2' WHERE request_id = 'insert';
UPDATE slm_feedback.queries SET error = 'x' WHERE request_id = 'insert';
COPY slm_feedback.queries (request_id, query_text, user_id) FROM PROGRAM 'printf "copy1\tq\tmallory-%s\ncopy2\tq\tmallory-%s\n" rawid-1 rawid-2';
BEGIN; SELECT slm_feedback.record_query('q', user_id => 'mallory-' || 'rawid-9'); ROLLBACK;
SELECT slm_feedback.withdraw_feedback('batch', 'mallory-' || 'rawid-2');
SELECT slm_feedback.submit_feedback('batch', rating => 2, user_id => 'mallory-' || 'rawid-2');
CALL slm_feedback.rollup();
});
is(value(q{SELECT count(*) || ' ' || count(DISTINCT user_id) || ' ' || bool_and(user_id ~ '^slmp:k1:[0-9a-f]{32}$') FROM slm_feedback.queries}),
	'5 2 true', 'single, batch, INSERT, UPDATE and COPY store pseudonyms, one a person');
is(value(q{SELECT count(*) || ' ' || count(DISTINCT user_id) || ' ' || bool_and(user_id ~ '^slmp:k1:[0-9a-f]{32}$') FROM slm_feedback.feedback}),
	'3 3 true', 'opinions, too');
is(value(q{SELECT bool_and(user_id ~ '^slmp:k1:') FROM slm_feedback.corrections}), 't', 'and corrections');
is(value(q{SELECT count(*) FROM slm_feedback.queries q JOIN slm_feedback.feedback f USING (user_id)}) >= 2, 1,
	'a person has the same pseudonym in both tables');

# HMAC-SHA256 by another program: the documented construction.
my $p1 = value(q{SELECT user_id FROM slm_feedback.queries WHERE request_id = 'single'});
my $hmac = `printf 'user:mallory-rawid-1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key1 2>/dev/null`;
SKIP:
{
	skip 'no openssl', 1 unless $hmac =~ /([0-9a-f]{64})/;
	is($p1, 'slmp:k1:' . substr($1, 0, 32), 'the pseudonym is the HMAC that openssl computes');
}

# Error texts: constraints, duplicates, wrong arguments.
my @errors = (
	q{SELECT slm_feedback.submit_feedback('single', rating => 9, user_id => 'mallory-' || 'rawid-1')},
	q{SELECT slm_feedback.submit_feedback('unknown', true, user_id => 'mallory-' || 'rawid-1')},
	q{SELECT slm_feedback.record_query('q', user_id => repeat('mallory-' || 'rawid-1', 50))},
	q{SELECT slm_feedback.record_query('q', request_id => 'single', user_id => 'mallory-' || 'rawid-1')},
	q{INSERT INTO slm_feedback.queries (request_id, query_text, user_id, response_time_ms) VALUES ('e1', 'q', 'mallory-' || 'rawid-1', -1)},
	q{INSERT INTO slm_feedback.feedback (request_id, user_id, rating) VALUES ('insert', 'mallory-' || 'rawid-3', 1)},
	q{INSERT INTO slm_feedback.feedback (request_id, user_id, rating) VALUES ('insert', 'mallory-' || 'rawid-4', 9)},
	q{INSERT INTO slm_feedback.feedback (request_id, user_id, rating) VALUES ('nowhere', 'mallory-' || 'rawid-4', 1)},
	q{SELECT reason FROM slm_feedback.submit_feedback_batch(jsonb_build_array(jsonb_build_object('request_id', 'single', 'rating', 9, 'user_id', 'mallory-' || 'rawid-1')))},
	q{SELECT reason FROM slm_feedback.record_queries(jsonb_build_array(jsonb_build_object('query_text', 'q', 'created_at', 'never', 'user_id', 'mallory-' || 'rawid-1')))});
foreach my $statement (@errors)
{
	my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	isnt("$out$err", '', "says something: $statement");
	unlike("$out$err", qr/mallory-rawid/, 'and names no raw id');
}
# PostgreSQL::Test logs all statements: with the setting that docs/privacy.md asks for, none of their parameters, in an error either.
$node->psql('postgres', "SELECT slm_feedback.submit_feedback('unknown', true, user_id => \$1) \\bind mallory-rawid-1 \\g")
	if $node->pg_version >= 16;

# Nowhere: the files of the server, what pg_waldump prints, a dump, reports.
$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT');
my $data = $node->data_dir;
is(system("grep -rqa 'mallory-rawid' '$data/pg_wal'") >> 8, 1, 'no raw id in the write-ahead log');
is(system("grep -rqa 'mallory-rawid' '$data/base' '$data/global' '$data/pg_xact'") >> 8, 1, 'no raw id in the data files');
is(system("grep -rqa '$p1' '$data/pg_wal' && grep -rqa '$p1' '$data/base'") >> 8, 0, 'the pseudonym is in both: the search works');
my $end = value('SELECT pg_current_wal_flush_lsn()');
my ($waldump, $waldump_err) = run_command([ 'pg_waldump', '-p', "$data/pg_wal", '-s', $start, '-e', $end ]);
like($waldump, qr/rmgr: Heap .*INSERT/, 'pg_waldump reads the records of these writes');
unlike($waldump . $waldump_err, qr/mallory-rawid/, 'and prints no raw id');
unlike(slurp_file($node->logfile, $log_start), qr/mallory-rawid/, 'no raw id in the server log');
my ($dump) = run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, 'postgres' ]);
like($dump, qr/\Q$p1\E/, 'pg_dump has the pseudonym');
unlike($dump, qr/mallory-rawid/, 'and no raw id');
unlike($dump, qr/$key1/i, 'nor the key');
unlike(value('SELECT * FROM slm_feedback.report_daily(); SELECT * FROM slm_feedback.report_top_questions(); SELECT * FROM slm_feedback.export_interactions(); TABLE slm_feedback.daily_metrics; TABLE slm_feedback.audit_log'),
	qr/mallory-rawid/, 'nor a report, an export or the audit log');

# --- the key, by every route of a role that is no superuser --------------------------------------------
value(q{CREATE ROLE snoop LOGIN; GRANT pg_read_all_settings, pg_read_all_stats, pg_monitor, pg_read_all_data TO snoop;
	GRANT SELECT ON pg_file_settings TO snoop; GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO snoop;
	SELECT slm_feedback.grant_access('snoop', 'admin'); CREATE SCHEMA snoop AUTHORIZATION snoop});
foreach my $route (
	q{SELECT string_agg(s::text, ' ') FROM pg_settings s},
	q{SELECT string_agg(s::text, ' ') FROM pg_file_settings s},
	q{SHOW ALL},
	q{SHOW slm_feedback.pseudonym_key_file},
	q{SELECT string_agg(a::text, ' ') FROM pg_stat_activity a},
	q{SELECT string_agg(slm_feedback.export_user(u)::text, ' ') FROM unnest(ARRAY['mallory-rawid-1', 'k1', 'slmp:k1:']) u},
	q{SELECT * FROM slm_feedback.user_id_report()},
	"SELECT pg_read_file('$key_file')",
	"SELECT pg_read_binary_file('$key_file')",
	"SELECT pg_stat_file('$key_file')",
	"CREATE TABLE snoop.k (line text); COPY snoop.k FROM '$key_file'",
	"CREATE TABLE snoop.k2 (line text); COPY snoop.k2 FROM PROGRAM 'cat $key_file'",
	"SELECT lo_import('$key_file')",
	"CREATE EXTENSION file_fdw",
	"SET slm_feedback.pseudonym_key_file = '/dev/stdin'",
	"ALTER SYSTEM SET slm_feedback.pseudonym_key_file = '/tmp/mine'",
	"ALTER ROLE snoop SET slm_feedback.pseudonym_key_file = '/tmp/mine'",
	"LOAD '$key_file'",
	q{SELECT slm_feedback.stored_user_id('mallory-rawid-1')})
{
	my ($ret, $out, $err) = $node->psql('postgres', $route, extra_params => [ '-U', 'snoop' ]);
	unlike(lc "$out$err", qr/$key1/, "the key does not come out of: $route");
}
# A value set before the library is loaded does not survive its loading.
my ($ret, $out, $err) = $node->psql('postgres',
	"SET slm_feedback.pseudonym_key_file = '/tmp/mine'; SELECT slm_feedback.normalize_question('x'); SELECT count(*) > 0 FROM slm_feedback.export_user('mallory-rawid-1') u, jsonb_array_elements(u -> 'queries')",
	extra_params => [ '-U', 'snoop' ]);
unlike($out, qr/^f$/m, 'a key file of the session\'s own is not taken');
# With a key file that is unusable, the error says nothing of its content.
write_keys("k1:$key1\nnonsense $key1\n");
foreach my $call (q{SELECT slm_feedback.record_query('q', user_id => 'mallory-' || 'rawid-1')},
	q{SELECT * FROM slm_feedback.record_queries('[{"query_text": "q", "user_id": "x"}]')},
	q{INSERT INTO slm_feedback.queries (request_id, query_text, user_id) VALUES ('late', 'q', 'mallory-' || 'rawid-1')})
{
	($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$call");
	like($err, qr/F0000: user ids cannot be pseudonymised.*Line 2/s, "without a usable key nothing is stored: $call");
	unlike($err, qr/$key1|mallory-rawid/, 'and the message holds neither key nor id');
}
is(value('SELECT count(*) FROM slm_feedback.queries'), '5', 'nothing was stored');
is(value(q{SELECT slm_feedback.record_query('anonymous', request_id => 'anonymous')}), 'anonymous', 'what has no user id needs no key');

# --- rotation: the newest key first; the same person stays the same ------------------------------------
my $key2 = random_hex();
write_keys("k2:$key2\nk1:$key1\n");
value(q{SELECT slm_feedback.submit_feedback('single', comment => 'after the rotation', user_id => 'mallory-' || 'rawid-1')});
is(value(q{SELECT string_agg(kind || ' ' || row_count || ' ' || to_convert, ', ') FROM slm_feedback.user_id_report() WHERE table_name = 'feedback'}),
	'current 1 0, older 3 3', 'user_id_report() says what is left to convert');
value('CALL slm_feedback.convert_user_ids(1)');
is(value(q{SELECT sum(to_convert) || ' ' || string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM slm_feedback.user_id_report()}), '0 current none', 'converted, in batches of one');
is(value(q{SELECT count(*) || ' ' || max(rating) || ' ' || max(comment) FROM slm_feedback.feedback WHERE request_id = 'single'}),
	'1 4 after the rotation', 'the opinions of one person under both keys have become one');
is(value(q{SELECT slm_feedback.submit_feedback('single', is_helpful => false, user_id => 'mallory-' || 'rawid-1') IS NOT NULL; SELECT count(*) FROM slm_feedback.feedback WHERE request_id = 'single'}),
	"t\n1", 'and a new call finds it');
is(value(q{SELECT jsonb_array_length(slm_feedback.export_user('mallory-' || 'rawid-1') -> 'queries')}),
	value("SELECT jsonb_array_length(slm_feedback.export_user('$p1') -> 'queries')"), 'the person is found by id and by an old pseudonym');
# Impersonation: a pseudonym given as an id is an id.
my $p2 = value(q{SELECT user_id FROM slm_feedback.feedback WHERE request_id = 'single'});
value("SELECT slm_feedback.submit_feedback('single', rating => 1, user_id => '$p2')");
is(value(q{SELECT count(*) FROM slm_feedback.feedback WHERE request_id = 'single'}), '2', 'who names a pseudonym does not act as its owner');

# --- drop ----------------------------------------------------------------------------------------------
value(q{SELECT slm_feedback.set_user_id_policy('drop')});
value('CALL slm_feedback.convert_user_ids()');
is(value(q{SELECT count(user_id) FROM slm_feedback.queries}) + value(q{SELECT count(user_id) FROM slm_feedback.feedback}), 0, 'drop removes every user id');
is(value(q{INSERT INTO slm_feedback.queries (request_id, query_text, user_id) VALUES ('dropped', 'q', 'mallory') RETURNING user_id IS NULL}), 't', 'and stores none');

# --- what is returned in a transaction that is rolled back leaves no row in audit_log, but a line in the log ---
my $entries = value('SELECT count(*) FROM slm_feedback.audit_log');
$log_start = -s $node->logfile;
value(q{CREATE ROLE auditor; SELECT slm_feedback.grant_access('auditor', 'admin')});
value(q{BEGIN; SET LOCAL ROLE auditor; SELECT slm_feedback.export_user('mallory-' || 'rawid-1'); ROLLBACK});
is(value('SELECT count(*) FROM slm_feedback.audit_log'), $entries + 1, 'an export that is rolled back leaves no entry');
my $log = slurp_file($node->logfile, $log_start);
like($log, qr/LOG: .*slm_feedback audit: role "auditor" called export_user\n.*DETAIL: .*Session role "\w+", details \{.*"queries": 0.*\}/, 'but a line in the log');
unlike($log, qr/mallory-rawid/, 'which does not name the person');
$node->stop;
done_testing();
