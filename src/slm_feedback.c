/*
 * slm_feedback.c
 *		The module: what happens when the library is loaded.
 *
 * Each file registers its own settings and callbacks; this one calls them and
 * then reserves the prefix, so that a misspelt slm_feedback.* setting is an
 * error instead of a silent placeholder.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "clock.h"
#include "compat.h"
#include "dashboard.h"
#include "direct_insert.h"
#include "guard_triggers.h"
#include "late_marks.h"
#include "pseudonym_keys.h"
#include "redaction_kinds.h"
#include "redaction_patterns.h"
#include "reports.h"
#include "rollup.h"
#include "settings.h"
#include "worker.h"
#include "yield_database.h"

PG_MODULE_MAGIC_EXT(.name = "slm_feedback", .version = SLM_VERSION);

void _PG_init(void);

void
_PG_init(void)
{
	slm_settings_init();
	slm_late_marks_init();
	slm_guard_triggers_init();
	slm_direct_insert_init();
	slm_rollup_init();
	slm_reports_init();
	slm_pseudonym_keys_init();
	slm_redaction_kinds_init();
	slm_redaction_patterns_init();
	slm_dashboard_file_init();
	slm_clock_init();
	slm_worker_init();
	slm_yield_database_init();
	MarkGUCPrefixReserved("slm_feedback");
}
