/* Serializes results for clients, as JSON and in binary (docs/API.md). Any thread. */
#pragma once

#include "base/json.h"
#include "class_names.h"
#include "publish/hub.h"

enum { SP_MESSAGE_SCHEMA = 1, SP_MESSAGE_VERSION = 2 };

/* Upper limit of a binary message without its JPEG. */
enum { SP_MESSAGE_BYTES_MAX = 34 + SP_HUB_NAME_BYTES + 5 + SP_TRACKS_MAX * 14 };

/* The global id as text, "P3", so that no client confuses it with a track id. */
enum { SP_PERSON_BYTES = 16 };
const char *sp_person_name(uint32_t person, char out[SP_PERSON_BYTES]);

/* Writes one object of schema 1. now_us: sp_clock_us(), for the latency. */
void sp_message_json(struct sp_json *json, const struct sp_result *result,
                     const struct sp_class_names *names, int64_t now_us);

/* Writes a message of version 2 into out[SP_MESSAGE_BYTES_MAX] and returns its length. With `jpeg`,
 * the caller appends the JPEG. */
size_t sp_message_binary(uint8_t *out, const struct sp_result *result, bool jpeg, int64_t now_us);

/* "2026-01-31T12:00:00.123Z" */
enum { SP_TIME_BYTES = 32 };
void sp_time_format(int64_t wall_us, char out[SP_TIME_BYTES]);
