/* TFLite models have their metadata in a ZIP archive appended to the model: FlatBuffers readers
 * ignore what follows the tables, and ZIP archives are read from the end. */
#include "detect/names.h"
#include "detect/names_text.h"

#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

/* PKWARE, APPNOTE.TXT 6.3: 4.3.7 local header, 4.3.12 central directory, 4.3.16 its end. */
enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    COMMENT_MAX = 65535,
    STORED = 0,
    DEFLATED = 8,
    TEXT_MAX = 1 << 20,
};

struct archive {
    const uint8_t *data;
    size_t bytes;
};

static uint32_t number(struct archive file, size_t at, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)file.data[at + (size_t)i] << 8 * i;
    return value;
}

static bool has(struct archive file, size_t at, size_t bytes)
{
    return at <= file.bytes && bytes <= file.bytes - at;
}

static char *unpack(const uint8_t *packed, size_t packed_bytes, size_t bytes)
{
    char *text = malloc(bytes ? bytes : 1);
    z_stream stream = {.next_in = packed,
                       .avail_in = (uInt)packed_bytes,
                       .next_out = (Bytef *)text,
                       .avail_out = (uInt)bytes};
    if (!text || inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
        free(text);
        return NULL;
    }
    int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    if (result == Z_STREAM_END && stream.total_out == bytes)
        return text;
    free(text);
    return NULL;
}

static bool read_text(struct sp_class_names *names, const char *text, size_t bytes)
{
    if (sp_names_member(names, text, bytes) || sp_names_yaml(names, text, bytes))
        return true;
    bool list = bytes > 0 && text[0] != '{' && text[0] != '[' && memchr(text, '\n', bytes);
    return list && !memchr(text, ':', bytes) && sp_names_list(names, text, bytes, '\n');
}

/* Reads the entry at `at` of the central directory; offsets are relative to base. */
static bool read_entry(struct sp_class_names *names, struct archive file, size_t at, size_t base)
{
    uint32_t method = number(file, at + 10, 2), packed_bytes = number(file, at + 20, 4);
    uint32_t bytes = number(file, at + 24, 4);
    size_t local = base + number(file, at + 42, 4);
    if (!has(file, local, LOCAL_BYTES) || memcmp(file.data + local, "PK\3\4", 4) != 0)
        return false;
    size_t data = local + LOCAL_BYTES + number(file, local + 26, 2) + number(file, local + 28, 2);
    if (!has(file, data, packed_bytes) || bytes > TEXT_MAX)
        return false;
    const uint8_t *packed = file.data + data;
    if (method == STORED && bytes == packed_bytes)
        return read_text(names, (const char *)packed, bytes);
    char *text = method == DEFLATED ? unpack(packed, packed_bytes, bytes) : NULL;
    bool read = text && read_text(names, text, bytes);
    free(text);
    return read;
}

static bool find_end(struct archive file, size_t *end)
{
    if (file.bytes < END_BYTES)
        return false;
    size_t first = file.bytes - END_BYTES;
    for (size_t at = first + 1; at-- > 0 && first - at <= COMMENT_MAX;) {
        if (memcmp(file.data + at, "PK\5\6", 4) == 0) {
            *end = at;
            return true;
        }
    }
    return false;
}

bool sp_names_zip(struct sp_class_names *names, const char *data, size_t bytes)
{
    struct archive file = {(const uint8_t *)data, bytes};
    size_t end;
    if (!find_end(file, &end))
        return false;
    uint32_t entries = number(file, end + 10, 2), directory_bytes = number(file, end + 12, 4);
    uint32_t offset = number(file, end + 16, 4);
    if ((uint64_t)directory_bytes + offset > end)
        return false;
    /* Offsets of Python's zipfile are relative to the file, those of others to the archive. */
    size_t at = end - directory_bytes, base = at - offset;
    for (uint32_t i = 0; i < entries; i++) {
        if (!has(file, at, CENTRAL_BYTES) || memcmp(file.data + at, "PK\1\2", 4) != 0)
            return false;
        if (read_entry(names, file, at, base))
            return true;
        at += CENTRAL_BYTES + number(file, at + 28, 2) + number(file, at + 30, 2) +
              number(file, at + 32, 2);
    }
    return false;
}
