/*
 * dashboard.c
 *		The dashboard: the built page with the data put into it.
 *
 * The page (dashboard/) is a file beside the extension's scripts and holds one
 * mark; the mark is replaced by a JSON document in a script element of type
 * application/json.  In it every <, > and & stands as \u003c, \u003e and
 * \u0026, so that no text of the data can end the element or open a comment,
 * and U+2028 and U+2029 are escaped, too.  Where the server's or the client's
 * encoding is not UTF-8, everything beyond ASCII is escaped: the page says
 * that it is UTF-8, and must read the same after any conversion.
 *
 * Three years of days by twenty models are some 22,000 rows of 17 numbers.
 * As JSON numbers they would take more than the 2 MB that the page may have,
 * so a column is one string (see pack()).  The rows come from one query
 * straight into this file's memory, without a tuple store between.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "compat.h"
#include "dashboard.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_dashboard);

#define PAGE_FILE "slm_feedback--dashboard.html"
#define PAGE_MARK "@SLM_FEEDBACK_DATA@"

#define DEFAULT_DAYS (3 * 365)
#define DEFAULT_REFRESH 3600 /* seconds */
#define DEFAULT_TITLE "Feedback dashboard"
#define VIEW_DAYS 30
#define HOURS 24
#define MAX_PACKED 13 /* characters of 63 bits */

/* What keeps the page below 2 MB, and its making short. */
#define MAX_ROWS 25000	   /* (day, model, prompt version) */
#define MAX_HOUR_ROWS 2000 /* of them with a number for each hour */
#define MAX_MERGED_DAYS 92 /* longest range whose users and times are merged */
#define MAX_CELLS 12000	   /* (question, day, model, prompt version) */
#define QUESTION_DAYS 90   /* how far back questions are chosen */
#define LIVE_QUESTIONS                                                         \
	20000 /* queries in these days up to which we choose them here */

/* The numbers of a row, in the order of dashboard_rows() from its column 4 on. */
typedef enum RowColumn
{
	ROW_QUERIES,
	ROW_TIMED,
	ROW_TIME_SUM,
	ROW_POSITIVE,
	ROW_NEGATIVE,
	ROW_NEUTRAL,
	ROW_FEEDBACK,
	ROW_RATED,
	ROW_RATING_COUNT,
	ROW_RATING_SUM,
	ROW_ERRORS,
	ROW_INPUT_TOKENS,
	ROW_OUTPUT_TOKENS,
	ROW_COST,
	ROW_USERS,
	ROW_P50,
	ROW_P95,
	ROW_P99,
	ROW_COLUMNS
} RowColumn;

/* The same for dashboard_questions: a cell's numbers, from its column 5 on. */
#define CELL_COLUMNS 8

/* A name for each, as the page knows it; null: not written. */
static const char *const row_names[ROW_COLUMNS] = {
	"queries",		 "untimed",	   "time_sum",		"positive",
	"negative",		 "neutral",	   "comments_only", "repeated",
	"rating_count",	 "rating_sum", "errors",		"input_tokens",
	"output_tokens", "cost",	   "users",			"p50",
	"p95",			 "p99"};
static const char *const cell_names[CELL_COLUMNS] = {
	"asked",	"timed",   "time_sum",	   "positive",
	"negative", "neutral", "rating_count", "rating_sum"};

/* A row of the page: a day of a model and prompt version; -1 stands for all. */
typedef struct Row
{
	DateADT day;
	int model;
	int version;
	int64 values[ROW_COLUMNS];
	int64 *hours;
	bool needed; /* says what no other row says */
} Row;

typedef struct Cell
{
	int64 question_hash;
	DateADT day;
	int model;
	int version;
	int64 values[CELL_COLUMNS];
	char *request_id;
} Cell;

/* Names in the order in which they were met, then sorted. */
typedef struct Names
{
	HTAB *table;
	char **names;
	int n;
	int room;
	int last; /* the one asked for last */
} Names;

typedef struct NameEntry
{
	char name[256]; /* ids and names have at most 255 bytes */
	int index;
} NameEntry;

typedef struct Document
{
	DateADT first; /* the days asked for, then those that the page holds */
	DateADT last;
	DateADT hours_from;
	Names models;
	Names versions;
	Row *rows;
	int nrows;
	int room;
	int rows_left_out;
	Cell *cells;
	int ncells;
	int cell_room;
	MemoryContext context;
	bool ascii; /* escape all that is not ASCII */
} Document;

/* A receiver that hands every tuple of a query to a function. */
typedef struct PageReceiver
{
	DestReceiver pub;
	Document *page;
	void (*take)(Document *page, TupleTableSlot *slot);
} PageReceiver;

/* --- names and rows ----------------------------------------------------- */

