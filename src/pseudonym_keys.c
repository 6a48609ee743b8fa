/*
 * pseudonym_keys.c
 *		Reading the keys that make pseudonyms of user ids from a file.
 *
 * The keys are not a setting, because every setting is a row of pg_settings or
 * pg_file_settings that some role may read.  The setting is the path of a file
 * that only the server's operating system user can read; a role without
 * pg_read_server_files or pg_execute_server_program has no way to it.
 *
 * A line is NAME:HEX, the newest key first; empty lines and lines that start
 * with # are skipped.  A session reads the file when it first needs a key and
 * again after each reload of the configuration.  No error message holds any
 * part of the file but a line number.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fmgr.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "pseudonym_keys.h"

#define MAX_FILE_BYTES 16384
#define MIN_DISTINCT_BYTES 16

static char *key_file = NULL;
static PseudonymKeys keys;
static bool keys_loaded = false;
static TimestampTz loaded_after_reload; /* PgReloadTime when keys were read */

void
slm_pseudonym_keys_init(void)
{
	DefineCustomStringVariable(
		"slm_feedback.pseudonym_key_file",
		"File with the keys that make pseudonyms of user ids.",
		"Lines of NAME:HEX, the newest key first; readable by the server's "
		"operating system user only.",
		&key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

bool
slm_pseudonym_keys_configured(void)
{
	return key_file != NULL && key_file[0] != '\0';
}

static void
refuse_file(const char *problem, int line)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
					errmsg("user ids cannot be pseudonymised: %s", problem),
					line > 0 ? errdetail("Line %d of the file that "
										 "slm_feedback.pseudonym_key_file "
										 "names is wrong.",
										 line)
							 : 0,
					errhint("As the server's operating system user: umask 077; "
							"echo \"k1:$(openssl rand -hex 32)\" > FILE; then "
							"set slm_feedback.pseudonym_key_file = 'FILE' in "
							"postgresql.conf and reload.")));
}

/*
 * Ours and closed to everybody else, or root's and readable by our group: the
 * rule that the server has for the key of its TLS certificate.
 */
static void
check_file_mode(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		refuse_file("the key file is not a regular file", 0);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		refuse_file("the key file belongs to another user", 0);
	if ((st->st_uid == geteuid() && (st->st_mode & (S_IRWXG | S_IRWXO)) != 0) ||
		(st->st_uid != geteuid() &&
		 (st->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0))
		refuse_file("others than the server's user can read the key file "
					"(its mode must be 0600, or 0640 if it belongs to root)",
					0);
	if (st->st_size > MAX_FILE_BYTES)
		refuse_file("the key file is too large", 0);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A key that somebody typed instead of drawing it: too few different bytes. */
static bool
is_weak(const PseudonymKey *key)
{
	bool seen[256] = {false};
	int distinct = 0;

	for (int i = 0; i < key->length; i++)
		if (!seen[key->bytes[i]])
		{
			seen[key->bytes[i]] = true;
			distinct++;
		}
	return distinct < MIN_DISTINCT_BYTES;
}

/* What is wrong with a line, or NULL and the key. */
static const char *
parse_key(const char *line, PseudonymKey *key)
{
	int n = 0;

	memset(key, 0, sizeof(*key));
	while ((line[n] >= 'a' && line[n] <= 'z') ||
		   (line[n] >= '0' && line[n] <= '9'))
		n++;
	if (n == 0 || n > MAX_KEY_NAME || line[n] != ':')
		return "a key must be written NAME:HEX, with a name of 1 to 8 lower "
			   "case letters and digits";
	memcpy(key->name, line, n);
	if (strcmp(key->name, "erased") == 0)
		return "a key must not be named \"erased\"";

	for (line += n + 1; *line != '\0'; line += 2)
	{
		int high = hex_digit(line[0]);
		int low = high < 0 ? -1 : hex_digit(line[1]);

		if (low < 0)
			return "a key must have an even number of hexadecimal digits";
		if (key->length == MAX_KEY_BYTES)
			return "a key must have at most 128 hexadecimal digits";
		key->bytes[key->length++] = (uint8) (high << 4 | low);
	}
	if (key->length < MIN_KEY_BYTES)
		return "a key must have at least 64 hexadecimal digits (256 bits)";
	if (is_weak(key))
		return "a key is weak: it must be drawn at random";
	return NULL;
}

static void
parse_file(char *text, PseudonymKeys *into)
{
	int number = 0;

	into->count = 0;
	for (char *line = text; line != NULL;)
	{
		char *end = strchr(line, '\n');
		char *last;
		const char *problem;

		number++;
		if (end != NULL)
			*end = '\0';
		last = line + strlen(line);
		while (last > line && (last[-1] == '\r' || last[-1] == ' '))
			*--last = '\0';
		if (*line != '\0' && *line != '#')
		{
			if (into->count == MAX_PSEUDONYM_KEYS)
				refuse_file("the key file has more than 16 keys", number);
			problem = parse_key(line, &into->keys[into->count]);
			if (problem != NULL)
				refuse_file(problem, number);
			for (int i = 0; i < into->count; i++)
				if (strcmp(into->keys[i].name, into->keys[into->count].name) ==
					0)
					refuse_file("two keys have the same name", number);
			into->count++;
		}
		line = end != NULL ? end + 1 : NULL;
	}
	if (into->count == 0)
		refuse_file("the key file holds no key", 0);
}

/* Read the whole file into `text`, null-terminated. */
static void
read_file(char *text)
{
	int fd = OpenTransientFile(key_file, O_RDONLY | PG_BINARY | O_NONBLOCK);
	struct stat st;
	ssize_t bytes;

	if (fd < 0)
		refuse_file(errno == ENOENT
						? "the key file does not exist"
						: psprintf("the key file cannot be opened: %m"),
					0);
	if (fstat(fd, &st) != 0)
		refuse_file(psprintf("the key file cannot be read: %m"), 0);
	check_file_mode(&st);
	bytes = read(fd, text, MAX_FILE_BYTES);
	if (bytes < 0)
		refuse_file(psprintf("the key file cannot be read: %m"), 0);
	text[bytes] = '\0';
	CloseTransientFile(fd);
}

/*
 * The keys, at least one.  Raises F0000 if there is no file, or anything is
 * wrong with it or who may read it.
 */
const PseudonymKeys *
slm_pseudonym_keys(void)
{
	char text[MAX_FILE_BYTES + 1];

	if (keys_loaded && loaded_after_reload == PgReloadTime)
		return &keys;

	keys_loaded = false;
	if (!slm_pseudonym_keys_configured())
		refuse_file("slm_feedback.pseudonym_key_file is not set", 0);
	PG_TRY();
	{
		read_file(text);
		parse_file(text, &keys);
	}
	PG_FINALLY();
	{
		explicit_bzero(text, sizeof(text));
	}
	PG_END_TRY();
	loaded_after_reload = PgReloadTime;
	keys_loaded = true;
	return &keys;
}
