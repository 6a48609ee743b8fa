/*
 * direct_insert.h
 *		Insert one row into a table of the extension without an executor run.
 */
#ifndef SLM_DIRECT_INSERT_H
#define SLM_DIRECT_INSERT_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"

/* Attribute numbers of slm_feedback.queries and feedback. */
#define Anum_queries_request_id 1
#define Anum_queries_query_text 2
#define Anum_queries_response_text 3
#define Anum_queries_created_at 4
#define Anum_queries_user_id 5
#define Anum_queries_session_id 6
#define Anum_queries_response_time_ms 7
#define Anum_queries_sources_used 8
#define Anum_queries_model 9
#define Anum_queries_prompt_version 10
#define Anum_queries_input_tokens 11
#define Anum_queries_output_tokens 12
#define Anum_queries_cost_usd 13
#define Anum_queries_error 14
#define Anum_queries_tags 15
#define Anum_queries_metadata 16
#define Natts_queries 17

#define Anum_feedback_request_id 1
#define Anum_feedback_user_id 2
#define Anum_feedback_is_helpful 3
#define Anum_feedback_rating 4
#define Anum_feedback_comment 5
#define Anum_feedback_created_at 6
#define Anum_feedback_updated_at 7
#define Anum_feedback_query_created_at 8
#define Anum_feedback_sentiment 9
#define Natts_feedback 9

typedef struct DirectTable DirectTable;

typedef enum QueryLock
{
	QUERY_LOCKED,  /* the query exists and will until we end */
	QUERY_UNKNOWN, /* there is no such query */
	QUERY_UNSURE   /* ask the executor */
} QueryLock;

extern void slm_direct_insert_init(void);
extern DirectTable *slm_direct_queries(void);
extern DirectTable *slm_direct_feedback(void);
extern TupleTableSlot *slm_direct_slot(DirectTable *table);
extern bool slm_direct_insert(DirectTable *table);
extern QueryLock slm_lock_query(Datum request_id, TimestampTz *created_at);

#endif