static void
init_names(Names *names, const char *what)
{
	HASHCTL control = {0};

	control.keysize = sizeof(((NameEntry *) 0)->name);
	control.entrysize = sizeof(NameEntry);
	control.hcxt = CurrentMemoryContext;
	names->table = hash_create(what, 64, &control,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	names->n = names->last = 0;
	names->room = 64;
	names->names = palloc(names->room * sizeof(char *));
}

/*
 * The index of a name; a new one is added.  Rows come day by day with the same
 * names in nearly the same order, so the name after the last one is tried first.
 */
static int
name_index(Names *names, Datum datum)
{
	text *value = DatumGetTextPP(datum);
	int length = VARSIZE_ANY_EXHDR(value);
	char name[256];
	NameEntry *entry;
	bool found;

	for (int i = 0; i < 2 && names->n > 0; i++)
	{
		int guess = (names->last + i) % names->n;

		if (strlen(names->names[guess]) == (size_t) length &&
			memcmp(names->names[guess], VARDATA_ANY(value), length) == 0)
			return names->last = guess;
	}
	text_to_cstring_buffer(value, name, sizeof(name));
	entry = hash_search(names->table, name, HASH_ENTER, &found);
	if (!found)
	{
		if (names->n == names->room)
		{
			names->room *= 2;
			names->names = repalloc(names->names, names->room * sizeof(char *));
		}
		entry->index = names->n;
		names->names[names->n++] = entry->name;
	}
	return names->last = entry->index;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Sorts the names; the result says where each index has moved. */
static int *
sort_names(Names *names)
{
	int *moved = palloc((names->n + 1) * sizeof(int));

	qsort(names->names, names->n, sizeof(char *), compare_names);
	for (int i = 0; i < names->n; i++)
	{
		NameEntry *entry =
			hash_search(names->table, names->names[i], HASH_FIND, NULL);

		moved[entry->index] = i;
		entry->index = i;
	}
	return moved;
}

static int64
slot_int64(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? 0
									: DatumGetInt64(slot->tts_values[column]);
}

/* A time for the page: whole milliseconds plus one, 0 for none. */
static int64
slot_time(TupleTableSlot *slot, int column)
{
	double value;

	if (slot->tts_isnull[column])
		return 0;
	value = DatumGetFloat8(slot->tts_values[column]);
	/* false for a NaN, too */
	return value >= 0 && value < PG_INT32_MAX ? (int64) rint(value) + 1 : 0;
}

static int64 *
copy_hours(Datum datum)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	int64 *hours = NULL;
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elements, &nulls, &n);
	if (n == HOURS)
	{
		hours = palloc(HOURS * sizeof(int64));
		for (int i = 0; i < HOURS; i++)
			hours[i] = nulls[i] ? 0 : DatumGetInt64(elements[i]);
	}
	return hours;
}

/* A row of dashboard_rows(). */
static void
take_row(Document *page, TupleTableSlot *slot)
{
	Row *row;

	if (page->nrows == page->room)
	{
		page->room = page->room == 0 ? 4096 : page->room * 2;
		page->rows =
			page->rows == NULL
				? palloc_extended(page->room * sizeof(Row), MCXT_ALLOC_HUGE)
				: repalloc_huge(page->rows, page->room * sizeof(Row));
	}
	row = &page->rows[page->nrows++];
	row->day = DatumGetDateADT(slot->tts_values[0]);
	row->model = slot->tts_isnull[1]
					 ? -1
					 : name_index(&page->models, slot->tts_values[1]);
	row->version = slot->tts_isnull[2]
					   ? -1
					   : name_index(&page->versions, slot->tts_values[2]);
	for (int i = 0; i <= ROW_USERS; i++)
		row->values[i] = slot_int64(slot, 3 + i);
	for (int i = ROW_P50; i <= ROW_P99; i++)
		row->values[i] = slot_time(slot, 3 + i);
	/* what is nearly equal to another number is written as the difference */
	row->values[ROW_TIMED] = row->values[ROW_QUERIES] - row->values[ROW_TIMED];
	row->values[ROW_RATED] = row->values[ROW_FEEDBACK] - row->values[ROW_RATED];
	row->values[ROW_FEEDBACK] -= row->values[ROW_POSITIVE] +
								 row->values[ROW_NEGATIVE] +
								 row->values[ROW_NEUTRAL];
	row->hours = slot->tts_isnull[3 + ROW_COLUMNS]
					 ? NULL
					 : copy_hours(slot->tts_values[3 + ROW_COLUMNS]);
}

