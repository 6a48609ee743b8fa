# The examples of a documentation page, run as a reader would run them: every ```sql block in order, by psql, in one
# database. A ```text block that follows one holds what psql prints.

package SlmFeedback::Examples;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
our @EXPORT_OK = qw(run_examples has_dashboard_page);

# Is the dashboard's page, which npm builds, installed for this node's server?
sub has_dashboard_page
{
	my ($node) = @_;
	return -f $node->safe_psql('postgres', q{SELECT setting FROM pg_config WHERE name = 'SHAREDIR'}) .
		'/extension/slm_feedback--dashboard.html';
}

# Run one example; return its output, and psql's error or nothing.
sub run_example
{
	my ($node, $sql) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-P', 'footer=off', '-d', $node->connstr('postgres'), '-f', '-' ],
		'<', \$sql, '>', \$out, '2>', \$err);
	$out =~ s/[ \t]+$//mg;
	$out =~ s/\n*\z/\n/ if $out ne '';
	return ($out, $ok ? '' : "$sql$err");
}

# Run the examples of a page's text. Returns the text with the outputs that they gave, how many ran, how many were left
# out because they need the dashboard's page, and what the failed ones printed.
sub run_examples
{
	my ($node, $page) = @_;
	my ($new, $ran, $skipped, @failed) = ('', 0, 0);
	my $dashboard = has_dashboard_page($node);

	while ($page =~ /\G(.*?)^```sql\n(.*?)^```\n(\n```text\n.*?^```\n)?/gmsc)
	{
		my ($before, $sql, $text) = ($1, $2, $3 // '');
		if (!$dashboard && $sql =~ /\bdashboard\(/)
		{
			$new .= "$before```sql\n$sql```\n$text";
			$skipped++;
			next;
		}
		my ($out, $error) = run_example($node, $sql);
		push @failed, $error if $error ne '';
		$ran++;
		$new .= "$before```sql\n$sql```\n";
		$new .= "\n```text\n$out```\n" if $out ne '';
	}
	return ($new . substr($page, pos($page) // 0), $ran, $skipped, @failed);
}

1;
