/*
 * batch.c
 *		record_queries() and submit_feedback_batch(): the capture functions for
 *		a JSON array.
 *
 * Good rows are kept whatever happens to others.  A record is checked before
 * it is written, so a batch normally meets no error and runs in one
 * subtransaction.  If an error comes up all the same (a time that can't be
 * read, a constraint or trigger of the DBA's own) the subtransaction is rolled
 * back and the batch runs again with a subtransaction a record, which refuses
 * just the record that failed.  Errors that say nothing about a record, such
 * as a cancel, a lock timeout, a serialization failure or a full disk, end the
 * call.
 *
 * Two batches at once that name the same rows would wait for each other if
 * each went its own way, so all go in the order of request ids and, for one
 * answer, of user ids ("The order of locks" in docs/design.md).  What is said
 * twice in a batch keeps its order.  The results come in the order of the
 * array.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "capture.h"
#include "compat.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(slm_record_queries);
PG_FUNCTION_INFO_V1(slm_submit_feedback_batch);

#define MAX_BATCH 100000
#define RESULT_COLUMNS 5

/* One of the two functions: what differs between them. */
typedef struct BatchKind
{
	const CaptureField *fields;
	int nfields;
	int id_field;
	int user_field; /* part of the key of what is written, or -1 */
	/* Check and write a record; the status, or NULL if it is refused. */
	const char *(*write)(CaptureRecord *record, Refusal *why);
} BatchKind;

/* An element's place in the order of locks. */
typedef struct Element
{
	JsonbValue *request_id; /* NULL: none, or not a string */
	JsonbValue *user_id;
	int index; /* in the array */
} Element;

typedef struct Batch
{
	const BatchKind *kind;
	Jsonb *input;
	int length;
	Element *elements; /* in the order in which they are processed */
	ReturnSetInfo *result;
	HeapTuple *results;			  /* by index in the array */
	MemoryContext result_context; /* holds the tuples of results */
	MemoryContext row_context;	  /* reset after each record */
} Batch;

static const char *
write_query(CaptureRecord *record, Refusal *why)
{
	if (!slm_check_query(record, why))
		return NULL;
	return slm_insert_query(record) ? "recorded" : "repeated";
}

static const char *
write_feedback(CaptureRecord *record, Refusal *why)
{
	if (!slm_check_feedback(record, why))
		return NULL;
	if (slm_upsert_feedback(record, NULL))
		return "submitted";
	slm_refuse_unknown_request(record->values[FEEDBACK_REQUEST_ID], why);
	return NULL;
}

static const BatchKind query_batch = {slm_query_fields, QUERY_FIELDS,
									  QUERY_REQUEST_ID, -1, write_query};
static const BatchKind feedback_batch = {slm_feedback_fields, FEEDBACK_FIELDS,
										 FEEDBACK_REQUEST_ID, FEEDBACK_USER_ID,
										 write_feedback};

/* The string that an element has under a field's name, or NULL. */
static JsonbValue *
string_of(const JsonbValue *element, const CaptureField *field)
{
	JsonbValue *value = NULL;

	if (element->type == jbvBinary &&
		JsonContainerIsObject(element->val.binary.data))
		value =
			getKeyJsonValueFromContainer(element->val.binary.data, field->name,
										 strlen(field->name), NULL);
	return value != NULL && value->type == jbvString ? value : NULL;
}

static int
compare_strings(const JsonbValue *a, const JsonbValue *b)
{
	int order;

	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	order = memcmp(a->val.string.val, b->val.string.val,
				   Min(a->val.string.len, b->val.string.len));
	return order != 0 ? order : a->val.string.len - b->val.string.len;
}

static int
compare_elements(const void *a, const void *b)
{
	const Element *x = a;
	const Element *y = b;
	int order = compare_strings(x->request_id, y->request_id);

	if (order == 0)
		order = compare_strings(x->user_id, y->user_id);
	return order != 0 ? order : x->index - y->index;
}

/* Bring the elements into the order in which they are processed. */
static void
order_elements(Batch *batch)
{
	const BatchKind *kind = batch->kind;
	/* Under the policy drop all users of an answer write to one row. */
	bool by_user =
		kind->user_field >= 0 && slm_settings()->user_id_policy != USER_ID_DROP;

	batch->elements = palloc(sizeof(Element) * batch->length);
	for (int i = 0; i < batch->length; i++)
	{
		Element *element = &batch->elements[i];
		JsonbValue *value =
			getIthJsonbValueFromContainer(&batch->input->root, i);

		element->index = i;
		element->request_id = string_of(value, &kind->fields[kind->id_field]);
		element->user_id =
			by_user ? string_of(value, &kind->fields[kind->user_field]) : NULL;
		pfree(value);
	}
	qsort(batch->elements, batch->length, sizeof(Element), compare_elements);
}