/* A row of dashboard_questions. */
static void
take_cell(Document *page, TupleTableSlot *slot)
{
	Cell *cell;

	if (page->ncells == page->cell_room)
	{
		page->cell_room = page->cell_room == 0 ? 1024 : page->cell_room * 2;
		page->cells =
			page->cells == NULL
				? palloc(page->cell_room * sizeof(Cell))
				: repalloc(page->cells, page->cell_room * sizeof(Cell));
	}
	cell = &page->cells[page->ncells++];
	cell->question_hash = DatumGetInt64(slot->tts_values[0]);
	cell->day = DatumGetDateADT(slot->tts_values[1]);
	cell->model = name_index(&page->models, slot->tts_values[2]);
	cell->version = name_index(&page->versions, slot->tts_values[3]);
	for (int i = 0; i < CELL_COLUMNS; i++)
		cell->values[i] = slot_int64(slot, 4 + i);
	cell->request_id = TextDatumGetCString(slot->tts_values[4 + CELL_COLUMNS]);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	PageReceiver *receiver = (PageReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->page->context);

	slot_getallattrs(slot);
	receiver->take(receiver->page, slot);
	MemoryContextSwitchTo(old);
	return true;
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receive_end(DestReceiver *self)
{
}

/* Runs a query and hands its rows to a function, in the page's context. */
static void
read_rows(Document *page, const char *sql, int nargs, Oid *types, Datum *values,
		  void (*take)(Document *page, TupleTableSlot *slot))
{
	PageReceiver receiver = {.pub = {receive, receive_startup, receive_end,
									 receive_end, DestNone},
							 .page = page,
							 .take = take};
	SPIExecuteOptions options = {.read_only = true, .dest = &receiver.pub};
	SPIPlanPtr plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", sql);
	if (nargs > 0)
	{
		options.params = makeParamList(nargs);
		for (int i = 0; i < nargs; i++)
		{
			options.params->params[i].value = values[i];
			options.params->params[i].isnull = false;
			options.params->params[i].pflags = PARAM_FLAG_CONST;
			options.params->params[i].ptype = types[i];
		}
	}
	SPI_execute_plan_extended(plan, &options);
	SPI_freeplan(plan);
}

/* --- writing the document ------------------------------------------------ */

/* Appends a JSON text, with what markup or a converted encoding could hurt escaped. */
static void
append_json(Document *page, StringInfo out, const char *json)
{
	for (const char *c = json; *c != '\0';)
	{
		unsigned char byte = (unsigned char) *c;
		int length;
		pg_wchar code;

		if (byte == '<' || byte == '>' || byte == '&')
			appendStringInfo(out, "\\u%04x", byte);
		else if (!IS_HIGHBIT_SET(byte))
			appendStringInfoChar(out, byte);
		else
		{
			/* only inside of strings can there be such a character */
			length = pg_utf_mblen((const unsigned char *) c);
			code = utf8_to_unicode((const unsigned char *) c);
			if (!page->ascii && code != 0x2028 && code != 0x2029)
				appendBinaryStringInfo(out, c, length);
			else if (code < 0x10000)
				appendStringInfo(out, "\\u%04x", (unsigned int) code);
			else
				appendStringInfo(out, "\\u%04x\\u%04x",
								 (unsigned int) (0xd7c0 + (code >> 10)),
								 (unsigned int) (0xdc00 + (code & 0x3ff)));
			c += length;
			continue;
		}
		c++;
	}
}

/* Appends a text in the server's encoding as a JSON string. */
static void
append_string(Document *page, StringInfo out, const char *value)
{
	StringInfoData json;

	if (value == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	initStringInfo(&json);
	escape_json(&json, value);
	append_json(page, out, pg_server_to_any(json.data, json.len, PG_UTF8));
	pfree(json.data);
}

/* Appends the JSON that a query returns. */
static void
append_query(Document *page, StringInfo out, const char *sql, int nargs,
			 Oid *types, Datum *values)
{
	char *json;

	if (SPI_execute_with_args(sql, nargs, types, values, NULL, true, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "no result from: %s", sql);
	json = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	append_json(page, out, pg_server_to_any(json, strlen(json), PG_UTF8));
	SPI_freetuptable(SPI_tuptable);
}

static char *
day_text(DateADT day)
{
	int year;
	int month;
	int mday;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	return psprintf("%04d-%02d-%02d", year, month, mday);
}

/* Appends ,"name":"day" */
static void
append_day(StringInfo out, const char *name, DateADT day)
{
	appendStringInfo(out, ",\"%s\":\"%s\"", name, day_text(day));
}

/*
 * Appends a number in groups of five bits, lowest first, a character a group;
 * the sixth bit says that more follow.  No character of it needs escaping.
 * There must be room: see make_room().
 */
static inline void
pack(StringInfo out, int64 number)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
								 "stuvwxyz0123456789-_";
	uint64 rest = number < 0 ? 0 : (uint64) number;
	char *at = out->data + out->len;

	while (rest >= 32)
	{
		*at++ = digits[32 + (rest & 31)];
		rest >>= 5;
	}
	*at++ = digits[rest];
	out->len = at - out->data;
}

/* Makes room for so many numbers, and a little more. */
static void
make_room(StringInfo out, int numbers)
{
	enlargeStringInfo(out, numbers * MAX_PACKED + 1);
}

/* A row's place among all, so that sorting moves and compares little. */
typedef struct RowPlace
{
	uint64 place;
	Row *row;
} RowPlace;

static int
compare_places(const void *a, const void *b)
{
	uint64 x = ((const RowPlace *) a)->place;
	uint64 y = ((const RowPlace *) b)->place;

	return x < y ? -1 : x > y;
}

static int
compare_cells(const void *a, const void *b)
{
	const Cell *x = a;
	const Cell *y = b;

	if (x->question_hash != y->question_hash)
		return x->question_hash < y->question_hash ? -1 : 1;
	return x->day < y->day ? -1 : x->day > y->day;
}

#define IS_LEAF(row) ((row)->model >= 0 && (row)->version >= 0)
#define IS_TOTAL(row) ((row)->model < 0 && (row)->version < 0)

/* Which rows a table of the document holds. */
typedef enum RowKind
{
	ROWS_LEAF,
	ROWS_LEVEL,
	ROWS_HOURS
} RowKind;

/*
 * Whether a row above the (model, prompt version) rows says something new: on
 * a day with only one such row below it, it repeats that one.
 */
static bool
level_needed(const Document *page, const Row *row, const uint16 *by_model,
			 const uint16 *by_version, const uint16 *by_day)
{
	size_t days = page->last - page->first + 1;
	size_t day = row->day - page->first;

	if (row->model >= 0)
		return by_model[row->model * days + day] != 1;
	if (row->version >= 0)
		return by_version[row->version * days + day] != 1;
	return by_day[day] != 1;
}

static bool
row_wanted(const Document *page, const Row *row, RowKind kind)
{
	switch (kind)
	{
		case ROWS_LEAF:
			return IS_LEAF(row);
		case ROWS_LEVEL:
			return !IS_LEAF(row) && row->needed;
		case ROWS_HOURS:
			return row->hours != NULL &&
				   (IS_TOTAL(row) || row->day >= page->hours_from);
	}
	return false;
}

/*
 * Appends "name":{"series":[[model,version,rows]...],"day":"...", columns} of
 * those of the sorted rows that are of a kind.
 */
static void
append_rows(Document *page, StringInfo out, const char *name, RowKind kind,
			const RowPlace *sorted, int nsorted, RowColumn first,
			RowColumn last)
{
	const Row **wanted = palloc((nsorted + 1) * sizeof(Row *));
	int n = 0;
	DateADT before = page->first;

	for (int i = 0; i < nsorted; i++)
		if (row_wanted(page, sorted[i].row, kind))
			wanted[n++] = sorted[i].row;

	appendStringInfo(out, ",\"%s\":{\"series\":[", name);
	for (int i = 0, start = 0; i < n; i++)
		if (i == n - 1 || wanted[i + 1]->model != wanted[i]->model ||
			wanted[i + 1]->version != wanted[i]->version)
		{
			appendStringInfo(out, "%s[%d,%d,%d]", start > 0 ? "," : "",
							 wanted[i]->model, wanted[i]->version,
							 i + 1 - start);
			start = i + 1;
		}
	appendStringInfoString(out, "],\"day\":\"");
	make_room(out, n);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && (wanted[i]->model != wanted[i - 1]->model ||
					  wanted[i]->version != wanted[i - 1]->version))
			before = page->first;
		pack(out, wanted[i]->day - before);
		before = wanted[i]->day;
	}
	appendStringInfoChar(out, '"');
	if (kind == ROWS_HOURS)
	{
		appendStringInfoString(out, ",\"counts\":\"");
		make_room(out, n * HOURS);
		for (int i = 0; i < n; i++)
			for (int hour = 0; hour < HOURS; hour++)
				pack(out, wanted[i]->hours[hour]);
		appendStringInfoChar(out, '"');
	}
	else
		for (int column = first; column <= (int) last; column++)
		{
			bool zeros = true;

			for (int i = 0; i < n && zeros; i++)
				zeros = wanted[i]->values[column] == 0;
			appendStringInfo(out, ",\"%s\":\"", row_names[column]);
			make_room(out, n);
			for (int i = 0; i < n && !zeros; i++)
				pack(out, wanted[i]->values[column]);
			appendStringInfoChar(out, '"');
		}
	appendStringInfoChar(out, '}');
	pfree(wanted);
}

