/*
 * redaction_kinds.h
 *		The built-in kinds of personal data, and whether one stands somewhere.
 */
#ifndef SLM_REDACTION_KINDS_H
#define SLM_REDACTION_KINDS_H

typedef enum Kind
{
	KIND_KEY,
	KIND_EMAIL,
	KIND_IBAN,
	KIND_IP,
	KIND_CARD,
	KIND_PHONE,
	KINDS
} Kind;

/* No match of a number depends on more codes than these from its start on. */
#define MAX_NUMBER_CODES 80

/* A place in a text (in codes, see redaction_codes.h) where one may start. */
typedef struct Span
{
	const unsigned char *at;
	const unsigned char *end;
	int before;					   /* the code before, or 0 */
	const unsigned char *no_email; /* an e-mail address starts not before this:
									* what could begin one has been read */
	int work; /* codes that runs without a bound have gone over */
} Span;

/* What a code means: a bit for each kind that starts with it, and this. */
#define CLASS_JOINS 0x80 /* ASCII letters, digits and _: part of one word */
#define CLASS_LOCAL 0x40 /* may stand before the at sign of an e-mail address */
#define CLASS_STARTS 0x3f

extern unsigned char slm_code_classes[256];
extern const char *const slm_kind_names[KINDS];

extern void slm_redaction_kinds_init(void);
extern int slm_match_kind(Span *span, Kind *kind);

#endif
