/* Lines and zones as configured, and read from spoton.yaml.
 *
 *     cameras:
 *       - name: gate
 *         lines: [{name: door, points: [[0.1, 0.5], [0.9, 0.5]]}]
 *         zones: [{name: hall, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}]
 *     map: {lines: [...], zones: [...]}
 *
 * Points are fractions of the frame, or pixels of it (unit: px); those of `map` are metres. Lines
 * of one name in several cameras are one line, seen by each of them; so are zones.
 * docs/ANALYTICS.md has all keys. Plain values; large, so not for the stack. */
#pragma once

#include "analytics/geometry.h"
#include "base/error.h"

#include <stdbool.h>

struct sp_json;
struct sp_yaml_node;

enum {
    SP_COUNTING_CAMERAS_MAX = 64,
    SP_COUNTING_LINES_MAX = 16, /* of one camera, and of the map; the same for zones */
    SP_COUNTING_ZONES_MAX = 16,
    SP_COUNTING_CORNERS_MAX = 32,
    SP_COUNTING_NAME_BYTES = 64,
    SP_COUNTING_FILE_BYTES = 256,
};

enum sp_anchor { SP_ANCHOR_FOOT, SP_ANCHOR_CENTRE };
enum sp_unit { SP_UNIT_FRACTION, SP_UNIT_PIXEL, SP_UNIT_METRE };

struct sp_line_config {
    char name[SP_COUNTING_NAME_BYTES];
    char in[SP_COUNTING_NAME_BYTES], out[SP_COUNTING_NAME_BYTES]; /* names of the directions */
    enum sp_anchor anchor;
    enum sp_unit unit;
    struct sp_planar points[2];
    int row; /* in the file, for messages */
};

struct sp_zone_config {
    char name[SP_COUNTING_NAME_BYTES];
    enum sp_anchor anchor;
    enum sp_unit unit;
    int count;
    struct sp_planar corners[SP_COUNTING_CORNERS_MAX];
    int crowded;        /* people from which it is crowded; 0: not watched */
    double loitering_s; /* dwell from which a person loiters; 0: not watched */
    int row;
};

/* The lines and zones of one camera, or of the map. */
struct sp_scope_config {
    char name[SP_COUNTING_NAME_BYTES]; /* the camera's; empty: the map */
    int row;
    int line_count, zone_count;
    struct sp_line_config lines[SP_COUNTING_LINES_MAX];
    struct sp_zone_config zones[SP_COUNTING_ZONES_MAX];
};

struct sp_counting_config {
    char file[SP_COUNTING_FILE_BYTES]; /* for messages */
    int camera_count;                  /* those that have lines or zones */
    struct sp_scope_config cameras[SP_COUNTING_CAMERAS_MAX];
    struct sp_scope_config map;
};

/* Fills *config from the document's root; other keys are not read. SP_ERR_INVALID with file, line,
 * column, and what to do. */
int sp_counting_config_read(struct sp_counting_config *config, const struct sp_yaml_node *root,
                            struct sp_error *err);

/* The keys `lines` and `zones` of one camera's entry, or of `map`; others are not read. *scope is
 * zeroed by the caller. Errors as above. */
int sp_counting_scope_read(struct sp_scope_config *scope, const struct sp_yaml_node *node,
                           bool on_map, struct sp_error *err);

/* Adds "lines": [...], "zones": [...] to the open object; sp_counting_scope_read reads them back.
 */
void sp_counting_scope_members_json(struct sp_json *json, const struct sp_scope_config *scope);

/* SP_ERR_INVALID: the map's and a camera's entry have one name. They are in different units, so
 * they are not one line. sp_counting_config_read includes this check. */
int sp_counting_config_check_names(const struct sp_counting_config *config, struct sp_error *err);

bool sp_counting_config_is_empty(const struct sp_counting_config *config);
bool sp_counting_config_has_map(const struct sp_counting_config *config);

/* SP_ERR_INVALID: a camera of the configuration is not among these; or metres without a map. */
int sp_counting_config_check(const struct sp_counting_config *config, const char *const *cameras,
                             int count, bool has_map, struct sp_error *err);

/* SP_ERR_INVALID: a point in pixels is outside a frame of this size. */
int sp_counting_config_check_size(const struct sp_counting_config *config, const char *camera,
                                  int width_px, int height_px, struct sp_error *err);
