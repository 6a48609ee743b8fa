# Redaction in databases whose encoding is not UTF-8: ASCII forms are found beside any neighbour, and every text stays
# valid in its encoding.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$node->start;

# Bytes as the database has them, between two of which a form stands: letters, quotes, a no-break space.
my %neighbours = (
	LATIN1 => [ "\xe9", "\xab", "\xbb", "\xa0" ],
	WIN1252 => [ "\xe9", "\x84", "\x93", "\x85", "\xa0" ],
	WIN1251 => [ "\xe6", "\xab", "\xb9" ],
	KOI8R => [ "\xd6", "\x9a" ],
	EUC_JP => [ "\xa5\xab", "\xa1\xd6", "\x8e\xb1", "\x8f\xb0\xa1" ],
	EUC_KR => [ "\xb0\xa1", "\xa1\xae" ],
	EUC_CN => [ "\xb0\xa1", "\xa1\xb0" ],
	SQL_ASCII => [ "\xe9", "\xe4\xb8\xad", "\x80" ]);
my %forms = ('4111 1111 1111 1111' => '[CARD]', '+49 30 1234567' => '[PHONE]', '192.168.0.1' => '[IP]',
	'DE89 3704 0044 0532 0130 00' => '[IBAN]', 'sk-abcdefghijklmnopqrstuv' => '[KEY]', '<ann@example.org>' => '<[EMAIL]>');

foreach my $encoding (sort keys %neighbours)
{
	my $database = lc "in_$encoding";
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION slm_feedback CASCADE');
	my $literal = sub { "convert_from('\\x" . unpack('H*', $_[0]) . "', '$encoding')" };
	my (@texts, @wanted);
	foreach my $neighbour (@{ $neighbours{$encoding} })
	{
		foreach my $form (sort keys %forms)
		{
			push @texts, $literal->("a $neighbour$form$neighbour z");
			push @wanted, $literal->("a $neighbour$forms{$form}$neighbour z");
		}
	}
	my $check = sub {
		return $node->safe_psql($database, sprintf(
			q{SELECT count(*) FROM unnest(ARRAY[%s], ARRAY[%s]) t (value, wanted)
			WHERE slm_feedback.redact(value) <> wanted OR slm_feedback.redact(wanted) <> wanted},
			join(', ', @texts), join(', ', @wanted)));
	};
	is($check->(), '0', "$encoding: every kind beside every neighbour");
	is($node->safe_psql($database, 'SELECT cardinality(slm_feedback.redaction_kinds(' . join(' || ', @texts) . '))'), scalar(@texts), "$encoding: and in one text");

	# E-mail addresses may hold letters: whatever is taken for one, the text stays valid.
	$node->safe_psql($database, "SELECT slm_feedback.set_redaction_pattern('OWN', 'K\\d{3,200}')");
	my @mixed = map { my $n = $_; map { $literal->("$n$_$n") } 'ann@example.org', 'K123', $n x 990 . 'K' . 1 x 200 . $n x 50 } @{ $neighbours{$encoding} };
	push @mixed, $literal->("a$neighbours{$encoding}[0]\@x.org"); # the first is a letter
	is($node->safe_psql($database, sprintf(
			q{SELECT count(*) FROM unnest(ARRAY[%s]) t (value), LATERAL (SELECT slm_feedback.redact(value)) r (once)
			WHERE once = value OR once LIKE '%%@x.org%%' OR once ~ 'K1' OR slm_feedback.redact(once) <> once
			   OR convert_from(convert_to(once, '%s'), '%s') <> once}, join(', ', @mixed), $encoding, $encoding)),
		'0', "$encoding: e-mail addresses and own patterns");
}
$node->stop;
done_testing();