static bool
refuse_type(const char *name, const char *wanted, Refusal *why)
{
	return slm_refuse(why, ERRCODE_DATATYPE_MISMATCH,
					  psprintf("%s must be a JSON %s", name, wanted), NULL,
					  NULL);
}

static bool
whole_number(const char *name, const JsonbValue *value, double limit,
			 int64 *number, Refusal *why)
{
	double d = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow,
							NumericGetDatum(value->val.numeric)));

	if (rint(d) != d || fabs(d) > limit)
		return slm_refuse(why, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
						  psprintf("%s is out of range", name),
						  psprintf("It is %s; a whole number is wanted.",
								   DatumGetCString(DirectFunctionCall1(
									   numeric_out,
									   NumericGetDatum(value->val.numeric)))),
						  NULL);
	*number = (int64) d;
	return true;
}

/* A JSON value as the type of a capture function's argument. */
static bool
convert(const CaptureField *field, JsonbValue *value, Datum *datum,
		Refusal *why)
{
	int64 number;

	switch (field->type)
	{
		case TEXTOID:
		case TIMESTAMPTZOID:
			if (value->type != jbvString)
				return refuse_type(field->name, "string", why);
			*datum = PointerGetDatum(
				cstring_to_text_with_len(value->val.string.val,
										 value->val.string.len));
			if (field->type == TIMESTAMPTZOID)
				*datum = DirectFunctionCall3(timestamptz_in,
											 CStringGetDatum(
												 TextDatumGetCString(*datum)),
											 ObjectIdGetDatum(InvalidOid),
											 Int32GetDatum(-1));
			return true;
		case BOOLOID:
			if (value->type != jbvBool)
				return refuse_type(field->name, "boolean", why);
			*datum = BoolGetDatum(value->val.boolean);
			return true;
		case JSONBOID:
			*datum = JsonbPGetDatum(JsonbValueToJsonb(value));
			return true;
		default:
			break;
	}

	if (value->type != jbvNumeric)
		return refuse_type(field->name, "number", why);
	switch (field->type)
	{
		case NUMERICOID:
			*datum = NumericGetDatum(value->val.numeric);
			return true;
		case FLOAT8OID:
			*datum = DirectFunctionCall1(numeric_float8_no_overflow,
										 NumericGetDatum(value->val.numeric));
			return true;
		case INT4OID:
			if (!whole_number(field->name, value, PG_INT32_MAX, &number, why))
				return false;
			*datum = Int32GetDatum((int32) number);
			return true;
		default:
			/* doubles are exact up to 2^53 */
			if (!whole_number(field->name, value, 9007199254740992.0, &number,
							  why))
				return false;
			*datum = Int64GetDatum(number);
			return true;
	}
}

static int
find_field(const BatchKind *kind, const JsonbValue *key)
{
	for (int i = 0; i < kind->nfields; i++)
		if (strlen(kind->fields[i].name) == (size_t) key->val.string.len &&
			memcmp(kind->fields[i].name, key->val.string.val,
				   key->val.string.len) == 0)
			return i;
	return -1;
}

static char *
field_names(const BatchKind *kind)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < kind->nfields; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 kind->fields[i].name);
	return names.data;
}

/* Fill a record from a JSON object whose keys are argument names. */
static bool
load_object(const BatchKind *kind, JsonbValue *element, CaptureRecord *record,
			Refusal *why)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	memset(record->nulls, true, sizeof(record->nulls));
	memset(record->values, 0, sizeof(record->values));
	if (element->type != jbvBinary ||
		!JsonContainerIsObject(element->val.binary.data))
		return slm_refuse(why, ERRCODE_DATATYPE_MISMATCH,
						  "each element must be a JSON object", NULL,
						  psprintf("Its keys are: %s.", field_names(kind)));

	it = JsonbIteratorInit(element->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		int i;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		i = find_field(kind, &key);
		if (i < 0)
			return slm_refuse(why, ERRCODE_UNDEFINED_COLUMN,
							  psprintf("key \"%.*s\" is not known",
									   pg_mbcliplen(key.val.string.val,
													key.val.string.len,
													NAMEDATALEN),
									   key.val.string.val),
							  NULL,
							  psprintf("The keys are: %s.", field_names(kind)));
		if (value.type == jbvNull)
			continue;
		if (!convert(&kind->fields[i], &value, &record->values[i], why))
			return false;
		record->nulls[i] = false;
	}
	return true;
}