static void
append_names(Document *page, StringInfo out, const char *key,
			 const Names *names)
{
	appendStringInfo(out, ",\"%s\":[", key);
	for (int i = 0; i < names->n; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_string(page, out, names->names[i]);
	}
	appendStringInfoChar(out, ']');
}

/*
 * Narrows the page to the days that it can hold: from the first day with data,
 * or later if there are too many rows, the oldest of which are left out then.
 */
static void
fit_rows(Document *page)
{
	DateADT first = page->last;
	int days;
	int *leaves;
	int total = 0;
	int kept = 0;

	for (int i = 0; i < page->nrows; i++)
		first = Min(first, page->rows[i].day);
	page->first = Max(page->first, first);
	days = page->last - page->first + 1;
	leaves = palloc0(days * sizeof(int));
	for (int i = 0; i < page->nrows; i++)
		if (IS_LEAF(&page->rows[i]))
			leaves[page->rows[i].day - page->first]++;
	for (int day = days - 1; day >= 0; day--)
	{
		total += leaves[day];
		if (total > MAX_ROWS)
		{
			page->first += day + 1;
			break;
		}
		page->hours_from = total <= MAX_HOUR_ROWS
							   ? page->last - (days - 1 - day)
							   : page->hours_from;
	}
	page->first = Min(page->first, page->last);
	page->hours_from = Max(page->hours_from, page->last - 91);
	for (int i = 0; i < page->nrows; i++)
	{
		if (page->rows[i].day >= page->first)
			page->rows[kept++] = page->rows[i];
		else if (IS_LEAF(&page->rows[i]))
			page->rows_left_out++;
	}
	page->nrows = kept;
	pfree(leaves);
}

