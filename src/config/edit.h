/* Adds cameras to a spoton.yaml, and removes them, without writing the rest anew.
 *
 * Data flow: text -> tree of base/yaml, whose nodes know their bytes -> the text with the lines of
 * one camera more or fewer. All other bytes stay: comments, order, quotes, !secret NAME, ${NAME}.
 * The new text is read again: if it is not the settings of the old one with that change, or if the
 * file is written in a way that cannot be edited, the edit is refused and nothing is written. */
#pragma once

#include "base/error.h"
#include "config/settings.h"

struct sp_config_edit {
    const char *path;                    /* for messages, secrets.yaml, and the file */
    char *const *environment;            /* for ${NAME} */
    const struct sp_camera_setting *add; /* without what it takes from all cameras; or NULL */
    const char *remove;                  /* a camera's name, if `add` is NULL */
    /* Of sp_config_edit_file: called once the new file is complete, before it takes the place of
     * the old one. A negative result, with its error, ends the edit. NULL: not called. */
    int (*ready)(void *user, struct sp_error *err);
    void *user;
};

/* *out: malloc'ed, not terminated. SP_ERR_NOT_FOUND: no such camera to remove. SP_ERR_UNSUPPORTED:
 * the text has to be changed by hand. SP_ERR_INVALID: it has a camera of that name, or is itself
 * invalid. SP_ERR_NO_MEMORY. One thread. */
int sp_config_edit_text(const struct sp_config_edit *edit, const char *text, size_t bytes,
                        char **out, size_t *out_bytes, struct sp_error *err);

/* The same for the file at edit->path, or that it links to: the new one is written beside it, with
 * its mode, owner and group, synced, and renamed. SP_ERR_IO also if it was changed meanwhile. */
int sp_config_edit_file(const struct sp_config_edit *edit, struct sp_error *err);
