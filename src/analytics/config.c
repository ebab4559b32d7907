#include "analytics/config.h"

#include "base/yaml.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double FAR = 1e6; /* pixels, metres: beyond it a number is a typing error */

/* ---- points ---- */

static int read_unit(const struct sp_yaml_node *entry, bool on_map, enum sp_unit *unit,
                     struct sp_error *err)
{
    const struct sp_yaml_node *node = sp_yaml_get(entry, "unit");
    const char *text;
    *unit = on_map ? SP_UNIT_METRE : SP_UNIT_FRACTION;
    if (!node)
        return SP_OK;
    if (sp_yaml_text(node, &text, err) < 0)
        return SP_ERR_INVALID;
    if (strcmp(text, "m") == 0) {
        if (!on_map)
            return sp_yaml_fail(node, err,
                                "unit: metres without a map; move this entry to `map:`, or use "
                                "fraction or px");
        return SP_OK;
    }
    bool px = strcmp(text, "px") == 0;
    if (on_map || (!px && strcmp(text, "fraction") != 0)) {
        char shown[64];
        sp_yaml_show(node, shown, sizeof shown);
        return sp_yaml_fail(node, err, "unit: %s; must be %s", shown,
                            on_map ? "m: entries of the map are in metres" : "fraction or px");
    }
    *unit = px ? SP_UNIT_PIXEL : SP_UNIT_FRACTION;
    return SP_OK;
}

static int read_point(const struct sp_yaml_node *node, enum sp_unit unit, struct sp_planar *point,
                      struct sp_error *err)
{
    double value[2] = {0, 0};
    char path[SP_YAML_PATH_BYTES], shown[64];
    sp_yaml_path(node, path);
    if (node->kind != SP_YAML_LIST || node->count != 2) {
        sp_yaml_show(node, shown, sizeof shown);
        return sp_yaml_fail(node, err, "%s: %s; a point is a list of two numbers: [x, y]", path,
                            shown);
    }
    const struct sp_yaml_node *item = node->first;
    for (int i = 0; i < 2; i++, item = item->next) {
        double limit = unit == SP_UNIT_FRACTION ? 1 : FAR;
        double low = unit == SP_UNIT_METRE ? -FAR : 0;
        double wide;
        if (sp_yaml_number(item, -1e300, 1e300, &wide, err) < 0)
            return SP_ERR_INVALID;
        if (!(wide >= low && wide <= limit)) {
            sp_yaml_show(item, shown, sizeof shown);
            return sp_yaml_fail(item, err, "%s: %s is outside %s; %s", path, shown,
                                unit == SP_UNIT_METRE ? "the map" : "the frame",
                                unit == SP_UNIT_FRACTION
                                    ? "fractions of the frame are from 0 to 1 (for pixels, add "
                                      "`unit: px`)"
                                    : "give a point within it");
        }
        value[i] = wide;
    }
    *point = (struct sp_planar){value[0], value[1]};
    return SP_OK;
}

static int read_points(const struct sp_yaml_node *entry, const char *key, enum sp_unit unit,
                       struct sp_planar *points, int least, int most, int *count,
                       struct sp_error *err)
{
    const struct sp_yaml_node *list = sp_yaml_get(entry, key);
    char path[SP_YAML_PATH_BYTES];
    if (!list) {
        sp_yaml_path(entry, path);
        return sp_yaml_fail(entry, err, "%s: `%s` is missing; give it as [[x, y], [x, y], ...]",
                            path, key);
    }
    if (sp_yaml_expect(list, SP_YAML_LIST, err) < 0)
        return SP_ERR_INVALID;
    sp_yaml_path(list, path);
    if (list->count < least || list->count > most) {
        char wanted[48];
        if (least == most)
            snprintf(wanted, sizeof wanted, "exactly %d", least);
        else
            snprintf(wanted, sizeof wanted, "%d to %d", least, most);
        return sp_yaml_fail(list, err, "%s: %d point%s; give %s", path, list->count,
                            list->count == 1 ? "" : "s", wanted);
    }
    *count = 0;
    for (const struct sp_yaml_node *node = list->first; node; node = node->next)
        if (read_point(node, unit, &points[(*count)++], err) < 0)
            return SP_ERR_INVALID;
    return SP_OK;
}

/* ---- entries ---- */

