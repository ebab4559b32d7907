/* Helpers of requests that name a camera. */
#pragma once

#include "api/internal.h"

/* The camera's index, or -1. */
int sp_api_find_camera(struct sp_api *api, const char *name, struct sp_camera_report *report);

/* Write the counts, and the camera with its counts, as an object. setting NULL: without its own
 * settings. */
void sp_json_ledger(struct sp_json *json, const struct sp_ledger_counts *ledger);
void sp_json_camera(struct sp_json *json, const struct sp_camera_report *report,
                    const struct sp_camera_setting *setting);

/* From the settings. */
struct sp_stream_options sp_api_stream_options(const struct sp_api *api);

/* From the settings and the query (width, quality, annotated). False: refused. */
bool sp_call_stream_options(struct sp_call *call, struct sp_stream_options *options);
