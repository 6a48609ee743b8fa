/*
 * pseudonym_keys.h
 *		The secret keys that make pseudonyms of user ids.
 */
#ifndef SLM_PSEUDONYM_KEYS_H
#define SLM_PSEUDONYM_KEYS_H

#define MAX_PSEUDONYM_KEYS 16
#define MAX_KEY_NAME 8 /* bytes */
#define MIN_KEY_BYTES 32
#define MAX_KEY_BYTES 64

typedef struct PseudonymKey
{
	char name[MAX_KEY_NAME + 1];
	int length;
	uint8 bytes[MAX_KEY_BYTES];
} PseudonymKey;

/* The keys in the order of the file: the newest first. */
typedef struct PseudonymKeys
{
	int count;
	PseudonymKey keys[MAX_PSEUDONYM_KEYS];
} PseudonymKeys;

extern void slm_pseudonym_keys_init(void);
extern bool slm_pseudonym_keys_configured(void);
extern const PseudonymKeys *slm_pseudonym_keys(void);

#endif
