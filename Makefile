# slm_feedback: a PGXS extension.
#   make            build the module, the SQL script and, when npm is there, the dashboard page
#   make install    install them for the server that PG_CONFIG names
#   make installcheck   pg_regress and isolation tests against a running server
# scripts/test runs every test on a server of its own.

EXTENSION = slm_feedback
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" slm_feedback.control)

MODULE_big = slm_feedback
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

# The install script is these files, one concept each, joined in order of need.
SQL_PARTS = \
	sql/schema.sql \
	sql/names.sql \
	sql/audit_log.sql \
	sql/version.sql \
	sql/settings.sql \
	sql/question.sql \
	sql/queries.sql \
	sql/feedback.sql \
	sql/daily_metrics.sql \
	sql/guard_triggers.sql \
	sql/lock_order.sql \
	sql/record_query.sql \
	sql/submit_feedback.sql \
	sql/batch.sql \
	sql/rollup.sql \
	sql/statistics.sql \
	sql/report_access.sql \
	sql/corrections.sql \
	sql/readable.sql \
	sql/reports.sql \
	sql/jobs.sql \
	sql/periodic_reports.sql \
	sql/retention.sql \
	sql/alerts.sql \
	sql/tombstones.sql \
	sql/user_ids.sql \
	sql/redaction.sql \
	sql/export_interactions.sql \
	sql/export_daily_metrics.sql \
	sql/dashboard.sql \
	sql/training.sql \
	sql/export_training.sql \
	sql/export_changes.sql \
	sql/data_subjects.sql \
	sql/members.sql \
	sql/access.sql \
	sql/comments.sql \
	sql/check_members.sql

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DATA = $(wildcard sql/upgrades/$(EXTENSION)--*--*.sql)

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
# Both, because pg_regress looks for a test's file in the output directory first: sql/ is not for it.
REGRESS_OPTS = --inputdir=test --outputdir=test
ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = $(EXTENSION)--$(EXTVERSION).sql $(EXTENSION)-$(EXTVERSION).tar.gz $(EXTENSION)-$(EXTVERSION).zip

PG_CPPFLAGS = -DSLM_VERSION='"$(EXTVERSION)"' -I$(srcdir)/src

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) slm_feedback.control
	printf '%s\n' '\echo Use "CREATE EXTENSION slm_feedback CASCADE" to load this file. \quit' > $@.tmp
	cat $(SQL_PARTS) >> $@.tmp
	mv $@.tmp $@

# The dashboard's page: built where npm is there and can fetch what it needs, carried by a release archive.
# Without it everything works but dashboard(), which says so.
DASHBOARD = dashboard/dist/slm_feedback--dashboard.html
ifneq ($(shell command -v npm 2>/dev/null),)
all: $(DASHBOARD)
$(DASHBOARD): $(shell find dashboard/src -type f) $(wildcard dashboard/*.json dashboard/*.js dashboard/*.html)
	cd dashboard && npm ci --loglevel=error --no-audit --no-fund --no-update-notifier && npm run --silent build || \
		echo 'warning: the dashboard page was not built'
endif
install: install-dashboard
install-dashboard: | installdirs
	test ! -f $(DASHBOARD) || $(INSTALL_DATA) $(DASHBOARD) '$(DESTDIR)$(datadir)/extension/'
uninstall: uninstall-dashboard
uninstall-dashboard:
	rm -f '$(DESTDIR)$(datadir)/extension/$(notdir $(DASHBOARD))'
.PHONY: install-dashboard uninstall-dashboard

# A release archive of the committed files, with the dashboard page built, for PGXN and for systems without npm.
DISTNAME = $(EXTENSION)-$(EXTVERSION)
dist: $(if $(shell command -v npm 2>/dev/null),$(DASHBOARD))
	@grep -q '"version": "$(EXTVERSION)"' META.json || { echo 'META.json has another version than the control file' >&2; exit 1; }
	@test -f $(DASHBOARD) || { echo 'the dashboard page is missing: run make with npm installed first' >&2; exit 1; }
	git archive --format=tar --prefix=$(DISTNAME)/ HEAD > $(DISTNAME).tar
	tar --append -f $(DISTNAME).tar --owner=0 --group=0 --transform='s,^,$(DISTNAME)/,' $(DASHBOARD)
	rm -rf $(DISTNAME) $(DISTNAME).zip
	tar -xf $(DISTNAME).tar && gzip -9nf $(DISTNAME).tar
	! command -v zip >/dev/null || zip -qr $(DISTNAME).zip $(DISTNAME)
	rm -rf $(DISTNAME)
.PHONY: dist

# Every object depends on every header: there are few, and a stale struct is worse than a rebuild.
$(OBJS): $(wildcard src/*.h) slm_feedback.control
