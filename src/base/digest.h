/* SHA-256 in hexadecimal, by libcrypto; identifies the model that a manifest describes. */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { SP_DIGEST_TEXT_BYTES = 65 };

/* SP_ERR_NO_MEMORY. */
int sp_digest_bytes(const void *data, size_t bytes, char out[SP_DIGEST_TEXT_BYTES],
                    struct sp_error *err);

/* SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_NO_MEMORY. */
int sp_digest_file(const char *path, char out[SP_DIGEST_TEXT_BYTES], struct sp_error *err);
