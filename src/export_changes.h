/*
 * export_changes.h
 *		Tombstones, which tell readers of export_changes() what was removed.
 */
#ifndef SLM_EXPORT_CHANGES_H
#define SLM_EXPORT_CHANGES_H

extern void slm_note_removal(Datum request_id, bool isnull);

#endif
