/* From the settings to the options of the outputs. */
#pragma once

#include "config/settings.h"
#include "output/fan_out.h"

struct sp_output_settings {
    struct sp_fan_out_options options; /* points to the next ones and to the settings */
    char dir[SP_PATH_BYTES + SP_PATH_BYTES];
    char node[64]; /* the host's name */
};

/* The options are valid while `out` and the settings are. */
void sp_output_settings_fill(struct sp_output_settings *out, const struct sp_settings *settings);
