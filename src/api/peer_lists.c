#include "api/peer_lists.h"

#include "schedule/ledger.h"

#include <string.h>

/* ---- helpers ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_t *find(const json_t *array, const char *key, const char *name)
{
    size_t i;
    json_t *each;
    json_array_foreach(array, i, each) if (strcmp(text_of(each, key), name) == 0) return each;
    return NULL;
}

static const struct sp_peer_part *part_of(const struct sp_peer_part *parts, int count,
                                          const char *node)
{
    for (int i = 0; i < count; i++)
        if (strcmp(parts[i].node, node) == 0)
            return &parts[i];
    return NULL;
}

/* Changes when that of any node changes. */
static json_int_t mix_versions(const struct sp_peer_part *parts, int count)
{
    uint64_t mixed = 0xcbf29ce484222325ULL;
    for (int i = 0; i < count; i++) {
        uint64_t sum = 0xcbf29ce484222325ULL;
        for (const char *c = parts[i].node; *c; c++)
            sum = (sum ^ (unsigned char)*c) * 0x100000001b3ULL;
        sum ^= (uint64_t)json_integer_value(json_object_get(parts[i].reply, "version"));
        mixed += sum * 0x9e3779b97f4a7c15ULL; /* the order of the nodes does not matter */
    }
    return (json_int_t)(mixed >> 12); /* exact as a number of JavaScript */
}

/* ---- cameras ---- */

static json_t *absent_camera(const struct sp_cluster_camera_report *camera,
                             const struct sp_peer_part *part)
{
    const char *why = part ? part->why : (camera->node[0] ? "its node is gone" : "");
    json_t *ledger = json_pack("{s:i}", "received", 0);
    for (int i = 0; i < SP_OUTCOME_COUNT; i++)
        json_object_set_new(ledger, sp_outcome_name((enum sp_outcome)i), json_integer(0));
    json_object_set_new(ledger, "in_flight", json_integer(0));
    return json_pack("{s:s, s:s, s:s, s:s?, s:i, s:i, s:n, s:i, s:i, s:{s:i, s:i}, s:i, s:i, s:n, "
                     "s:o, s:{s:s}}",
                     "name", camera->name, "url", "", "state",
                     why[0] ? "unreachable" : (camera->node[0] ? "connecting" : "waiting"),
                     "reason",
                     why[0] ? why : (camera->node[0] ? NULL : "no node runs it at the moment"),
                     "width", 0, "height", 0, "codec", "camera_fps", 0, "inferred_fps", 0,
                     "latency_ms", "p50", 0, "p95", 0, "tracks", 0, "reconnects", 0,
                     "last_frame_age_ms", "ledger", ledger, "inference", "policy", "every");
}

static json_t *join_cameras(const struct sp_peer_view *view, const struct sp_peer_part *parts,
                            int count)
{
    json_t *cameras = json_array();
    for (int i = 0; cameras && i < view->camera_count; i++) {
        const struct sp_cluster_camera_report *camera = &view->cameras[i];
        const struct sp_peer_part *part = part_of(parts, count, camera->node);
        json_t *found =
            find(json_object_get(part ? part->reply : NULL, "cameras"), "name", camera->name);
        json_t *entry = found ? json_incref(found) : absent_camera(camera, part);
        json_object_set_new(entry, "node",
                            camera->node[0] ? json_string(camera->node) : json_null());
        json_array_append_new(cameras, entry);
    }
    return json_pack("{s:o}", "cameras", cameras);
}

/* ---- counts ---- */

/* Integers are summed, booleans are joined; the rest stays. */
static void sum(json_t *to, json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value)
    {
        json_t *known = json_object_get(to, key);
        if (strcmp(key, "dwell_s") == 0) { /* percentiles have no sum: those of most visits */
            if (json_integer_value(json_object_get(value, "visits")) >
                json_integer_value(json_object_get(known, "visits")))
                json_object_set(to, key, value);
        } else if (json_is_object(known) && json_is_object(value)) {
            sum(known, value);
        } else if (json_is_integer(known) && json_is_integer(value)) {
            json_integer_set(known, json_integer_value(known) + json_integer_value(value));
        } else if (json_is_false(known) && json_is_true(value)) {
            json_object_set(to, key, value);
        }
    }
}

static void sum_list(json_t *to, const json_t *from, const char *list, const char *key)
{
    size_t i;
    json_t *each, *array = json_object_get(to, list);
    json_array_foreach(json_object_get(from, list), i, each)
    {
        json_t *known = find(array, key, text_of(each, key));
        if (known)
            sum(known, each);
        else
            json_array_append(array, each);
    }
}

static json_t *join_counts(const struct sp_peer_part *parts, int count)
{
    json_t *all = json_incref(parts[0].reply);
    json_int_t missed = 0;
    for (int i = 0; i < count; i++)
        missed += json_integer_value(json_object_get(parts[i].reply, "missed"));
    json_int_t version = mix_versions(parts, count);
    for (int i = 1; i < count; i++) {
        sum_list(all, parts[i].reply, "lines", "line");
        sum_list(all, parts[i].reply, "zones", "zone");
    }
    json_object_set_new(all, "missed", json_integer(missed));
    json_object_set_new(all, "version", json_integer(version));
    return all;
}

/* ---- lines and zones ---- */

static json_t *join_analytics(const struct sp_peer_view *view, const struct sp_peer_part *parts,
                              int count)
{
    json_t *all = json_incref(parts[0].reply);
    json_t *cameras = json_array();
    json_int_t version = mix_versions(parts, count);
    for (int i = 0; i < view->camera_count; i++) {
        const struct sp_cluster_camera_report *camera = &view->cameras[i];
        const struct sp_peer_part *part = part_of(parts, count, camera->node);
        json_t *found =
            find(json_object_get(part ? part->reply : NULL, "cameras"), "camera", camera->name);
        if (found)
            json_array_append(cameras, found);
    }
    json_object_set_new(all, "cameras", cameras);
    json_object_set_new(all, "version", json_integer(version));
    return all;
}

char *sp_peer_lists_join(enum sp_peers_list list, const struct sp_peer_view *view,
                         const struct sp_peer_part *parts, int count)
{
    json_t *joined = list == SP_PEERS_CAMERAS  ? join_cameras(view, parts, count)
                     : list == SP_PEERS_COUNTS ? join_counts(parts, count)
                                               : join_analytics(view, parts, count);
    char *text = json_dumps(joined, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(joined);
    return text;
}
