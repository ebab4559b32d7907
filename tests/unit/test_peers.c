/* Lists of several nodes in one, and requests that are passed on. */
#include "api/peer_lists.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct sp_peer_view view;

static void add_camera(const char *name, const char *node)
{
    struct sp_cluster_camera_report *camera = &view.cameras[view.camera_count++];
    *camera = (struct sp_cluster_camera_report){.epoch = 1};
    snprintf(camera->name, sizeof camera->name, "%s", name);
    snprintf(camera->node, sizeof camera->node, "%s", node);
}

static struct sp_peer_part part(const char *node, const char *reply, const char *why)
{
    struct sp_peer_part made = {.reply = reply ? json_loads(reply, 0, NULL) : NULL};
    assert_true(!reply || made.reply);
    snprintf(made.node, sizeof made.node, "%s", node);
    snprintf(made.why, sizeof made.why, "%s", why);
    return made;
}

static json_t *join(enum sp_peers_list list, struct sp_peer_part *parts, int count)
{
    char *text = sp_peer_lists_join(list, &view, parts, count);
    assert_non_null(text);
    json_t *joined = json_loads(text, 0, NULL);
    assert_non_null(joined);
    free(text);
    for (int i = 0; i < count; i++)
        json_decref(parts[i].reply);
    return joined;
}

static const char *text_of(json_t *array, size_t i, const char *key)
{
    const char *text = json_string_value(json_object_get(json_array_get(array, i), key));
    return text ? text : "null";
}

static void test_each_camera_is_as_its_owner_describes_it(void **state)
{
    (void)state;
    view.camera_count = 0;
    add_camera("c1", "a");
    add_camera("c2", "b");
    add_camera("c3", "c");
    add_camera("c4", "");
    /* While a camera moves two nodes have it. */
    struct sp_peer_part parts[] = {
        part("a",
             "{\"cameras\": [{\"name\": \"c2\", \"state\": \"connecting\"},"
             " {\"name\": \"c1\", \"state\": \"live\"}]}",
             ""),
        part("b", "{\"cameras\": [{\"name\": \"c2\", \"state\": \"paused\"}]}", ""),
        part("c", NULL, "node c: no reply (refused)")};
    json_t *joined = join(SP_PEERS_CAMERAS, parts, 3);
    json_t *cameras = json_object_get(joined, "cameras");
    static const char *const expected[][3] = {{"c1", "live", "a"},
                                              {"c2", "paused", "b"},
                                              {"c3", "unreachable", "c"},
                                              {"c4", "waiting", "null"}};
    assert_int_equal(json_array_size(cameras), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(text_of(cameras, i, "name"), expected[i][0]);
        assert_string_equal(text_of(cameras, i, "state"), expected[i][1]);
        assert_string_equal(text_of(cameras, i, "node"), expected[i][2]);
    }
    assert_string_equal(text_of(cameras, 2, "reason"), "node c: no reply (refused)");
    json_t *ledger = json_object_get(json_array_get(cameras, 2), "ledger");
    assert_int_equal(json_integer_value(json_object_get(ledger, "in_flight")), 0);
    assert_int_equal(json_object_size(ledger), 7);
    json_decref(joined);
}

#define LINE(name, in, since)                                                                      \
    "{\"line\": \"" name "\", \"on_map\": false, \"in\": {\"name\": \"in\", \"total\": " in        \
    ", \"since\": " since "}}"
#define ZONE(visits, crowded, dwells, p50)                                                         \
    "{\"zone\": \"hall\", \"visits\": {\"total\": " visits "}, \"crowded\": " crowded              \
    ", \"dwell_s\": {\"visits\": " dwells ", \"p50\": " p50 "}}"

static int64_t version_of(const char *a, const char *b)
{
    struct sp_peer_part parts[] = {part("a", a, ""), part("b", b, "")};
    json_t *joined = join(SP_PEERS_COUNTS, parts, 2);
    int64_t version = json_integer_value(json_object_get(joined, "version"));
    json_decref(joined);
    assert_in_range(version, 0, INT64_C(1) << 53);
    return version;
}