static int read_name(const struct sp_yaml_node *entry, const char *key, bool needed,
                     const char *other, char out[SP_COUNTING_NAME_BYTES], struct sp_error *err)
{
    const struct sp_yaml_node *node = sp_yaml_get(entry, key);
    const char *text = other;
    char path[SP_YAML_PATH_BYTES];
    sp_yaml_path(node ? node : entry, path);
    if (!node && needed)
        return sp_yaml_fail(entry, err, "%s: `%s` is missing; give it a name", path, key);
    if (node && sp_yaml_text(node, &text, err) < 0)
        return SP_ERR_INVALID;
    size_t bytes = strlen(text);
    bool good = bytes > 0 && bytes < SP_COUNTING_NAME_BYTES;
    for (const char *c = text; *c; c++)
        good = good && (unsigned char)*c >= 0x20 && *c != 0x7F;
    if (!good)
        return sp_yaml_fail(node ? node : entry, err,
                            "%s: invalid name; use 1 to %d bytes without control characters", path,
                            SP_COUNTING_NAME_BYTES - 1);
    memcpy(out, text, bytes + 1);
    return SP_OK;
}

static int read_anchor(const struct sp_yaml_node *entry, bool on_map, enum sp_anchor *anchor,
                       struct sp_error *err)
{
    const struct sp_yaml_node *node = sp_yaml_get(entry, "anchor");
    const char *text = "foot";
    if (node && sp_yaml_text(node, &text, err) < 0)
        return SP_ERR_INVALID;
    bool centre = strcmp(text, "centre") == 0 || strcmp(text, "center") == 0;
    if ((!centre && strcmp(text, "foot") != 0) || (centre && on_map)) {
        char shown[64];
        sp_yaml_show(node, shown, sizeof shown);
        return sp_yaml_fail(node, err, "anchor: %s; must be foot%s", shown,
                            on_map ? ": only feet have a position on the map" : " or centre");
    }
    *anchor = centre ? SP_ANCHOR_CENTRE : SP_ANCHOR_FOOT;
    return SP_OK;
}

static int read_line(struct sp_line_config *line, const struct sp_yaml_node *entry, bool on_map,
                     struct sp_error *err)
{
    static const char *const keys[] = {"name", "points", "unit", "anchor", "in", "out", NULL};
    int count;
    line->row = entry->line;
    if (sp_yaml_expect(entry, SP_YAML_MAP, err) < 0 || sp_yaml_check_keys(entry, keys, err) < 0 ||
        read_name(entry, "name", true, "", line->name, err) < 0 ||
        read_name(entry, "in", false, "in", line->in, err) < 0 ||
        read_name(entry, "out", false, "out", line->out, err) < 0 ||
        read_unit(entry, on_map, &line->unit, err) < 0 ||
        read_anchor(entry, on_map, &line->anchor, err) < 0 ||
        read_points(entry, "points", line->unit, line->points, 2, 2, &count, err) < 0)
        return SP_ERR_INVALID;
    if (strcmp(line->in, line->out) == 0)
        return sp_yaml_fail(entry, err, "line %s: `in` and `out` are both %s; give two names",
                            line->name, line->in);
    if (hypot(line->points[1].x - line->points[0].x, line->points[1].y - line->points[0].y) < 1e-9)
        return sp_yaml_fail(entry, err,
                            "line %s: both points are the same, so it has no length; give two "
                            "different points",
                            line->name);
    return SP_OK;
}

static int read_zone(struct sp_zone_config *zone, const struct sp_yaml_node *entry, bool on_map,
                     struct sp_error *err)
{
    static const char *const keys[] = {"name",    "polygon",     "unit", "anchor",
                                       "crowded", "loitering_s", NULL};
    int a, b;
    zone->row = entry->line;
    if (sp_yaml_expect(entry, SP_YAML_MAP, err) < 0 || sp_yaml_check_keys(entry, keys, err) < 0 ||
        read_name(entry, "name", true, "", zone->name, err) < 0 ||
        read_unit(entry, on_map, &zone->unit, err) < 0 ||
        read_anchor(entry, on_map, &zone->anchor, err) < 0 ||
        read_points(entry, "polygon", zone->unit, zone->corners, 3, SP_COUNTING_CORNERS_MAX,
                    &zone->count, err) < 0)
        return SP_ERR_INVALID;
    const struct sp_yaml_node *node = sp_yaml_get(entry, "crowded");
    if (node && sp_yaml_integer(node, 1, 10000, &zone->crowded, err) < 0)
        return SP_ERR_INVALID;
    node = sp_yaml_get(entry, "loitering_s");
    if (node && sp_yaml_number(node, 0.1, 1e6, &zone->loitering_s, err) < 0)
        return SP_ERR_INVALID;
    node = sp_yaml_get(entry, "polygon");
    for (int i = 0; i < zone->count; i++) {
        struct sp_planar p = zone->corners[i], q = zone->corners[(i + 1) % zone->count];
        if (p.x == q.x && p.y == q.y)
            return sp_yaml_fail(node, err,
                                "zone %s: corners %d and %d are the same; remove one (the polygon "
                                "closes itself)",
                                zone->name, i + 1, (i + 1) % zone->count + 1);
    }
    if (sp_polygon_crosses_itself(zone->corners, zone->count, &a, &b))
        return sp_yaml_fail(node, err,
                            "zone %s: the polygon crosses itself (edge %d and edge %d); give the "
                            "corners in the order of the outline",
                            zone->name, a + 1, b + 1);
    if (!(sp_polygon_area(zone->corners, zone->count) > 1e-9))
        return sp_yaml_fail(node, err,
                            "zone %s: the polygon has no area; give corners that are "
                            "not on one line",
                            zone->name);
    return SP_OK;
}