static void
append_metrics(Document *page, StringInfo out)
{
	size_t days = page->last - page->first + 1;
	uint16 *by_model =
		palloc_extended((page->models.n + 1) * days * sizeof(uint16),
						MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint16 *by_version =
		palloc_extended((page->versions.n + 1) * days * sizeof(uint16),
						MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint16 *by_day = palloc0(days * sizeof(uint16));
	RowPlace *sorted =
		palloc_extended((page->nrows + 1) * sizeof(RowPlace), MCXT_ALLOC_HUGE);
	int n = 0;

	for (int i = 0; i < page->nrows; i++)
	{
		const Row *row = &page->rows[i];
		size_t day = row->day - page->first;

		if (!IS_LEAF(row))
			continue;
		by_model[row->model * days + day]++;
		by_version[row->version * days + day]++;
		by_day[day]++;
	}
	for (int i = 0; i < page->nrows; i++)
	{
		Row *row = &page->rows[i];

		row->needed = !IS_LEAF(row) &&
					  level_needed(page, row, by_model, by_version, by_day);
		if (!IS_LEAF(row) && !row->needed && row->hours == NULL)
			continue;
		sorted[n].place = ((uint64) (row->model + 1) << 42) |
						  ((uint64) (row->version + 1) << 20) |
						  (uint64) (row->day - page->first);
		sorted[n++].row = row;
	}
	qsort(sorted, n, sizeof(RowPlace), compare_places);
	append_rows(page, out, "series", ROWS_LEAF, sorted, n, 0, ROW_COLUMNS - 1);
	append_rows(page, out, "levels", ROWS_LEVEL, sorted, n, ROW_USERS,
				ROW_COLUMNS - 1);
	append_rows(page, out, "hours", ROWS_HOURS, sorted, n, 0, 0);
	append_day(out, "hours_from", page->hours_from);
}

/* The texts of the questions, shortened, in the order of the cells. */
static void
append_questions(Document *page, StringInfo out, DateADT first, DateADT last,
				 const char *computed_at)
{
	static const char *const texts =
		"SELECT pg_catalog.left(q.query_text, 300) "
		"FROM pg_catalog.unnest($1) WITH ORDINALITY AS w (id, position) "
		"LEFT JOIN slm_feedback.queries q "
		"ON q.request_id OPERATOR(pg_catalog.=) w.id ORDER BY w.position";
	Oid types[1] = {TEXTARRAYOID};
	Datum values[1];
	Datum *ids = palloc((page->ncells + 1) * sizeof(Datum));
	int n = 0;

	qsort(page->cells, page->ncells, sizeof(Cell), compare_cells);
	for (int i = 0; i < page->ncells; i++)
	{
		const char *id = page->cells[i].request_id;

		if (i == 0 ||
			page->cells[i].question_hash != page->cells[i - 1].question_hash)
			ids[n++] = CStringGetTextDatum(id);
		/* report_top_questions() shows the text of the least id */
		else if (strcmp(id, TextDatumGetCString(ids[n - 1])) < 0)
			ids[n - 1] = CStringGetTextDatum(id);
	}
	appendStringInfoString(out, ",\"questions\":{\"state\":\"ready\"");
	appendStringInfo(out, ",\"computed_at\":\"%s\"", computed_at);
	append_day(out, "from", first);
	append_day(out, "to", last);
	appendStringInfo(out, ",\"count\":%d,\"text\":[", page->ncells);
	if (n > 0)
	{
		values[0] = PointerGetDatum(
			construct_array(ids, n, TEXTOID, -1, false, TYPALIGN_INT));
		if (SPI_execute_with_args(texts, 1, types, values, NULL, true, 0) !=
			SPI_OK_SELECT)
			elog(ERROR, "could not read the questions");
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			if (i > 0)
				appendStringInfoChar(out, ',');
			append_string(page, out,
						  SPI_getvalue(SPI_tuptable->vals[i],
									   SPI_tuptable->tupdesc, 1));
		}
		SPI_freetuptable(SPI_tuptable);
	}
	appendStringInfoString(out, "],\"cells\":{\"question\":\"");
	make_room(out, page->ncells);
	for (int i = 0; i < page->ncells; i++)
		pack(out, i > 0 && page->cells[i].question_hash !=
							   page->cells[i - 1].question_hash);
	appendStringInfoString(out, "\",\"day\":\"");
	make_room(out, page->ncells);
	for (int i = 0; i < page->ncells; i++)
		pack(out, page->cells[i].day - first);
	appendStringInfoString(out, "\",\"model\":\"");
	make_room(out, page->ncells);
	for (int i = 0; i < page->ncells; i++)
		pack(out, page->cells[i].model);
	appendStringInfoString(out, "\",\"version\":\"");
	make_room(out, page->ncells);
	for (int i = 0; i < page->ncells; i++)
		pack(out, page->cells[i].version);
	for (int column = 0; column < CELL_COLUMNS; column++)
	{
		appendStringInfo(out, "\",\"%s\":\"", cell_names[column]);
		make_room(out, page->ncells);
		for (int i = 0; i < page->ncells; i++)
			pack(out, page->cells[i].values[column]);
	}
	appendStringInfoString(out, "\"}}");
}

static char *
timestamp_text(TimestampTz at)
{
	return DatumGetCString(DirectFunctionCall1(
		textout,
		DirectFunctionCall2(
			timestamp_to_char,
			DirectFunctionCall2(timestamptz_zone, CStringGetTextDatum("UTC"),
								TimestampTzGetDatum(at)),
			CStringGetTextDatum("YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\""))));
}

/*
 * Where the questions of the page come from: nowhere without the right to
 * read texts, or where small groups are not shown (a day of a question is
 * one); for a small database straight from the raw rows; else from what
 * refresh_dashboard_questions() has chosen.
 */
typedef enum QuestionSource
{
	QUESTIONS_DENIED,
	QUESTIONS_SUPPRESSED,
	QUESTIONS_MISSING,
	QUESTIONS_LIVE,
	QUESTIONS_STORED
} QuestionSource;

static QuestionSource
read_questions(Document *page, bool allowed, DateADT *first, DateADT *last,
			   char **computed_at)
{
	Oid types[3] = {DATEOID, INT4OID, INT4OID};
	Datum values[3];
	int64 queries = 0;
	DateADT newest = page->first;
	bool isnull;

	if (!allowed)
		return QUESTIONS_DENIED;
	if (SPI_execute("SELECT slm_feedback.shows_group(0)", true, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the smallest group");
	if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
									SPI_tuptable->tupdesc, 1, &isnull)))
		return QUESTIONS_SUPPRESSED;
	for (int i = 0; i < page->nrows; i++)
		newest = Max(newest, page->rows[i].day);
	for (int i = 0; i < page->nrows; i++)
		if (IS_TOTAL(&page->rows[i]) &&
			page->rows[i].day > newest - QUESTION_DAYS)
			queries += page->rows[i].values[ROW_QUERIES];
	if (queries <= LIVE_QUESTIONS)
	{
		*last = newest;
		*first = newest - QUESTION_DAYS + 1;
		*computed_at = timestamp_text(GetCurrentTransactionStartTimestamp());
		values[0] = DateADTGetDatum(newest);
		values[1] = Int32GetDatum(QUESTION_DAYS);
		values[2] = Int32GetDatum(MAX_CELLS);
		read_rows(page,
				  "SELECT c.* FROM slm_feedback.choose_dashboard_questions($1, "
				  "$2, $3) c",
				  3, types, values, take_cell);
		return QUESTIONS_LIVE;
	}
	if (SPI_execute("SELECT s.computed_at, s.first_day, s.last_day "
					"FROM slm_feedback.dashboard_questions_state s",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read dashboard_questions_state");
	if (SPI_processed == 0)
		return QUESTIONS_MISSING;
	*first = DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[0],
										   SPI_tuptable->tupdesc, 2, &isnull));
	*last = DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, 3, &isnull));
	*computed_at = timestamp_text(
		DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, 1, &isnull)));
	read_rows(page, "SELECT d.* FROM slm_feedback.dashboard_questions d", 0,
			  NULL, NULL, take_cell);
	return QUESTIONS_STORED;
}

