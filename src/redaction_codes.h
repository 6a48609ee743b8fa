/*
 * redaction_codes.h
 *		A text as redaction sees it: one byte for each character.
 */
#ifndef SLM_REDACTION_CODES_H
#define SLM_REDACTION_CODES_H

/* ASCII stands for itself. */
#define CODE_OTHER 0x80 /* punctuation, symbols, marks */
#define CODE_LETTER                                                            \
	0x81				  /* of a script that puts spaces between words and is
						   * mixed with ASCII: Latin, Greek, Cyrillic, ... */
#define CODE_FOREIGN 0x82 /* a letter of any other script */
#define CODE_DASH 0x83	  /* a dash that is not ASCII's */
#define CODE_MIDDLE_DOT 0x84 /* a dot that separates digits only */
#define CODE_STOP 0x85		 /* ends a sentence, or is the dot of a domain */

extern const unsigned char *slm_redaction_codes(const char *given, int length,
												int *count);
extern const char *slm_skip_characters(const char *at, const char *end,
									   int count);

#endif
