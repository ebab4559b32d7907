/* Cameras that are added and removed by the program instead of the API, because spoton.yaml is
 * changed too.
 *
 * Data flow: POST and DELETE of cameras.c (server's thread) -> a bounded queue ->
 * sp_api_edit_cameras (the program's thread, which may wait for the disk) -> sp_server_reply. */
#pragma once

#include "api/internal.h"

struct sp_camera_edits;

/* SP_ERR_NO_MEMORY. */
int sp_camera_edits_open(struct sp_camera_edits **out, struct sp_error *err);
void sp_camera_edits_close(struct sp_camera_edits *edits); /* NULL is allowed */

/* On the server's thread: replies later, or 503. add: copied; NULL: removes the camera of
 * call->name. */
void sp_camera_edits_ask(struct sp_call *call, const struct sp_camera_setting *add);
