/* The lines and zones in effect: those of spoton.yaml, and over them those edited at run time,
 * which are kept in ANALYTICS_FILE.
 *
 * Data flow: spoton.yaml -> sp_counting_setup_read_yaml; a client's document ->
 * sp_counting_setup_put -> ANALYTICS_FILE (file_saver.h); both -> sp_counting_setup_config. Where
 * ANALYTICS_FILE has an entry for a camera, or for the map, that entry replaces all lines and zones
 * which spoton.yaml has for it. The file has the form of spoton.yaml, in JSON, and is read by the
 * same code. On an error nothing changes. One thread at a time. */
#pragma once

#include "analytics/config.h"

#include <stddef.h>

struct sp_counting_setup;

/* Reads `path` (copied; empty: edits are kept in memory only); a missing file is none.
 * SP_ERR_INVALID with file, line and what to do; SP_ERR_IO, SP_ERR_NO_MEMORY. */
int sp_counting_setup_open(struct sp_counting_setup **out, const char *path, struct sp_error *err);
void sp_counting_setup_close(struct sp_counting_setup *setup); /* NULL is allowed */

/* Replaces those of spoton.yaml. `path` empty: there is no such file. Errors as above. */
int sp_counting_setup_read_yaml(struct sp_counting_setup *setup, const char *path,
                                struct sp_error *err);

/* Replaces those of a camera, or of the map. Errors as above, the place being in `text`; a file
 * error is reported with the change in effect (*changed). */
struct sp_counting_put {
    const char *camera;      /* NULL: the map */
    int width_px, height_px; /* of the camera's frames, for points in pixels; 0: not known */
    const char *text;        /* {"lines": [...], "zones": [...]} */
    size_t bytes;
};
int sp_counting_setup_put(struct sp_counting_setup *setup, const struct sp_counting_put *put,
                          bool *changed, struct sp_error *err);

/* Drops the edited ones, so that those of spoton.yaml are in effect. SP_ERR_NOT_FOUND. */
int sp_counting_setup_remove(struct sp_counting_setup *setup, const char *camera, bool *changed,
                             struct sp_error *err);

const struct sp_counting_config *sp_counting_setup_config(const struct sp_counting_setup *setup);

/* Whether a camera (NULL: the map) has edited ones; and those in effect, never NULL. */
bool sp_counting_setup_is_edited(const struct sp_counting_setup *setup, const char *camera);
const struct sp_scope_config *sp_counting_setup_scope(const struct sp_counting_setup *setup,
                                                      const char *camera);
