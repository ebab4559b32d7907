/* Motion JPEG over HTTP as cameras really send it, made regular.
 *
 * Data flow: bytes of a multipart body come in through a reader; out go the same JPEGs as a body
 * that every reader of RFC 2046 takes: a boundary, one Content-Type, the true Content-Length. Where
 * a JPEG begins and ends, its own markers say (ITU-T T.81, annex B), so neither boundaries nor
 * lengths nor types of the parts have to be right, nor to be there. One thread; the memory is that
 * of the largest JPEG. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct sp_multipart;

/* Reads at most n bytes; 0 or negative: what sp_multipart_read is to return. */
typedef int sp_multipart_reader(void *user, uint8_t *data, int n);

/* NULL: no memory. */
struct sp_multipart *sp_multipart_open(sp_multipart_reader *read, void *user);
void sp_multipart_close(struct sp_multipart *multipart); /* NULL is fine */

/* At most n bytes of the regular body; else what the reader returned, or SP_MULTIPART_ERROR: no
 * memory, or a JPEG without an end. */
enum { SP_MULTIPART_ERROR = -1 };
int sp_multipart_read(struct sp_multipart *multipart, uint8_t *data, int n);
