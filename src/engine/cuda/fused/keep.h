/* Files of what was compiled. Of the fused executor alone. Pure C. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUSED_HASH_START 0xcbf29ce484222325u

uint64_t fused_hash(uint64_t hash, const void *bytes, size_t count);

/* What was written for this kind and key, with a zero behind it; NULL: nothing, or nothing whole.
 * The caller frees it. An empty folder: none. */
uint8_t *fused_keep_read(const char *folder, const char *kind, uint64_t key, size_t *count);
int fused_keep_write(const char *folder, const char *kind, uint64_t key, const void *data,
                     size_t count);
