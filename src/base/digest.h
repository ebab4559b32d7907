/* SHA-256 (FIPS 180-4) of files: which model a manifest speaks of. */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { SP_DIGEST_TEXT_BYTES = 65 };

/* In hexadecimal. Pure. */
void sp_digest_bytes(const void *data, size_t bytes, char out[SP_DIGEST_TEXT_BYTES]);

/* SP_ERR_NOT_FOUND, SP_ERR_IO. */
int sp_digest_file(const char *path, char out[SP_DIGEST_TEXT_BYTES], struct sp_error *err);
