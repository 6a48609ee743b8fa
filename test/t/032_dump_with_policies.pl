# Dump and restore under the privacy policies: what was stored is restored as it was, pseudonyms are not made of
# pseudonyms, redaction patterns and settings arrive and hold for what is written next.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $key_file = $node->basedir . '/pseudonym_keys';
append_to_file($key_file, 'k1:' . join('', map { sprintf '%02x', int rand 256 } 1 .. 32) . "\n");
chmod 0600, $key_file;
$node->append_conf('postgresql.conf', "slm_feedback.pseudonym_key_file = '$key_file'\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE source');

# Rows from before the policies, and after.
$node->safe_psql('source', q{
CREATE EXTENSION slm_feedback CASCADE;
SELECT slm_feedback.set_user_id_policy('pseudonym');
SELECT slm_feedback.record_query('before a@x.org', 'C-1234', 'before', 'alice');
SELECT slm_feedback.submit_feedback('before', true, comment => 'a@x.org', user_id => 'bob');
SELECT slm_feedback.submit_correction('before', 'a@x.org C-1234', 'bob', 'C-1234');
SELECT slm_feedback.set_redaction_pattern('CUSTOMER', 'C-\d{4}');
SELECT slm_feedback.set_redaction_pattern('BADGE', '(?i)\mbadge \d+');
SELECT slm_feedback.set_redaction(true);
SELECT slm_feedback.record_query('after a@x.org', 'C-1234 badge 7', 'after', 'alice');
SELECT slm_feedback.submit_feedback('after', true, comment => 'a@x.org', user_id => 'bob');
CALL slm_feedback.rollup();
});

sub state_of
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
SELECT * FROM slm_feedback.settings;
SELECT * FROM slm_feedback.redaction_patterns ORDER BY name;
SELECT * FROM slm_feedback.queries ORDER BY request_id;
SELECT * FROM slm_feedback.feedback ORDER BY request_id;
SELECT * FROM slm_feedback.corrections ORDER BY request_id;
SELECT action, details FROM slm_feedback.audit_log ORDER BY action, details::text;
SELECT * FROM slm_feedback.report_daily();
});
}

my $expected = state_of('source');
like($expected, qr/after \[EMAIL\]\|\[CUSTOMER\] \[BADGE\]/, 'texts are redacted before the dump');
like($expected, qr/before a\@x\.org/, 'those from before the switch are not');

# By pg_restore, and as statements that psql reads.
my $file = $PostgreSQL::Test::Utils::tmp_check . '/source.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('source') ], 'pg_dump');
my ($contents) = run_command([ 'pg_restore', '-l', $file ]);
like($contents, qr/TABLE DATA slm_feedback corrections .*TABLE DATA slm_feedback feedback .*TABLE DATA slm_feedback settings /s, 'settings are loaded after the rows of opinions');
like($contents, qr/TABLE DATA slm_feedback queries .*TABLE DATA slm_feedback settings /s, 'and of queries');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $file ], 'pg_restore');
my ($script) = run_command([ 'pg_dump', '--inserts', $node->connstr('source') ]);
$node->safe_psql('postgres', 'CREATE DATABASE from_statements');
is($node->psql('from_statements', $script, on_error_die => 0), 0, 'a plain dump runs without an error');

foreach my $database ('restored', 'from_statements')
{
	is(state_of($database), $expected, "$database: everything is as it was");
	is($node->safe_psql($database, q{
SELECT slm_feedback.record_query('next a@x.org', 'C-1234 badge 7', 'next', 'alice');
SELECT q.query_text, q.response_text, count(DISTINCT p.user_id) FROM slm_feedback.queries q, slm_feedback.queries p
WHERE q.request_id = 'next' GROUP BY 1, 2}),
		"next\nnext [EMAIL]|[CUSTOMER] [BADGE]|1", "$database: what is written next is redacted, of the same person");
}

$node->stop;
done_testing();