static void
put_result(Batch *batch, int index, const CaptureRecord *record,
		   const char *status, const Refusal *why)
{
	MemoryContext old;
	Datum values[RESULT_COLUMNS] = {0};
	bool nulls[RESULT_COLUMNS] = {false, false, false, true, true};
	int id = batch->kind->id_field;
	char *reason;

	values[0] = Int32GetDatum(index + 1);
	values[1] = record->values[id];
	nulls[1] = record->nulls[id];
	values[2] = CStringGetTextDatum(status ? status : "refused");
	if (status == NULL)
	{
		reason = why->detail == NULL
					 ? why->message
					 : psprintf("%s: %s", why->message, why->detail);
		values[3] = CStringGetTextDatum(unpack_sql_state(why->sqlstate));
		values[4] = CStringGetTextDatum(reason);
		nulls[3] = nulls[4] = false;
	}
	old = MemoryContextSwitchTo(batch->result_context);
	batch->results[index] =
		heap_form_tuple(batch->result->setDesc, values, nulls);
	MemoryContextSwitchTo(old);
}

/* Write one element, the i-th in order, and put its result. */
static void
process_element(Batch *batch, int i, CaptureRecord *record)
{
	int index = batch->elements[i].index;
	JsonbValue *element;
	Refusal why;
	const char *status = NULL;

	/* An error may come before the record is read. */
	memset(record->nulls, true, sizeof(record->nulls));
	element = getIthJsonbValueFromContainer(&batch->input->root, index);
	if (load_object(batch->kind, element, record, &why))
		status = batch->kind->write(record, &why);
	put_result(batch, index, record, status, &why);
}

/* Is this an error of the record, or of the system around it? */
static bool
is_about_the_record(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return false;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
		case ERRCODE_CONFIG_FILE_ERROR:
			return false;
		default:
			return true;
	}
}

/*
 * Run elements first..last in a subtransaction of their own.  True if it went
 * through; otherwise all is rolled back and the error, if it is about a
 * record, is returned in the current context (any other is thrown on).
 */
static bool
process_in_subtransaction(Batch *batch, int first, int last,
						  CaptureRecord *record, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(batch->row_context);
	PG_TRY();
	{
		for (int i = first; i <= last; i++)
		{
			CHECK_FOR_INTERRUPTS();
			process_element(batch, i, record);
			if (first < last)
				MemoryContextReset(batch->row_context);
		}
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ok = false;
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (!ok && !is_about_the_record(*error))
		ReThrowError(*error);
	return ok;
}

/* The second pass: a subtransaction a record. */
static void
process_one_by_one(Batch *batch)
{
	CaptureRecord record = {0};
	ErrorData *error;

	MemoryContextReset(batch->result_context);
	for (int i = 0; i < batch->length; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(batch->row_context);

		CHECK_FOR_INTERRUPTS();
		if (!process_in_subtransaction(batch, i, i, &record, &error))
		{
			Refusal why = {error->sqlerrcode, error->message, error->detail,
						   error->hint};

			put_result(batch, batch->elements[i].index, &record, NULL, &why);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch->row_context);
	}
}

static Datum
run_batch(FunctionCallInfo fcinfo, const BatchKind *kind)
{
	Batch batch = {.kind = kind};
	CaptureRecord record = {0};
	ErrorData *error;
	SlmCaller caller;

	InitMaterializedSRF(fcinfo, 0);
	batch.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the batch must not be null"),
						errhint("Give a JSON array of objects.")));
	batch.input = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_ARRAY(batch.input) || JB_ROOT_IS_SCALAR(batch.input))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the batch must be a JSON array"),
						errhint("Put a single object into an array.")));
	batch.length = JB_ROOT_COUNT(batch.input);
	if (batch.length > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the batch is too large"),
				 errdetail("It has %d elements; at most %d are taken a call.",
						   batch.length, MAX_BATCH),
				 errhint("Send several calls of some thousand elements.")));
	if (batch.length == 0)
		return (Datum) 0;

	batch.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "slm_feedback batch row",
							  ALLOCSET_DEFAULT_SIZES);
	batch.result_context =
		AllocSetContextCreate(CurrentMemoryContext, "slm_feedback batch result",
							  ALLOCSET_DEFAULT_SIZES);
	batch.results = palloc(sizeof(HeapTuple) * batch.length);
	slm_settings_for_write();
	order_elements(&batch);
	caller = slm_become_owner();
	if (!process_in_subtransaction(&batch, 0, batch.length - 1, &record,
								   &error))
		process_one_by_one(&batch);
	slm_become_caller(caller);
	for (int i = 0; i < batch.length; i++)
		tuplestore_puttuple(batch.result->setResult, batch.results[i]);
	MemoryContextDelete(batch.row_context);
	MemoryContextDelete(batch.result_context);
	return (Datum) 0;
}

Datum
slm_record_queries(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, &query_batch);
}

Datum
slm_submit_feedback_batch(PG_FUNCTION_ARGS)
{
	return run_batch(fcinfo, &feedback_batch);
}
