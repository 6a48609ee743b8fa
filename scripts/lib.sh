# Shared by scripts/demo and scripts/test: sourced, not run.
#
# Everything happens in a work directory of its own (slm_work): a copy of the checkout, a copy of the
# machine's PostgreSQL programs with the extension installed into the copy, and throwaway servers. So the
# checkout, the machine's PostgreSQL and its clusters stay as they are; only missing packages are installed.
# PostgreSQL finds its files relative to its own binary, which is what makes the copy work.
#
# PostgreSQL refuses to run as root: for root, everything in the work directory belongs to and runs as the
# system user postgres (slm_as_user); for anybody else, as that user.

slm_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
slm_work=
slm_user=
slm_servers=()
slm_oldest_version=15

# What demo and test need, beside the server's own packages (see slm_choose_server).
slm_build_packages=(make gcc libc6-dev)
slm_test_packages=(perl libipc-run-perl libtap-parser-sourcehandler-pgtap-perl python3-psycopg libfaketime)

slm_say() {
	printf '%s %s\n' '--' "$*"
}

slm_die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# --- packages ------------------------------------------------------------------------------------------

slm_sudo() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif ! command -v sudo >/dev/null; then
		slm_die "not root and no sudo: as root, run: ${*}"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

slm_installed() {
	[[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]
}

slm_available() {
	local candidate
	candidate=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
	[ -n "$candidate" ] && [ "$candidate" != '(none)' ]
}

# slm_check_root SUITE: makes the system of scripts/in_root, if need be. Where that can't be done for a reason outside of
# the project, it says 'skipped' with the reason, and the status is 77; after any other failure it is another one.
slm_check_root() {
	local log status=0
	log=$(mktemp)
	"$slm_root/scripts/in_root" "$1" true >"$log" 2>&1 </dev/null || status=$?
	[ $status = 0 ] || sed 's/^/      | /' "$log"
	[ $status != 77 ] || echo "   skipped: $(tail -n 1 "$log")"
	rm -f "$log"
	return $status
}

# Runs a command quietly; its output is shown if it fails.
slm_quietly() {
	local log
	log=$(mktemp)
	if "$@" >"$log" 2>&1 </dev/null; then
		rm -f "$log"
	else
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
}

slm_apt_get() {
	slm_sudo env DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=600 "$@"
}

slm_apt_updated=
slm_apt_update() {
	[ -z "$slm_apt_updated" ] || return 0
	slm_say "apt-get update"
	slm_quietly slm_apt_get update || slm_say "apt-get update failed: going on with the package lists that are there"
	slm_apt_updated=yes
}

# Installs those of the named packages that are missing.
slm_install_packages() {
	local package missing=()
	for package; do
		slm_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || slm_die "these packages are missing, and there is no apt-get here: ${missing[*]}"
	for package in "${missing[@]}"; do
		slm_available "$package" || { slm_apt_update; break; }
	done
	slm_say "installing ${missing[*]}"
	if [ -n "$slm_apt_updated" ]; then
		slm_quietly slm_apt_get install --no-install-recommends "${missing[@]}"
	else
		# Old package lists may name files that the mirror no longer has: once more with new lists.
		slm_quietly slm_apt_get install --no-install-recommends "${missing[@]}" 2>/dev/null ||
			{ slm_apt_update && slm_quietly slm_apt_get install --no-install-recommends "${missing[@]}"; }
	fi || slm_die "could not install what is missing; as root, run: apt-get install ${missing[*]}"
}

# The packages for a server version; with a second argument, those for the tests, too.
slm_server_packages() {
	printf '%s\n' "postgresql-$1" "postgresql-server-dev-$1" "postgresql-$1-hll" "postgresql-$1-tdigest"
	[ -z "${2:-}" ] || printf '%s\n' "postgresql-$1-pgtap" "postgresql-$1-cron"
}

slm_newest_version() {
	local version package all
	while read -r version; do
		all=yes
		while read -r package; do
			"$2" "$package" || { all=; break; }
		done < <(slm_server_packages "$version")
		[ -z "$all" ] || { echo "$version"; return; }
	done < <("$1" | sort -rnu | awk -v oldest=$slm_oldest_version '$1 >= oldest')
}

slm_list_installed() {
	dpkg-query -W -f '${Package}\n' 'postgresql-[0-9]*-hll' 2>/dev/null | sed -n 's/^postgresql-\([0-9]*\)-hll$/\1/p'
}

slm_list_available() {
	apt-cache pkgnames postgresql- 2>/dev/null | sed -n 's/^postgresql-\([0-9]*\)-hll$/\1/p'
}

# Sets slm_version: the one asked for, or the newest that is wholly installed, or the newest that apt has.
slm_choose_server() {
	slm_version=${1:-}
	[ -n "$slm_version" ] || slm_version=$(slm_newest_version slm_list_installed slm_installed)
	[ -n "$slm_version" ] || slm_version=$(slm_newest_version slm_list_available slm_available)
	if [ -z "$slm_version" ]; then
		slm_apt_update
		slm_version=$(slm_newest_version slm_list_available slm_available)
	fi
	[ -n "$slm_version" ] || slm_die "apt has no PostgreSQL $slm_oldest_version or newer with hll and tdigest" \
		"(packages postgresql-NN-hll and postgresql-NN-tdigest; on Ubuntu they are in the component universe)"
}

# Installs the chosen server and what else is named. A new server package would create and start a cluster:
# that is not ours to do to the machine, so it is told not to.
slm_install_server() {
	local conf=/etc/postgresql-common/createcluster.d/slm_feedback.conf
	if slm_installed "postgresql-$slm_version"; then
		slm_install_packages "$@"
		return
	fi
	slm_install_packages postgresql-common
	slm_sudo mkdir -p "$(dirname $conf)"
	echo 'create_main_cluster = off' | slm_sudo tee $conf >/dev/null
	(slm_install_packages "$@") || { slm_sudo rm -f $conf; exit 1; }
	slm_sudo rm -f $conf
}

# npm builds the dashboard's page and drives the browser. Many bring it with Node.js; Debian packages it by itself.
slm_install_npm() {
	command -v npm >/dev/null || (slm_install_packages npm) || slm_say "going on without npm"
}

# Does node run, in this version or a newer one?
slm_has_node() {
	command -v npm >/dev/null && [ "$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)" -ge "$1" ]
}

# --- the work directory --------------------------------------------------------------------------------

slm_as_user() {
	if [ -n "$slm_user" ]; then
		setpriv --reuid="$slm_user" --regid="$slm_user" --init-groups -- env HOME="$slm_work" "$@"
	else
		"$@"
	fi
}

# Runs a build step; its output goes to a log file, which is shown if it fails.
slm_logged() {
	local log=$slm_work/log/$1.log
	shift
	if ! slm_as_user "$@" >>"$log" 2>&1 </dev/null; then
		tail -n 60 "$log" >&2
		return 1
	fi
}

slm_make_work() {
	slm_work=$(mktemp -d "${TMPDIR:-/tmp}/slm_feedback.XXXXXX")
	chmod 755 "$slm_work"
	trap slm_cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkdir "$slm_work"/{log,src,pg,home}
	if [ "$(id -u)" = 0 ]; then
		slm_user=postgres
		chown -R "$slm_user:" "$slm_work"
	fi
	export LANG=C.UTF-8 LC_ALL=C.UTF-8 TZ=UTC
	unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA PGAPPNAME MAKEFLAGS MAKELEVEL
	export PSQLRC=/dev/null
	# A directory that nobody but root may enter would stop the servers' user.
	slm_as_user test -x "$slm_work/src" || slm_die "user $slm_user cannot use $slm_work: set TMPDIR to another directory"
	cd "$slm_work"
}

# The process group of the test that runs, if any: after an interrupt it is told to end and to stop its own servers.
slm_group=
slm_end_group() {
	local try
	[ -n "$slm_group" ] && kill -TERM -- "-$slm_group" 2>/dev/null || return 0
	for try in {1..100}; do
		kill -0 -- "-$slm_group" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL -- "-$slm_group" 2>/dev/null || true
}

# Stops the servers, keeps the logs if anything failed, and removes everything else.
slm_cleanup() {
	local status=$? directory
	trap - EXIT
	trap '' INT TERM HUP
	slm_end_group
	for directory in ${slm_servers[@]+"${slm_servers[@]}"}; do
		slm_stop_server "$directory" immediate
	done
	cd /
	if [ $status -ne 0 ] && [ $status -lt 128 ] && [ -n "$(ls "$slm_work/log" 2>/dev/null)" ]; then
		rm -rf "$slm_work"/{pg,home,data,server*}
		[ -n "${slm_quiet_cleanup:-}" ] || printf '%s\n' "-- the logs are in $slm_work/log" >&2
	else
		rm -rf "$slm_work"
	fi
	exit $status
}

# Copies the checkout, without what was built in it.
slm_copy_source() {
	tar -C "$slm_root" -cf - --exclude-vcs --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude=node_modules --exclude=tmp_check --exclude=results . |
		slm_as_user tar -C "$slm_work/src" -xf - --no-same-owner
	slm_as_user chmod -R u+w "$slm_work/src"
}

# Makes the private PostgreSQL: sets PG_CONFIG and slm_bin, and puts its programs first in the path.
# SLM_SERVER names another server than the packages' to copy, as scripts/assert_server builds it, and
# SLM_WRAPPER a command by which the server's programs run: a memory checker, which writes what it finds to
# files whose names start with @LOG@ (see scripts/harden).
slm_make_pgtree() {
	local tree=$slm_work/pg
	if [ -n "${SLM_SERVER:-}" ]; then
		slm_as_user mkdir -p "$tree/lib/postgresql"
		slm_as_user cp -a --no-preserve=ownership "$SLM_SERVER" "$tree/lib/postgresql/$slm_version"
		slm_use_pgtree
		return
	fi
	[ -x "/usr/lib/postgresql/$slm_version/bin/postgres" ] ||
		slm_die "there is no /usr/lib/postgresql/$slm_version/bin/postgres"
	slm_as_user mkdir -p "$tree"/{lib/postgresql,share/postgresql,include}
	slm_as_user cp -a --no-preserve=ownership "/usr/lib/postgresql/$slm_version" "$tree/lib/postgresql/"
	slm_as_user cp -a --no-preserve=ownership "/usr/share/postgresql/$slm_version" "$tree/share/postgresql/"
	slm_as_user ln -s /usr/include/postgresql "$tree/include/postgresql"
	slm_use_pgtree
}

slm_use_pgtree() {
	slm_bin=$slm_work/pg/lib/postgresql/$slm_version/bin
	export PG_CONFIG=$slm_bin/pg_config
	export PATH=$slm_bin:$PATH
	if [ -n "${SLM_WRAPPER:-}" ]; then
		slm_as_user mv "$slm_bin/postgres" "$slm_bin/postgres.real"
		printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${SLM_WRAPPER//@LOG@/$slm_work/log/checker}" "$slm_bin/postgres.real" |
			slm_as_user tee "$slm_bin/postgres" >/dev/null
		slm_as_user chmod 755 "$slm_bin/postgres"
	fi
}

# Without bitcode for the server's JIT: the throwaway servers have no use for it. SLM_COPT: flags for gcc.
slm_make() {
	make --no-print-directory -C "$slm_work/src" PG_CONFIG="$PG_CONFIG" with_llvm=no ${SLM_COPT:+COPT="$SLM_COPT"} "$@"
}

slm_build() {
	slm_say "building the extension for PostgreSQL $slm_version"
	slm_logged build bash -c "$(declare -f slm_make); slm_work=$slm_work; slm_make -j'$(nproc)' all && slm_make install" ||
		slm_die "the build failed"
}

# --- servers -------------------------------------------------------------------------------------------

slm_free_port() {
	perl -MIO::Socket::INET -e '
		for (1 .. 200) {
			my $port = 50000 + int(rand(10000));
			my $socket = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 1) or next;
			print $port;
			exit 0;
		}
		exit 1'
}

# slm_start_server NAME [CONFIGURATION FILE]: a new server, reached by a socket in a directory that only its
# user may enter. With slm_password set it also listens on the loopback address, where the password is
# asked for. Sets slm_data, slm_socket and slm_port.
slm_start_server() {
	local name=$1 config=${2:-} try
	slm_data=$slm_work/server_$name
	slm_socket=$slm_work/home
	chmod 700 "$slm_socket"
	slm_as_user bash -c 'echo "$2" >"$1.pw"' - "$slm_data" "${slm_password:-none}"
	slm_logged "initdb_$name" "$slm_bin/initdb" -D "$slm_data" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync \
		--auth-local=trust --auth-host=scram-sha-256 --pwfile="$slm_data.pw" || slm_die "initdb failed"
	slm_as_user rm -f "$slm_data.pw"
	slm_as_user tee -a "$slm_data/postgresql.conf" >/dev/null <<-END
		unix_socket_directories = '$slm_socket'
		listen_addresses = '${slm_password:+127.0.0.1}'
		log_line_prefix = '%m [%p] %q%a '
		timezone = 'UTC'
		fsync = off
		${SLM_SETTINGS:-}
		$([ -z "$config" ] || cat "$config")
	END
	for try in 1 2 3 4 5; do
		slm_port=$(slm_free_port) || slm_die "no free port"
		slm_as_user "$slm_bin/pg_ctl" start -w -t 60 -D "$slm_data" -l "$slm_work/log/server_$name.log" \
			-o "-p $slm_port" >/dev/null 2>&1 </dev/null || continue
		slm_servers+=("$slm_data")
		return 0
	done
	tail -n 20 "$slm_work/log/server_$name.log" >&2
	slm_die "the server did not start"
}

slm_stop_server() {
	[ ! -f "$1/postmaster.pid" ] ||
		slm_as_user "$slm_bin/pg_ctl" stop -w -D "$1" -m "${2:-fast}" >/dev/null 2>&1 || true
}

slm_psql() {
	slm_as_user "$slm_bin/psql" -X -q -P pager=off -v ON_ERROR_STOP=1 -h "$slm_socket" -p "$slm_port" -U postgres "$@"
}
