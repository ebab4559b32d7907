/* The files of web/, compiled in by tools/embed-files. */
#pragma once

#include <stddef.h>

struct sp_asset {
    const char *name; /* "index.html" */
    const char *type;
    const unsigned char *data;
    size_t bytes;
};

extern const struct sp_asset sp_assets[];
extern const size_t sp_asset_count;
