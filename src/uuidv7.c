/*
 * uuidv7.c
 *		Request ids that sort by the time at which they were made.
 *
 * RFC 9562 version 7: 48 bits of Unix milliseconds, then randomness; the 12
 * bits after the version hold the fraction of the millisecond (method 3 of
 * section 6.2), so that ids made one after another in a backend ascend.
 * PostgreSQL has uuidv7() from 18 on only.
 */
#include "postgres.h"

#include <time.h>

#include "utils/builtins.h"

#include "compat.h"
#include "uuidv7.h"

#define NS_PER_MS INT64CONST(1000000)

text *
slm_uuidv7(void)
{
	static int64 last_ns = 0;
	static const char digits[] = "0123456789abcdef";
	struct timespec now;
	unsigned char bytes[16];
	char out[36];
	int64 ns;
	uint64 ms;
	uint32 fraction;
	int o = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (int64) now.tv_sec * INT64CONST(1000000000) + now.tv_nsec;
	/* 2^12 steps a millisecond are about 244 ns each */
	if (ns < last_ns + 245)
		ns = last_ns + 245;
	last_ns = ns;
	ms = ns / NS_PER_MS;
	fraction = (ns % NS_PER_MS) * 4096 / NS_PER_MS;

	if (!pg_strong_random(bytes + 8, 8))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate random values")));
	for (int i = 0; i < 6; i++)
		bytes[i] = (ms >> (40 - 8 * i)) & 0xff;
	bytes[6] = 0x70 | (fraction >> 8);
	bytes[7] = fraction & 0xff;
	bytes[8] = 0x80 | (bytes[8] & 0x3f);

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[o++] = '-';
		out[o++] = digits[bytes[i] >> 4];
		out[o++] = digits[bytes[i] & 0x0f];
	}
	return cstring_to_text_with_len(out, sizeof(out));
}