/* The days that the page shows first. */
static void
choose_view(const Document *page, bool given, DateADT *from, DateADT *to)
{
	DateADT newest = page->first;

	*to = page->last;
	*from = page->first;
	if (given)
		return;
	for (int i = 0; i < page->nrows; i++)
		newest = Max(newest, page->rows[i].day);
	/* quiet for a week: rather the last days with data than an empty page */
	if (newest <= *to - 7)
		*to = newest;
	*from = Max(page->first, *to - (VIEW_DAYS - 1));
}

/*
 * The calendar of the page's snapshot, which may be older than the settings
 * that are in force: the days of all rows are days of that zone.
 */
static SlmCalendar
snapshot_calendar(void)
{
	return slm_late_rules(GetActiveSnapshot()).calendar;
}

/* Today by that calendar. */
static DateADT
snapshot_today(void)
{
	SlmCalendar calendar = snapshot_calendar();

	return slm_calendar_day(GetCurrentTransactionStartTimestamp(), &calendar);
}

/* Appends the whole document. */
static void
append_document(Document *page, StringInfo out, DateADT from_date,
				bool from_given, DateADT to_date, int refresh_seconds,
				const char *title, bool questions_allowed)
{
	Oid types[2] = {DATEOID, DATEOID};
	Datum values[2];
	SlmCalendar calendar = snapshot_calendar();
	DateADT today =
		slm_calendar_day(GetCurrentTransactionStartTimestamp(), &calendar);
	DateADT view_from;
	DateADT view_to;
	DateADT questions_first = 0;
	DateADT questions_last = 0;
	QuestionSource source;
	char *computed_at = NULL;
	int *moved_models;
	int *moved_versions;

	/* a day before 2000 or in the future holds no queries: infinity is everything */
	page->first = Max(from_date, -1);
	page->last = Max(Min(to_date, today + 3), page->first);
	page->hours_from = page->last;
	values[0] = DateADTGetDatum(page->first);
	values[1] = DateADTGetDatum(page->last);
	read_rows(page, "SELECT r.* FROM slm_feedback.dashboard_rows($1, $2) r", 2,
			  types, values, take_row);
	fit_rows(page);
	choose_view(page, from_given, &view_from, &view_to);
	source = read_questions(page, questions_allowed, &questions_first,
							&questions_last, &computed_at);

	moved_models = sort_names(&page->models);
	moved_versions = sort_names(&page->versions);
	for (int i = 0; i < page->nrows; i++)
	{
		Row *row = &page->rows[i];

		row->model = row->model < 0 ? -1 : moved_models[row->model];
		row->version = row->version < 0 ? -1 : moved_versions[row->version];
	}
	for (int i = 0; i < page->ncells; i++)
	{
		page->cells[i].model = moved_models[page->cells[i].model];
		page->cells[i].version = moved_versions[page->cells[i].version];
	}

	appendStringInfo(out, "{\"format\":1,\"version\":\"%s\",\"title\":",
					 SLM_VERSION);
	append_string(page, out, title);
	appendStringInfo(
		out, ",\"generated_at\":\"%s\",\"refresh_seconds\":%d,\"time_zone\":",
		timestamp_text(GetCurrentTransactionStartTimestamp()), refresh_seconds);
	append_string(page, out, pg_get_timezone_name(calendar.zone));
	append_day(out, "today", today);
	append_day(out, "first_day", page->first);
	append_day(out, "last_day", page->last);
	appendStringInfo(out, ",\"view\":{\"from\":\"%s\",\"to\":\"%s\"}",
					 day_text(view_from), day_text(view_to));
	appendStringInfo(out, ",\"rows_left_out\":%d", page->rows_left_out);
	append_names(page, out, "models", &page->models);
	append_names(page, out, "versions", &page->versions);
	append_metrics(page, out);

	appendStringInfoString(out, ",\"merged\":");
	if (view_to - view_from < MAX_MERGED_DAYS)
	{
		values[0] = DateADTGetDatum(view_from);
		values[1] = DateADTGetDatum(view_to);
		append_query(page, out, "SELECT slm_feedback.dashboard_ranges($1, $2)",
					 2, types, values);
	}
	else
		appendStringInfoString(out, "null");

	if (source == QUESTIONS_LIVE || source == QUESTIONS_STORED)
		append_questions(page, out, questions_first, questions_last,
						 computed_at);
	else
		appendStringInfo(out, ",\"questions\":{\"state\":\"%s\"}",
						 source == QUESTIONS_DENIED		  ? "denied"
						 : source == QUESTIONS_SUPPRESSED ? "suppressed"
														  : "missing");

	appendStringInfoString(out, ",\"operations\":");
	append_query(page, out, "SELECT slm_feedback.dashboard_operations()", 0,
				 NULL, NULL);
	appendStringInfoChar(out, '}');
}

