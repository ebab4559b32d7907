/* JPEG over HTTP: one image, or unbounded MJPEG. Server's thread only. */
#pragma once

#include "publish/server_internal.h"

int sp_mjpeg_begin(struct sp_connection *connection, const struct sp_reply *reply, bool head_only);
int sp_mjpeg_writable(struct sp_connection *connection);
bool sp_mjpeg_has_news(struct sp_connection *connection);
void sp_mjpeg_end(struct sp_connection *connection);
