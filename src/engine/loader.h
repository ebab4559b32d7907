/* Finds the engine plugins and loads them.
 *
 * Data flow: name -> spoton-engine-NAME.so, searched in $SPOTON_ENGINE_DIR, in the folder
 * of the program or library, in "engines" below it and in the installed plugin folder -> its
 * checked vtable. Plugins are never unloaded (runtimes do not survive dlclose). Thread-safe. */
#pragma once

#include "base/error.h"
#include "spoton/engine.h"

/* name: a plugin's name, or "auto" for the one with the highest preference. The result is never
 * freed. SP_ERR_NOT_FOUND lists the folders searched and, for auto, each plugin's reason. */
int sp_engine_load(const struct spoton_engine_api **out, const char *name, struct sp_error *err);

/* One line of `doctor`: every known engine, found or not. */
struct sp_engine_report {
    char name[32];
    int found;  /* the plugin loads */
    int broken; /* its file exists but does not load */
    char error[512];
    struct spoton_engine_probe probe; /* when found */
};

/* Fills reports[capacity]; returns the count. */
int sp_engine_list(struct sp_engine_report *reports, int capacity);

const char *sp_precision_name(enum spoton_precision precision); /* "bf16" */