/* --- the page -------------------------------------------------------------- */

/* The built page, as it is installed. */
static char *
read_page_file(void)
{
	char share[MAXPGPATH];
	char path[MAXPGPATH];
	StringInfoData page;
	FILE *file;

	get_share_path(my_exec_path, share);
	snprintf(path, sizeof(path), "%s/extension/%s", share, PAGE_FILE);
	file = AllocateFile(path, PG_BINARY_R);
	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the dashboard's page \"%s\": %m", path),
				 errhint("Build slm_feedback where npm is installed, or from a "
						 "release archive, which carries the page, and run "
						 "make install.")));
	initStringInfo(&page);
	for (;;)
	{
		size_t n;

		enlargeStringInfo(&page, 65536);
		n = fread(page.data + page.len, 1, 65536, file);
		page.len += n;
		page.data[page.len] = '\0';
		if (n == 0)
			break;
	}
	if (ferror(file))
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read the dashboard's page \"%s\": %m",
							   path)));
	FreeFile(file);
	return page.data;
}

/* Append the page, read as the owner. */
static void
make_page(StringInfo out, DateADT from_date, bool from_given, DateADT to_date,
		  int refresh_seconds, const char *title, bool questions_allowed)
{
	Document page = {0};
	SlmCaller caller = slm_become_owner();
	char *frame;
	char *mark;

	SPI_connect();
	frame = read_page_file();
	mark = strstr(frame, PAGE_MARK);
	if (mark == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the dashboard's page \"%s\" has no place for the data",
						PAGE_FILE),
				 errhint("Run make install again.")));
	page.context = CurrentMemoryContext;
	page.ascii =
		GetDatabaseEncoding() != PG_UTF8 || pg_get_client_encoding() != PG_UTF8;
	init_names(&page.models, "dashboard models");
	init_names(&page.versions, "dashboard prompt versions");
	appendBinaryStringInfo(out, frame, mark - frame);
	append_document(&page, out, from_date, from_given, to_date, refresh_seconds,
					title, questions_allowed);
	appendStringInfoString(out, mark + strlen(PAGE_MARK));
	SPI_finish();
	slm_become_caller(caller);
}

