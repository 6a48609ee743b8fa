# The examples of the pages that lead into the project: every statement runs, and prints what the page shows.
#
# Each page runs in a server of its own. With SLM_WRITE_PAGES=DIRECTORY the pages are written there anew, with the
# outputs that their examples gave.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use SlmFeedback::Examples qw(run_examples);

# page => the least number of its examples
my %pages = (tutorial => 12, analysts => 20);

foreach my $name (sort keys %pages)
{
	my $text = slurp_file("docs/$name.md");
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "timezone = 'UTC'");
	$node->start;
	my ($new, $ran, $skipped, @failed) = run_examples($node, $text);
	$node->stop;

	is_deeply(\@failed, [], "$name: every example runs");
	cmp_ok($ran, '>=', $pages{$name}, "$name: there are at least $pages{$name} examples");
	is($skipped, 0, "$name: no example is left out");
	if ($ENV{SLM_WRITE_PAGES})
	{
		open my $file, '>', "$ENV{SLM_WRITE_PAGES}/$name.md" or die "cannot write $name.md: $!";
		print $file $new;
		close $file;
		next;
	}
	is($new, $text, "$name: the outputs are as the page shows them");
}
done_testing();
