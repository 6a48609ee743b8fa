/*
 * worker.h
 *		The launcher and its workers, one a database at a time.
 */
#ifndef SLM_WORKER_H
#define SLM_WORKER_H

extern void slm_worker_init(void);
extern bool slm_am_worker(void);
extern bool slm_session_restores(Oid owner);
extern void slm_worker_leave_dropped(void);
extern void slm_worker_announce(Oid owner);
extern void slm_worker_wake(Oid owner);
extern void slm_worker_stop(Oid database);

#endif
