/* Normalises motion JPEG over HTTP as cameras send it.
 *
 * Data flow: the bytes of a multipart body are read by a callback; the output is the same JPEGs as
 * a body that conforms to RFC 2046: a boundary, one Content-Type, the correct Content-Length. The
 * JPEGs' own markers (ITU-T T.81, annex B) delimit them, so the input's boundaries, lengths and
 * types may be wrong or missing. One thread; the memory used is that of the largest JPEG. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sp_multipart;

/* Reads at most n bytes; 0 or negative: the result that sp_multipart_read returns. */
typedef int sp_multipart_reader(void *user, uint8_t *data, int n);

/* NULL: no memory. */
struct sp_multipart *sp_multipart_open(sp_multipart_reader *read, void *user);
void sp_multipart_close(struct sp_multipart *multipart); /* NULL is fine */

/* At most n bytes of the normalised body; else the reader's result, or SP_MULTIPART_ERROR: out of
 * memory, or a JPEG without an end. */
enum { SP_MULTIPART_ERROR = -1 };
int sp_multipart_read(struct sp_multipart *multipart, uint8_t *data, int n);
