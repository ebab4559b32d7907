/* Shared by the fuzz targets. Each target is a parser of external bytes, called in-process by
 * libFuzzer with any input; a finding is a crash, a sanitizer's report, a hang, or a promise of the
 * parser's header that does not hold (FUZZ_CHECK). */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A refusal has one line of text; success leaves the error alone. */
static inline void fuzz_check_result(int result, const struct sp_error *err)
{
    FUZZ_CHECK(result >= 0 ? err->code == SP_OK : err->text[0] != '\0');
    FUZZ_CHECK(strchr(err->text, '\n') == NULL);
}

/* The input as a file that lives in memory; close the descriptor. */
static inline int fuzz_file(const void *data, size_t bytes, char path[64])
{
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && write(file, data, bytes) == (ssize_t)bytes);
    (void)snprintf(path, 64, "/proc/self/fd/%d", file);
    return file;
}

/* Takes values from the front of the input; zeros when it is used up. */
struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_bytes *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && from->left > 0; i++, from->left--)
        value |= (uint64_t)*from->at++ << 8 * i;
    return value;
}

/* The input as a text of its own, so that reading beyond its end is seen. Free it. */
static inline char *fuzz_text(const void *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    FUZZ_CHECK(text != NULL);
    if (bytes > 0)
        memcpy(text, data, bytes);
    text[bytes] = '\0';
    return text;
}
