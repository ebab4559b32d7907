/* W3C, "Portable Network Graphics (PNG) Specification", third edition. */
#include "store/png.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static uint8_t *put(uint8_t *at, uint32_t number)
{
    for (int i = 3; i >= 0; i--)
        *at++ = (uint8_t)(number >> 8 * i);
    return at;
}

/* The data is at at + 8 already. */
static uint8_t *end_chunk(uint8_t *at, const char *type, uint32_t bytes)
{
    put(at, bytes);
    memcpy(at + 4, type, 4);
    return put(at + 8 + bytes, (uint32_t)crc32(crc32(0, NULL, 0), at + 4, bytes + 4));
}

uint8_t *sp_png_write(const uint8_t *pixels, uint32_t width, uint32_t height, size_t *bytes)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    size_t row = 4 * (size_t)width, raw_bytes = (row + 1) * height;
    uLongf packed = compressBound(raw_bytes);
    uint8_t *raw = malloc(raw_bytes), *file = malloc(packed + 64);
    if (!raw || !file) {
        free(raw);
        free(file);
        return NULL;
    }
    for (uint32_t y = 0; y < height; y++) {
        raw[y * (row + 1)] = 0; /* filter: none */
        memcpy(raw + y * (row + 1) + 1, pixels + y * row, row);
    }
    memcpy(file, signature, sizeof signature);
    uint8_t *at = file + sizeof signature;
    uint8_t *data = put(put(at + 8, width), height);
    memcpy(data, (const uint8_t[]){8, 6, 0, 0, 0}, 5); /* depth, RGBA */
    at = end_chunk(at, "IHDR", 13);
    int result = compress2(at + 8, &packed, raw, raw_bytes, 6);
    at = end_chunk(at, "IDAT", (uint32_t)packed);
    at = end_chunk(at, "IEND", 0);
    free(raw);
    if (result != Z_OK) {
        free(file);
        return NULL;
    }
    *bytes = (size_t)(at - file);
    return file;
}
