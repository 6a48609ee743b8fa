/*
 * yield_database.h
 *		Commands that need a database for themselves get it.
 */
#ifndef SLM_YIELD_DATABASE_H
#define SLM_YIELD_DATABASE_H

extern void slm_yield_database_init(void);

#endif
