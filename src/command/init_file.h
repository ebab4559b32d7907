/* The files of `spoton init`: logins in, spoton.yaml out. */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "onvif/device.h"

/* Lines of user:password; empty ones and those that begin with '#' are skipped. path "-": standard
 * input. Messages name the line, never its text. SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_INVALID. */
int sp_init_read_logins(const char *path, struct sp_onvif_login logins[SP_ONVIF_LOGINS_MAX],
                        int *count, struct sp_error *err);

/* Before long work: SP_ERR_INVALID if the file exists and may not be replaced, or its folder cannot
 * be written. */
int sp_init_check_file(const char *path, bool force, struct sp_error *err);

/* Writes the settings as YAML, atomic, with mode 600. An existing file is renamed to PATH.old; its
 * owner and access (of the group at most) are kept, as a service may have to read it. */
int sp_init_write_file(const char *path, bool force, const struct sp_settings *settings,
                       struct sp_error *err);
