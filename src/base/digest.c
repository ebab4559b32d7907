#include "base/digest.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = 64, READ_BYTES = 65536 };

struct sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[BLOCK_BYTES];
    size_t used;
};

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t value, unsigned bits)
{
    return value >> bits | value << (32 - bits);
}

/* FIPS 180-4, 6.2.2. */
static void add_block(struct sha256 *sha, const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, sha->h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + k[i] + w[i];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++)
        sha->h[i] += v[i];
}

static void begin(struct sha256 *sha)
{
    *sha = (struct sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

static void add(struct sha256 *sha, const uint8_t *data, size_t bytes)
{
    sha->bytes += bytes;
    while (bytes > 0) {
        size_t part = BLOCK_BYTES - sha->used < bytes ? BLOCK_BYTES - sha->used : bytes;
        memcpy(sha->block + sha->used, data, part);
        sha->used += part;
        data += part;
        bytes -= part;
        if (sha->used == BLOCK_BYTES) {
            add_block(sha, sha->block);
            sha->used = 0;
        }
    }
}

static void end(struct sha256 *sha, char out[SP_DIGEST_TEXT_BYTES])
{
    static const uint8_t padding[BLOCK_BYTES] = {0x80};
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(sha->bytes * 8 >> (56 - 8 * i));
    add(sha, padding, 1 + (2 * BLOCK_BYTES - 9 - sha->used) % BLOCK_BYTES);
    add(sha, length, sizeof length);
    for (size_t i = 0; i < 8; i++)
        snprintf(out + 8 * i, 9, "%08x", sha->h[i]);
}

void sp_digest_bytes(const void *data, size_t bytes, char out[SP_DIGEST_TEXT_BYTES])
{
    struct sha256 sha;
    begin(&sha);
    add(&sha, data, bytes);
    end(&sha, out);
}

int sp_digest_file(const char *path, char out[SP_DIGEST_TEXT_BYTES], struct sp_error *err)
{
    uint8_t part[READ_BYTES];
    struct sha256 sha;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
    begin(&sha);
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0;)
        add(&sha, part, got);
    int why = ferror(file) ? errno : 0;
    fclose(file);
    if (why)
        return sp_fail(err, SP_ERR_IO, "%s: %s", path, strerror(why));
    end(&sha, out);
    return SP_OK;
}
