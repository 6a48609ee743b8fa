/*
 * capture.h
 *		What the single and the batch forms of capture share: a record to
 *		write, and a refusal that the single form raises and the batch form
 *		returns.
 */
#ifndef SLM_CAPTURE_H
#define SLM_CAPTURE_H

#include "datatype/timestamp.h"
#include "executor/spi.h"

/* Why a record is refused: what ereport() would say. */
typedef struct Refusal
{
	int sqlstate;
	char *message;
	char *detail;
	char *hint;
} Refusal;

/* record_query's arguments, in order; also the parameters of its INSERT. */
typedef enum QueryField
{
	QUERY_QUERY_TEXT,
	QUERY_RESPONSE_TEXT,
	QUERY_REQUEST_ID,
	QUERY_USER_ID,
	QUERY_SESSION_ID,
	QUERY_RESPONSE_TIME_MS,
	QUERY_MODEL,
	QUERY_PROMPT_VERSION,
	QUERY_INPUT_TOKENS,
	QUERY_OUTPUT_TOKENS,
	QUERY_COST_USD,
	QUERY_SOURCES_USED,
	QUERY_ERROR,
	QUERY_TAGS,
	QUERY_METADATA,
	QUERY_CREATED_AT,
	QUERY_FIELDS
} QueryField;

/* submit_feedback's arguments, in order. */
typedef enum FeedbackField
{
	FEEDBACK_REQUEST_ID,
	FEEDBACK_IS_HELPFUL,
	FEEDBACK_RATING,
	FEEDBACK_COMMENT,
	FEEDBACK_USER_ID,
	FEEDBACK_FIELDS
} FeedbackField;

#define MAX_CAPTURE_FIELDS QUERY_FIELDS

/* The arguments of a capture function, from SQL or from a JSON object. */
typedef struct CaptureRecord
{
	Datum values[MAX_CAPTURE_FIELDS];
	bool nulls[MAX_CAPTURE_FIELDS];
} CaptureRecord;

/* One argument of a capture function. */
typedef struct CaptureField
{
	const char *name;
	Oid type;
	int max_bytes;	 /* of text and jsonb; 0 = not limited */
	bool identifier; /* an id or a name: may not be empty */
} CaptureField;

extern const CaptureField slm_query_fields[QUERY_FIELDS];
extern const CaptureField slm_feedback_fields[FEEDBACK_FIELDS];

/* capture.c */
extern bool slm_refuse(Refusal *why, int sqlstate, char *message, char *detail,
					   char *hint);
extern void slm_raise(const Refusal *why);
extern bool slm_check_lengths(const CaptureField *fields, int nfields,
							  const CaptureRecord *record, Refusal *why);
extern bool slm_check_request_id(bool isnull, Refusal *why);
extern bool slm_check_created_at(TimestampTz created_at, Refusal *why);
extern void slm_load_arguments(FunctionCallInfo fcinfo, int nfields,
							   CaptureRecord *record);
extern SPIPlanPtr slm_kept_plan(SPIPlanPtr *plan, const char *sql, int nargs,
								Oid *types);
extern bool slm_find_query(Datum request_id, TimestampTz *created_at);
extern bool slm_find_and_share_query(Datum request_id, TimestampTz *created_at);
extern bool slm_share_query(Datum request_id, TimestampTz *created_at);
extern void slm_execute_capture(SPIPlanPtr plan, Datum *values,
								const char *nulls, bool shared);
extern Datum slm_replace_columns(Datum row, int ncolumns, int *columns,
								 Datum *values, bool *nulls);

/* record_query.c, submit_feedback.c */
extern bool slm_check_query(CaptureRecord *record, Refusal *why);
extern bool slm_insert_query(CaptureRecord *record);
extern Datum slm_sentiment(NullableDatum is_helpful, NullableDatum rating,
						   bool *isnull);
extern bool slm_check_feedback(CaptureRecord *record, Refusal *why);
extern bool slm_upsert_feedback(CaptureRecord *record, Datum *row);
extern void slm_refuse_unknown_request(Datum request_id, Refusal *why);
extern void slm_require_own_row(bool given_null, bool stored_null);

#endif