/*
 * dashboard(from_date, to_date, refresh_seconds, title) returns the page.
 */
Datum
slm_dashboard(PG_FUNCTION_ARGS)
{
	DateADT to_date = PG_ARGISNULL(1) ? snapshot_today() : PG_GETARG_DATEADT(1);
	DateADT from_date = !PG_ARGISNULL(0) ? PG_GETARG_DATEADT(0)
						: DATE_NOT_FINITE(to_date)
							? -1
							: to_date - (DEFAULT_DAYS - 1);
	int refresh_seconds =
		PG_ARGISNULL(2) ? DEFAULT_REFRESH : PG_GETARG_INT32(2);
	char *title = PG_ARGISNULL(3) ? pstrdup(DEFAULT_TITLE)
								  : text_to_cstring(PG_GETARG_TEXT_PP(3));
	bool questions_allowed = slm_caller_may_read_texts();
	StringInfoData out;

	if (from_date > to_date)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("from_date is after to_date"),
						errhint("Both dates are included; to_date defaults to "
								"today.")));
	if (refresh_seconds < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("refresh_seconds must not be negative"),
				 errhint("Use 0 for a page that does not reload itself.")));

	/* a text, made in place */
	initStringInfo(&out);
	out.len = VARHDRSZ;
	make_page(&out, from_date, !PG_ARGISNULL(0), to_date, refresh_seconds,
			  title, questions_allowed);
	SET_VARSIZE(out.data, out.len);
	PG_RETURN_TEXT_P((text *) out.data);
}

/* Append the page with its defaults, as it goes into a file. */
void
slm_append_dashboard(StringInfo out, bool questions_allowed)
{
	DateADT today = snapshot_today();

	make_page(out, today - (DEFAULT_DAYS - 1), false, today, DEFAULT_REFRESH,
			  DEFAULT_TITLE, questions_allowed);
}
