/*
 * dashboard_file.c
 *		The file that the dashboard is written to, for a web server.
 *
 * The page is written by the server's operating system user under a path that
 * a superuser has set, so nobody else may choose what it overwrites: not the
 * owner of a database by its name, which %d stands for, and not whoever may
 * write to the folder, by a link that waits where the temporary file goes.
 * The last step is a rename, which replaces a link and does not follow it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"

#include "compat.h"
#include "dashboard.h"

PG_FUNCTION_INFO_V1(slm_write_dashboard);

static char *dashboard_file = NULL;
static bool dashboard_file_questions = false;

static bool
check_dashboard_file(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errdetail("The path \"%s\" is not absolute.", *newval);
	return false;
}

void
slm_dashboard_file_init(void)
{
	DefineCustomStringVariable(
		"slm_feedback.dashboard_file",
		"The file that the worker writes the dashboard to after each refresh.",
		"An absolute path; %d in it stands for the database's name. Empty, the "
		"default, writes none.",
		&dashboard_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
		check_dashboard_file, NULL, NULL);
	DefineCustomBoolVariable("slm_feedback.dashboard_file_questions",
							 "Whether that file shows the texts of questions.",
							 "Whoever can read the file can read them then.",
							 &dashboard_file_questions, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
}

/* The database's name, if it stands for nothing but itself in a path. */
static char *
database_in_path(void)
{
	char *name = get_database_name(MyDatabaseId);

	if (name[0] == '.' || first_dir_separator(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("the name of database \"%s\" cannot stand in the path "
						"of the dashboard's file",
						name),
				 errdetail("It contains a slash or begins with a dot."),
				 errhint("Rename the database, or set "
						 "slm_feedback.dashboard_file without %%d.")));
	return name;
}

/* The configured path, with %d replaced by the database's name. */
static char *
dashboard_path(void)
{
	StringInfoData path;

	initStringInfo(&path);
	for (const char *c = dashboard_file; *c != '\0'; c++)
	{
		if (c[0] == '%' && c[1] == 'd')
		{
			appendStringInfoString(&path, database_in_path());
			c++;
		}
		else
			appendStringInfoChar(&path, *c);
	}
	return path.data;
}

/*
 * Create a file that was not there, without following a link.  What a crash
 * has left under the name is removed first.
 */
static int
create_file(const char *path)
{
	(void) unlink(path);
	return OpenTransientFile(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
									   PG_BINARY);
}

/* Write and flush a file that everybody may read: a web server is another user. */
static void
write_file(const char *path, const char *content, size_t length)
{
	int fd = create_file(path);

	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create file \"%s\": %m", path)));
	while (length > 0)
	{
		ssize_t written;

		errno = 0;
		written = write(fd, content, length);
		if (written <= 0)
		{
			if (errno == EINTR)
				continue;
			/* if write didn't set errno, assume problem is no disk space */
			errno = errno == 0 ? ENOSPC : errno;
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not write file \"%s\": %m", path)));
		}
		content += written;
		length -= written;
	}
	if (fchmod(fd, 0644) != 0 || pg_fsync(fd) != 0 ||
		CloseTransientFile(fd) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", path)));
}

/* Replace a file in one step: readers see the old content or the new one. */
static void
replace_file(const char *path, const char *content, size_t length)
{
	char *temporary = psprintf("%s.%d.tmp", path, MyProcPid);

	PG_TRY();
	{
		write_file(temporary, content, length);
		durable_rename(temporary, path, ERROR);
	}
	PG_CATCH();
	{
		unlink(temporary);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * write_dashboard(): the page into the configured file.
 */
Datum
slm_write_dashboard(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	char *path;

	if (dashboard_file[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("slm_feedback.dashboard_file is not set"),
				 errhint("Set it to the absolute path of a file that the "
						 "server may write.")));
	path = dashboard_path();
	initStringInfo(&out);
	slm_append_dashboard(&out, dashboard_file_questions);
	replace_file(path, out.data, out.len);
	PG_RETURN_VOID();
}

void
slm_write_dashboard_file(void)
{
	if (dashboard_file[0] == '\0')
		return;
	SPI_connect();
	if (SPI_execute("SELECT slm_feedback.write_dashboard()", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not write the dashboard");
	SPI_finish();
}
