/*
 * distributed.h
 *		Refuse tables that Citus has distributed.
 */
#ifndef SLM_DISTRIBUTED_H
#define SLM_DISTRIBUTED_H

extern void slm_refuse_distributed_tables(Oid namespace);

#endif