static void test_counts_are_summed_by_name(void **state)
{
    (void)state;
    struct sp_peer_part parts[] = {
        part("a",
             "{\"version\": 3, \"missed\": 1, \"lines\": [" LINE(
                 "door", "7", "2") "], \"zones\": [" ZONE("4", "false", "2", "1.5") "]}",
             ""),
        part("b",
             "{\"version\": 3, \"missed\": 2, \"lines\": [" LINE("gate", "1", "1") ", " LINE(
                 "door", "5", "5") "], \"zones\": [" ZONE("6", "true", "9", "8") "]}",
             ""),
        part("c", NULL, "node c: no reply")};
    json_t *joined = join(SP_PEERS_COUNTS, parts, 3);
    json_int_t total, since, visits, dwells;
    double p50;
    json_t *lines = json_object_get(joined, "lines"), *zones = json_object_get(joined, "zones");
    assert_int_equal(json_integer_value(json_object_get(joined, "missed")), 3);
    assert_int_equal(json_array_size(lines), 2);
    assert_int_equal(json_array_size(zones), 1);
    assert_string_equal(text_of(lines, 0, "line"), "door");
    assert_int_equal(json_unpack(json_array_get(lines, 0), "{s:{s:I, s:I}}", "in", "total", &total,
                                 "since", &since),
                     0);
    assert_int_equal(total, 12);
    assert_int_equal(since, 7);
    assert_int_equal(json_unpack(json_array_get(zones, 0), "{s:{s:I}, s:{s:I, s:F}}", "visits",
                                 "total", &visits, "dwell_s", "visits", &dwells, "p50", &p50),
                     0);
    assert_int_equal(visits, 10);
    assert_true(json_is_true(json_object_get(json_array_get(zones, 0), "crowded")));
    assert_int_equal(dwells, 9);
    assert_true(p50 == 8);
    json_decref(joined);
}

/* It is read again whenever that of a node changes. */
static void test_the_version_changes_with_that_of_any_node(void **state)
{
    (void)state;
    static const char one[] = "{\"version\": 1, \"lines\": [], \"zones\": []}";
    static const char two[] = "{\"version\": 2, \"lines\": [], \"zones\": []}";
    int64_t versions[] = {version_of(one, one), version_of(one, two), version_of(two, one),
                          version_of(two, two)};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_int_not_equal(versions[i], versions[k]);
    assert_int_equal(version_of(one, two), versions[1]);
}

static void test_lines_are_those_of_the_owner(void **state)
{
    (void)state;
    view.camera_count = 0;
    add_camera("c1", "b");
    struct sp_peer_part parts[] = {
        part("a",
             "{\"version\": 1, \"map\": {}, \"cameras\": [{\"camera\": \"c1\", \"of\": \"a\"}]}",
             ""),
        part("b", "{\"version\": 1, \"cameras\": [{\"camera\": \"c1\", \"of\": \"b\"}]}", "")};
    json_t *joined = join(SP_PEERS_ANALYTICS, parts, 2);
    json_t *cameras = json_object_get(joined, "cameras");
    assert_int_equal(json_array_size(cameras), 1);
    assert_string_equal(text_of(cameras, 0, "of"), "b");
    assert_true(json_is_object(json_object_get(joined, "map")));
    json_decref(joined);
}

static void test_a_query_is_encoded_again(void **state)
{
    (void)state;
    struct sp_request request = {.path = "/api/v2/cameras/a b", .query = "width=160\0x=1=2&\0"};
    char target[SP_PEERS_TARGET_BYTES];
    assert_true(sp_peer_target(&request, target));
    assert_string_equal(target, "/api/v2/cameras/a%20b?width=160&x=1=2%26");
    memset(request.path, '%', sizeof request.path - 1);
    memset(request.query, '%', sizeof request.query - 2);
    assert_false(sp_peer_target(&request, target));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_camera_is_as_its_owner_describes_it),
        cmocka_unit_test(test_counts_are_summed_by_name),
        cmocka_unit_test(test_the_version_changes_with_that_of_any_node),
        cmocka_unit_test(test_lines_are_those_of_the_owner),
        cmocka_unit_test(test_a_query_is_encoded_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