static int fail_twice(const struct sp_yaml_node *entry, const char *kind, const char *name, int row,
                      struct sp_error *err)
{
    return sp_yaml_fail(entry, err,
                        "%s %s: the name is already used in line %d; give each its own (one name "
                        "in several cameras is one %s)",
                        kind, name, row, kind);
}

static int read_lines(struct sp_scope_config *scope, const struct sp_yaml_node *list, bool on_map,
                      struct sp_error *err)
{
    if (sp_yaml_expect(list, SP_YAML_LIST, err) < 0)
        return SP_ERR_INVALID;
    if (list->count > SP_COUNTING_LINES_MAX)
        return sp_yaml_fail(list, err, "lines: %d entries; the limit is %d", list->count,
                            SP_COUNTING_LINES_MAX);
    for (const struct sp_yaml_node *entry = list->first; entry; entry = entry->next) {
        struct sp_line_config *line = &scope->lines[scope->line_count];
        if (read_line(line, entry, on_map, err) < 0)
            return SP_ERR_INVALID;
        for (int i = 0; i < scope->line_count; i++)
            if (strcmp(scope->lines[i].name, line->name) == 0)
                return fail_twice(entry, "line", line->name, scope->lines[i].row, err);
        scope->line_count++;
    }
    return SP_OK;
}

static int read_zones(struct sp_scope_config *scope, const struct sp_yaml_node *list, bool on_map,
                      struct sp_error *err)
{
    if (sp_yaml_expect(list, SP_YAML_LIST, err) < 0)
        return SP_ERR_INVALID;
    if (list->count > SP_COUNTING_ZONES_MAX)
        return sp_yaml_fail(list, err, "zones: %d entries; the limit is %d", list->count,
                            SP_COUNTING_ZONES_MAX);
    for (const struct sp_yaml_node *entry = list->first; entry; entry = entry->next) {
        struct sp_zone_config *zone = &scope->zones[scope->zone_count];
        if (read_zone(zone, entry, on_map, err) < 0)
            return SP_ERR_INVALID;
        for (int i = 0; i < scope->zone_count; i++)
            if (strcmp(scope->zones[i].name, zone->name) == 0)
                return fail_twice(entry, "zone", zone->name, scope->zones[i].row, err);
        scope->zone_count++;
    }
    return SP_OK;
}

int sp_counting_scope_read(struct sp_scope_config *scope, const struct sp_yaml_node *node,
                           bool on_map, struct sp_error *err)
{
    const struct sp_yaml_node *lines = sp_yaml_get(node, "lines");
    const struct sp_yaml_node *zones = sp_yaml_get(node, "zones");
    scope->row = node->line;
    if (lines && lines->kind != SP_YAML_NULL && read_lines(scope, lines, on_map, err) < 0)
        return SP_ERR_INVALID;
    if (zones && zones->kind != SP_YAML_NULL && read_zones(scope, zones, on_map, err) < 0)
        return SP_ERR_INVALID;
    return SP_OK;
}

int sp_counting_config_check_names(const struct sp_counting_config *c, struct sp_error *err)
{
    for (int k = 0; k < c->camera_count; k++) {
        const struct sp_scope_config *scope = &c->cameras[k];
        for (int i = 0; i < c->map.line_count; i++)
            for (int j = 0; j < scope->line_count; j++)
                if (strcmp(c->map.lines[i].name, scope->lines[j].name) == 0)
                    return sp_fail(err, SP_ERR_INVALID,
                                   "%s:%d: line %s: the map (line %d) has one of this name; give "
                                   "one of them another name",
                                   c->file, scope->lines[j].row, scope->lines[j].name,
                                   c->map.lines[i].row);
        for (int i = 0; i < c->map.zone_count; i++)
            for (int j = 0; j < scope->zone_count; j++)
                if (strcmp(c->map.zones[i].name, scope->zones[j].name) == 0)
                    return sp_fail(err, SP_ERR_INVALID,
                                   "%s:%d: zone %s: the map (line %d) has one of this name; give "
                                   "one of them another name",
                                   c->file, scope->zones[j].row, scope->zones[j].name,
                                   c->map.zones[i].row);
    }
    return SP_OK;
}

