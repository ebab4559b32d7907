/* What an HTTP camera sends, in pieces of any size: each part that comes out is one JPEG, of the
 * length that its head says. The first byte of the input says how large the pieces are. */
#include "capture/multipart.h"

#include "fuzz.h"

struct input {
    const uint8_t *data;
    size_t left;
    int piece;
};

static int read_input(void *user, uint8_t *data, int n)
{
    struct input *input = user;
    size_t given = (size_t)(n < input->piece ? n : input->piece);
    if (given > input->left)
        given = input->left;
    memcpy(data, input->data, given);
    input->data += given;
    input->left -= given;
    return (int)given;
}

static void check_parts(const char *out, size_t used)
{
    static const char head[] = "--spoton\r\nContent-Type: image/jpeg\r\nContent-Length: ";
    for (size_t at = 0; at < used;) {
        char *end;
        FUZZ_CHECK(used - at > sizeof head && memcmp(out + at, head, sizeof head - 1) == 0);
        size_t length = strtoul(out + at + sizeof head - 1, &end, 10);
        at = (size_t)(end - out) + 4;
        FUZZ_CHECK(at + length + 2 <= used && length >= 2);
        FUZZ_CHECK(memcmp(out + at, "\xFF\xD8", 2) == 0);
        at += length + 2;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1)
        return 0;
    struct input input = {data + 1, bytes - 1, data[0] + 1};
    struct sp_multipart *multipart = sp_multipart_open(read_input, &input);
    size_t capacity = 512 + bytes * 64, used = 0;
    char *out = malloc(capacity);
    FUZZ_CHECK(multipart && out);
    int n;
    while ((n = sp_multipart_read(multipart, (uint8_t *)out + used, data[0] + 7)) > 0) {
        used += (size_t)n;
        FUZZ_CHECK(used + 300 < capacity);
    }
    FUZZ_CHECK(n == 0);
    check_parts(out, used);
    free(out);
    sp_multipart_close(multipart);
    return 0;
}
