/* What was compiled, kept in the folder of compiled models: the plans of a size, and the tail. A
 * file's name holds what it was made for, its first line what is in it; a file that is not whole,
 * or of something else, is as if it were not there. */
#include "keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 700, BYTES_MAX = 1 << 28 };

uint64_t fused_hash(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < count; ++i)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static void path_of(char *path, const char *folder, const char *kind, uint64_t key)
{
    snprintf(path, PATH_BYTES, "%s/fused-%s-%016llx", folder, kind, (unsigned long long)key);
}

uint8_t *fused_keep_read(const char *folder, const char *kind, uint64_t key, size_t *count)
{
    char path[PATH_BYTES];
    unsigned long long bytes = 0, sum = 0;
    uint8_t *data = NULL;
    path_of(path, folder, kind, key);
    FILE *file = *folder ? fopen(path, "rbe") : NULL;
    if (!file)
        return NULL;
    if (fscanf(file, "spoton %llu %llx", &bytes, &sum) == 2 && fgetc(file) == '\n' &&
        bytes <= BYTES_MAX && (data = malloc((size_t)bytes + 1)) &&
        fread(data, 1, (size_t)bytes, file) == bytes &&
        fused_hash(FUSED_HASH_START, data, (size_t)bytes) == sum) {
        *count = (size_t)bytes;
        data[bytes] = 0;
    } else {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

int fused_keep_write(const char *folder, const char *kind, uint64_t key, const void *data,
                     size_t count)
{
    char path[PATH_BYTES], part[PATH_BYTES + 32];
    path_of(path, folder, kind, key);
    snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid());
    FILE *file = *folder ? fopen(part, "wbe") : NULL;
    if (!file)
        return -1;
    fprintf(file, "spoton %zu %llx\n", count,
            (unsigned long long)fused_hash(FUSED_HASH_START, data, count));
    bool written = fwrite(data, 1, count, file) == count;
    written = fclose(file) == 0 && written && rename(part, path) == 0;
    if (!written)
        unlink(part);
    return written ? 0 : -1;
}
