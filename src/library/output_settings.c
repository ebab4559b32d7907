#include "library/output_settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sp_output_settings_fill(struct sp_output_settings *out, const struct sp_settings *settings)
{
    bool relative = settings->outbox_dir[0] != '/';
    memset(out, 0, sizeof *out);
    snprintf(out->dir, sizeof out->dir, "%s%s", relative ? settings->folder : "",
             settings->outbox_dir);
    if (gethostname(out->node, sizeof out->node - 1) < 0 || out->node[0] == '\0')
        snprintf(out->node, sizeof out->node, "localhost");
    out->options = (struct sp_fan_out_options){
        .outputs = settings->outputs,
        .outbox = {.dir = out->dir,
                   .max_bytes = (uint64_t)settings->outbox_max_mb << 20,
                   .max_age_us = (int64_t)settings->outbox_max_age_h * 3600 * 1000000,
                   .sync_us = (int64_t)settings->outbox_sync_ms * 1000},
        .site = settings->site[0] ? settings->site : out->node,
        .node = out->node,
    };
}
