/* Finds the engine plugins and loads them.
 *
 * Data flow: name -> spoton-engine-NAME.so, searched in $SPOTON_ENGINE_DIR, beside the program, in
 * "engines" beside it and in the installed plugin folder -> its checked vtable. A loaded plugin
 * stays loaded until the process ends (runtimes do not survive dlclose). Thread-safe. */
#pragma once

#include "base/error.h"
#include "spoton/engine.h"

/* `name` is a plugin's name, or "auto": the one with the highest probe confidence. The result is
 * never freed. SP_ERR_NOT_FOUND names the folders searched and, for auto, each plugin's reason. */
int sp_engine_load(const struct spoton_engine_api **out, const char *name, struct sp_error *err);

/* One line of `doctor`: every known engine, found or not. */
struct sp_engine_report {
    char name[32];
    int found;  /* the plugin loads */
    int broken; /* there is a file of it, which does not */
    char error[512];
    struct spoton_engine_probe probe; /* when found */
};

/* Fills reports[capacity], returns how many. */
int sp_engine_list(struct sp_engine_report *reports, int capacity);

const char *sp_precision_name(enum spoton_precision precision); /* "bf16" */
