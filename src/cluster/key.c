/* Keys of the buckets. */
#include "cluster/internal.h"

#include <stdio.h>
#include <string.h>

void sp_cluster_key(char key[SP_KV_KEY_BYTES], const char *kind, const char *name)
{
    int used = snprintf(key, SP_KV_KEY_BYTES, "%s.", kind);
    for (const char *c = name; *c && used + 4 < SP_KV_KEY_BYTES; c++)
        used += snprintf(key + used, SP_KV_KEY_BYTES - (size_t)used, *c == '.' ? "=2E" : "%c", *c);
}

bool sp_cluster_read_key(const char *key, char kind[16], char name[SP_CLUSTER_NAME_BYTES])
{
    size_t n = strcspn(key, ".");
    if (n == 0 || n >= 16 || key[n] != '.')
        return false;
    memcpy(kind, key, n);
    kind[n] = '\0';
    size_t used = 0;
    for (const char *c = key + n + 1; *c; c++) {
        if (used + 1 >= SP_CLUSTER_NAME_BYTES)
            return false;
        bool dot = strncmp(c, "=2E", 3) == 0;
        name[used++] = dot ? '.' : *c;
        c += dot ? 2 : 0;
    }
    name[used] = '\0';
    return used > 0;
}
