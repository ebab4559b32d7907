#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { READ_BYTES = 65536 };

static void print_hex(const unsigned char *digest, char out[SP_DIGEST_TEXT_BYTES])
{
    for (size_t i = 0; i < SP_DIGEST_TEXT_BYTES / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

int sp_digest_bytes(const void *data, size_t bytes, char out[SP_DIGEST_TEXT_BYTES],
                    struct sp_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(data, bytes, digest, NULL, EVP_sha256(), NULL) != 1)
        return sp_fail(err, SP_ERR_NO_MEMORY, "SHA-256: out of memory");
    print_hex(digest, out);
    return SP_OK;
}

static int add_file(EVP_MD_CTX *context, FILE *file, const char *path, struct sp_error *err)
{
    unsigned char part[READ_BYTES];
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0;)
        if (EVP_DigestUpdate(context, part, got) != 1)
            return sp_fail(err, SP_ERR_NO_MEMORY, "%s: SHA-256: out of memory", path);
    return ferror(file) ? sp_fail(err, SP_ERR_IO, "%s: %s", path, strerror(errno)) : SP_OK;
}

int sp_digest_file(const char *path, char out[SP_DIGEST_TEXT_BYTES], struct sp_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    FILE *file = fopen(path, "rbe");
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int result = SP_OK;
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: SHA-256: out of memory", path);
    else
        result = add_file(context, file, path, err);
    fclose(file);
    if (result == SP_OK && EVP_DigestFinal_ex(context, digest, NULL) != 1)
        result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: SHA-256: out of memory", path);
    EVP_MD_CTX_free(context);
    if (result == SP_OK)
        print_hex(digest, out);
    return result;
}
