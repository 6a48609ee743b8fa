/*
 * json_line.c
 *		json_line(): a row as one line of JSON, for exports of many rows.
 *
 * row_to_json() appends every text character by character and looks every
 * column's type up for each row.  Here a text's runs of plain characters are
 * copied whole, and what is known about the columns is kept for the query.
 * The result is the same JSON, as the tests compare; columns are of the types
 * that the exports have.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/typcache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(slm_json_line);

typedef struct LineShape
{
	TupleDesc desc;
	uint64 identifier; /* of this version of the row type */
	char **keys;	   /* "name": of each column, with the comma before it */
	int *key_lengths;
	Datum *values;
	bool *nulls;
	int size; /* of the last line, a good guess for the next */
} LineShape;

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

static void
append_escaped(StringInfo line, unsigned char c)
{
	switch (c)
	{
		case '\b':
			appendStringInfoString(line, "\\b");
			break;
		case '\f':
			appendStringInfoString(line, "\\f");
			break;
		case '\n':
			appendStringInfoString(line, "\\n");
			break;
		case '\r':
			appendStringInfoString(line, "\\r");
			break;
		case '\t':
			appendStringInfoString(line, "\\t");
			break;
		case '"':
			appendStringInfoString(line, "\\\"");
			break;
		case '\\':
			appendStringInfoString(line, "\\\\");
			break;
		default:
			appendStringInfo(line, "\\u%04x", c);
			break;
	}
}

/* A JSON string.  Server encodings have no ASCII byte inside a character. */
static void
append_string(StringInfo line, const char *text, int length)
{
	int start = 0;

	appendStringInfoChar(line, '"');
	for (int i = 0; i < length; i++)
	{
		if (is_plain(text[i]))
			continue;
		appendBinaryStringInfo(line, text + start, i - start);
		append_escaped(line, text[i]);
		start = i + 1;
	}
	appendBinaryStringInfo(line, text + start, length - start);
	appendStringInfoChar(line, '"');
}

static void
append_number(StringInfo line, int64 number)
{
	char digits[32];

	appendBinaryStringInfo(line, digits, pg_lltoa(number, digits));
}

static void
append_value(StringInfo line, Oid type, Datum value)
{
	char timestamp[MAXDATELEN + 1];

	switch (type)
	{
		case TEXTOID:
		{
			text *t = DatumGetTextPP(value);

			append_string(line, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
			break;
		}
		case BOOLOID:
			appendStringInfoString(line,
								   DatumGetBool(value) ? "true" : "false");
			break;
		case INT2OID:
			append_number(line, DatumGetInt16(value));
			break;
		case INT4OID:
			append_number(line, DatumGetInt32(value));
			break;
		case INT8OID:
			append_number(line, DatumGetInt64(value));
			break;
		case NUMERICOID:
			appendStringInfoString(
				line, DatumGetCString(DirectFunctionCall1(numeric_out, value)));
			break;
		case TIMESTAMPTZOID:
			appendStringInfoChar(line, '"');
			appendStringInfoString(line, JsonEncodeDateTime(timestamp, value,
															type, NULL));
			appendStringInfoChar(line, '"');
			break;
		case JSONBOID:
		{
			Jsonb *json = DatumGetJsonbP(value);

			(void) JsonbToCString(line, &json->root, VARSIZE(json));
			break;
		}
		default:
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("json_line() does not take columns of type "
								   "%s",
								   format_type_be(type)),
							errhint("Use row_to_json().")));
	}
}

/*
 * Returns what is known about the row type, kept as long as the function's
 * caller, unless the type was altered meanwhile: a query holds no lock on the
 * type of a row that a function returns.
 */
static LineShape *
line_shape(FmgrInfo *flinfo, Oid type, int32 typmod)
{
	LineShape *shape = flinfo->fn_extra;
	uint64 identifier = assign_record_type_identifier(type, typmod);
	MemoryContext old;

	if (shape != NULL && shape->desc->tdtypeid == type &&
		shape->desc->tdtypmod == typmod && shape->identifier == identifier)
		return shape;
	old = MemoryContextSwitchTo(flinfo->fn_mcxt);
	shape = palloc0(sizeof(LineShape));
	shape->identifier = identifier;
	shape->desc = lookup_rowtype_tupdesc_copy(type, typmod);
	shape->keys = palloc0(sizeof(char *) * shape->desc->natts);
	shape->key_lengths = palloc0(sizeof(int) * shape->desc->natts);
	shape->values = palloc(sizeof(Datum) * shape->desc->natts);
	shape->nulls = palloc(sizeof(bool) * shape->desc->natts);
	for (int i = 0, shown = 0; i < shape->desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(shape->desc, i);
		StringInfoData key;

		if (column->attisdropped)
			continue;
		initStringInfo(&key);
		if (shown++ > 0)
			appendStringInfoChar(&key, ',');
		append_string(&key, NameStr(column->attname),
					  strlen(NameStr(column->attname)));
		appendStringInfoChar(&key, ':');
		shape->keys[i] = key.data;
		shape->key_lengths[i] = key.len;
	}
	shape->size = 1024;
	MemoryContextSwitchTo(old);
	flinfo->fn_extra = shape;
	return shape;
}

/* json_line(row) */
Datum
slm_json_line(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	LineShape *shape = line_shape(fcinfo->flinfo, HeapTupleHeaderGetTypeId(row),
								  HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple;
	StringInfoData line;

	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	heap_deform_tuple(&tuple, shape->desc, shape->values, shape->nulls);

	initStringInfo(&line);
	enlargeStringInfo(&line, VARHDRSZ + shape->size);
	line.len = VARHDRSZ;
	appendStringInfoChar(&line, '{');
	for (int i = 0; i < shape->desc->natts; i++)
	{
		if (shape->keys[i] == NULL)
			continue;
		appendBinaryStringInfo(&line, shape->keys[i], shape->key_lengths[i]);
		if (shape->nulls[i])
			appendBinaryStringInfo(&line, "null", 4);
		else
			append_value(&line, TupleDescAttr(shape->desc, i)->atttypid,
						 shape->values[i]);
	}
	appendStringInfoChar(&line, '}');
	shape->size = line.len;
	SET_VARSIZE(line.data, line.len);
	PG_RETURN_POINTER(line.data);
}
