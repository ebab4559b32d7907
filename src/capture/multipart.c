#include "capture/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IN_BYTES = 65536,
    HEAD_BYTES = 96, /* space before the JPEG for its part's header */
    JPEG_MAX_BYTES = 64 << 20,
    SOI = 0xD8,
    EOI = 0xD9,
    SOS = 0xDA,
    TEM = 0x01,
    RST0 = 0xD0,
    RST7 = 0xD7,
};

static const char tail[] = "\r\n";

struct sp_multipart {
    sp_multipart_reader *read;
    void *user;
    uint8_t in[IN_BYTES];
    int in_at, in_bytes, in_result; /* the reader's last result when it returned no data */
    bool began;                     /* the next JPEG's SOI has been read already */

    uint8_t *part; /* HEAD_BYTES, the JPEG, the trailer */
    size_t part_bytes, capacity, out_at, out_end;
};

struct sp_multipart *sp_multipart_open(sp_multipart_reader *read, void *user)
{
    struct sp_multipart *m = calloc(1, sizeof *m);
    if (m) {
        m->read = read;
        m->user = user;
    }
    return m;
}

void sp_multipart_close(struct sp_multipart *m)
{
    if (m)
        free(m->part);
    free(m);
}

/* The next byte, or -1: see in_result. */
static int next(struct sp_multipart *m)
{
    if (m->in_at == m->in_bytes) {
        m->in_at = 0;
        m->in_result = m->read(m->user, m->in, IN_BYTES);
        m->in_bytes = m->in_result > 0 ? m->in_result : 0;
        if (m->in_bytes == 0)
            return -1;
    }
    return m->in[m->in_at++];
}

static bool keep(struct sp_multipart *m, int byte)
{
    if (m->part_bytes + sizeof tail > m->capacity) {
        size_t capacity = m->capacity ? m->capacity * 2 : IN_BYTES;
        uint8_t *grown = capacity <= JPEG_MAX_BYTES ? realloc(m->part, capacity) : NULL;
        if (!grown) {
            m->in_result = SP_MULTIPART_ERROR;
            return false;
        }
        m->part = grown;
        m->capacity = capacity;
    }
    m->part[m->part_bytes++] = (uint8_t)byte;
    return true;
}

/* The next byte, also appended to the part. */
static int take(struct sp_multipart *m)
{
    int byte = next(m);
    return byte >= 0 && !keep(m, byte) ? -1 : byte;
}

/* Skips everything between two JPEGs, up to and including SOI. */
static bool find_begin(struct sp_multipart *m)
{
    bool begins = m->began;
    m->began = false;
    m->part_bytes = HEAD_BYTES;
    for (int before = 0, byte; !begins; before = byte) {
        byte = next(m);
        if (byte < 0)
            return false;
        begins = before == 0xFF && byte == SOI;
    }
    return keep(m, 0xFF) && keep(m, SOI);
}

/* The next marker's code; appends everything before it (entropy-coded data, or nothing). -1: the
 * input failed. */
static int find_marker(struct sp_multipart *m)
{
    for (int before = 0, byte;; before = byte) {
        byte = take(m);
        if (byte < 0)
            return -1;
        if (before == 0xFF && byte != 0x00 && byte != 0xFF && !(byte >= RST0 && byte <= RST7) &&
            byte != TEM)
            return byte;
    }
}

static bool skip_segment(struct sp_multipart *m)
{
    int high = take(m), low = high < 0 ? -1 : take(m);
    if (low < 0)
        return false;
    for (int left = high * 256 + low - 2; left > 0; left--)
        if (take(m) < 0)
            return false;
    return true;
}

/* Reads a whole JPEG into the part. */
static bool read_jpeg(struct sp_multipart *m)
{
    if (!find_begin(m))
        return false;
    for (;;) {
        int marker = find_marker(m);
        if (marker < 0)
            return false;
        if (marker == EOI)
            return true;
        if (marker == SOI) { /* the previous JPEG was truncated */
            m->part_bytes -= 2;
            m->began = true;
            return true;
        }
        if (!skip_segment(m))
            return false;
    }
}

static void finish_part(struct sp_multipart *m)
{
    char head[HEAD_BYTES];
    int n = snprintf(head, sizeof head,
                     "--spoton\r\nContent-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n",
                     m->part_bytes - HEAD_BYTES);
    memcpy(m->part + HEAD_BYTES - n, head, (size_t)n);
    memcpy(m->part + m->part_bytes, tail, sizeof tail - 1);
    m->out_at = (size_t)(HEAD_BYTES - n);
    m->out_end = m->part_bytes + sizeof tail - 1;
}

int sp_multipart_read(struct sp_multipart *m, uint8_t *data, int n)
{
    if (m->out_at == m->out_end) {
        m->in_result = 0;
        if (!read_jpeg(m))
            return m->in_result;
        finish_part(m);
    }
    size_t left = m->out_end - m->out_at;
    int given = n < 0 ? 0 : (size_t)n < left ? n : (int)left;
    memcpy(data, m->part + m->out_at, (size_t)given);
    m->out_at += (size_t)given;
    return given;
}
