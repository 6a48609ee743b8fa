/*
 * version.h
 *		Does the library fit the extension in this database?
 */
#ifndef SLM_VERSION_H
#define SLM_VERSION_H

#include "fmgr.h"

extern void slm_check_version(void);
extern void slm_check_arguments(FunctionCallInfo fcinfo, int expected);

#endif