int sp_counting_config_read(struct sp_counting_config *config, const struct sp_yaml_node *root,
                            struct sp_error *err)
{
    static const char *const map_keys[] = {"lines", "zones", NULL};
    memset(config, 0, sizeof *config);
    snprintf(config->file, sizeof config->file, "%s", root->file ? root->file : "");
    const struct sp_yaml_node *cameras = sp_yaml_get(root, "cameras");
    const struct sp_yaml_node *map = sp_yaml_get(root, "map");
    for (const struct sp_yaml_node *node = cameras ? cameras->first : NULL; node;
         node = node->next) {
        if (!sp_yaml_get(node, "lines") && !sp_yaml_get(node, "zones"))
            continue;
        if (config->camera_count == SP_COUNTING_CAMERAS_MAX)
            return sp_yaml_fail(node, err, "cameras: too many with lines or zones; the limit is %d",
                                SP_COUNTING_CAMERAS_MAX);
        struct sp_scope_config *scope = &config->cameras[config->camera_count];
        if (read_name(node, "name", true, "", scope->name, err) < 0 ||
            sp_counting_scope_read(scope, node, false, err) < 0)
            return SP_ERR_INVALID;
        config->camera_count += scope->line_count > 0 || scope->zone_count > 0;
    }
    if (map && map->kind != SP_YAML_NULL &&
        (sp_yaml_expect(map, SP_YAML_MAP, err) < 0 || sp_yaml_check_keys(map, map_keys, err) < 0 ||
         sp_counting_scope_read(&config->map, map, true, err) < 0))
        return SP_ERR_INVALID;
    return sp_counting_config_check_names(config, err);
}

bool sp_counting_config_has_map(const struct sp_counting_config *config)
{
    return config->map.line_count > 0 || config->map.zone_count > 0;
}

bool sp_counting_config_is_empty(const struct sp_counting_config *config)
{
    return config->camera_count == 0 && !sp_counting_config_has_map(config);
}

int sp_counting_config_check(const struct sp_counting_config *config, const char *const *cameras,
                             int count, bool has_map, struct sp_error *err)
{
    for (int i = 0; i < config->camera_count; i++) {
        bool found = false;
        for (int k = 0; k < count; k++)
            found = found || strcmp(cameras[k], config->cameras[i].name) == 0;
        if (!found)
            return sp_fail(err, SP_ERR_INVALID,
                           "%s:%d: camera %s has lines or zones, but is not among the cameras of "
                           "this run; add it, or correct the name",
                           config->file, config->cameras[i].row, config->cameras[i].name);
    }
    if (!has_map && sp_counting_config_has_map(config))
        return sp_fail(err, SP_ERR_INVALID,
                       "%s:%d: metres without a map; calibrate the cameras and set "
                       "HOMOGRAPHY_FILE_PATH, or draw lines and zones in a camera's frame",
                       config->file,
                       config->map.line_count ? config->map.lines[0].row
                                              : config->map.zones[0].row);
    return SP_OK;
}

static int check_points(const struct sp_counting_config *config, const struct sp_planar *points,
                        int count, const char *name, int row, int width_px, int height_px,
                        struct sp_error *err)
{
    for (int i = 0; i < count; i++)
        if (points[i].x > width_px || points[i].y > height_px)
            return sp_fail(err, SP_ERR_INVALID,
                           "%s:%d: %s: point [%g, %g] is outside the frame of %dx%d pixels; give a "
                           "point within it",
                           config->file, row, name, points[i].x, points[i].y, width_px, height_px);
    return SP_OK;
}

int sp_counting_config_check_size(const struct sp_counting_config *config, const char *camera,
                                  int width_px, int height_px, struct sp_error *err)
{
    int rc = SP_OK;
    for (int k = 0; k < config->camera_count && rc == SP_OK; k++) {
        const struct sp_scope_config *scope = &config->cameras[k];
        if (strcmp(scope->name, camera) != 0)
            continue;
        for (int i = 0; i < scope->line_count && rc == SP_OK; i++)
            if (scope->lines[i].unit == SP_UNIT_PIXEL)
                rc = check_points(config, scope->lines[i].points, 2, scope->lines[i].name,
                                  scope->lines[i].row, width_px, height_px, err);
        for (int i = 0; i < scope->zone_count && rc == SP_OK; i++)
            if (scope->zones[i].unit == SP_UNIT_PIXEL)
                rc = check_points(config, scope->zones[i].corners, scope->zones[i].count,
                                  scope->zones[i].name, scope->zones[i].row, width_px, height_px,
                                  err);
    }
    return rc;
}
