/* Lines and zones of spoton.yaml, and what is refused. */
#include "analytics/config.h"
#include "base/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static int read_text(struct sp_counting_config *config, const char *text, struct sp_error *err)
{
    struct sp_yaml *yaml;
    int rc = sp_yaml_read_text(&yaml, text, strlen(text), "f.yaml", err);
    if (rc < 0)
        fail_msg("%s", err->text);
    rc = sp_counting_config_read(config, sp_yaml_root(yaml), err);
    sp_yaml_close(yaml);
    return rc;
}

static void test_reads(void **state)
{
    (void)state;
    struct sp_error err = {0};
    struct sp_counting_config *c = malloc(sizeof *c);
    assert_non_null(c);
    static const char text[] =
        "server: {port: 1}\n"
        "cameras:\n"
        "  - name: yard\n"
        "  - name: gate\n"
        "    url: gate.mp4\n"
        "    lines:\n"
        "      - {name: door, points: [[0.1, 0.5], [0.9, 0.5]], anchor: centre}\n"
        "      - {name: two, points: [[10, 20], [30, 400]], unit: px, in: enter, out: exit}\n"
        "    zones: [{name: hall, polygon: [[0, 0], [1, 0], [1, 1]], crowded: 5, loitering_s: "
        "2.5}]\n"
        "map:\n"
        "  lines: [{name: edge, points: [[-2, 3.5], [4, 3.5]]}]\n";
    assert_int_equal(read_text(c, text, &err), SP_OK);
    assert_int_equal(c->camera_count, 1);
    const struct sp_scope_config *gate = &c->cameras[0];
    assert_string_equal(gate->name, "gate");
    assert_int_equal(gate->line_count, 2);
    assert_int_equal(gate->lines[0].anchor, SP_ANCHOR_CENTRE);
    assert_float_equal(gate->lines[0].points[1].x, 0.9, 1e-12);
    assert_string_equal(gate->lines[0].in, "in");
    assert_int_equal(gate->lines[1].unit, SP_UNIT_PIXEL);
    assert_string_equal(gate->lines[1].out, "exit");
    assert_int_equal(gate->zones[0].count, 3);
    assert_int_equal(gate->zones[0].crowded, 5);
    assert_float_equal(gate->zones[0].loitering_s, 2.5, 1e-12);
    assert_int_equal(c->map.line_count, 1);
    assert_float_equal(c->map.lines[0].points[0].x, -2, 1e-12);
    static const char *const names[] = {"yard", "gate"};
    assert_int_equal(sp_counting_config_check(c, names, 2, true, &err), SP_OK);
    assert_int_equal(sp_counting_config_check(c, names, 1, true, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "f.yaml:4: camera gate "));
    assert_int_equal(sp_counting_config_check(c, names, 2, false, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "f.yaml:11: metres without a map; "));
    assert_int_equal(sp_counting_config_check_size(c, "gate", 640, 480, &err), SP_OK);
    assert_int_equal(sp_counting_config_check_size(c, "gate", 640, 360, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "f.yaml:8: two: point [30, 400] is outside the frame"));
    free(c);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *problem;
    } cases[] = {
        {"lines: [{name: d, points: [[0.1, 0.5], [0.1, 0.5]]}]", "no length"},
        {"lines: [{name: d, points: [[0.1, 0.5]]}]", "1 point; give exactly 2"},
        {"lines: [{name: d, points: [[0, 0], [1, 1], [0, 1]]}]", "3 points; give exactly 2"},
        {"lines: [{name: d, points: [[0, 0], [1, 1.5]]}]", "1.5 is outside the frame"},
        {"lines: [{name: d, points: [[0, 0], [-1, 1]]}]", "-1 is outside the frame"},
        {"lines: [{name: d, points: [[0, 0], [.nan, 1]]}]", ".nan"},
        {"lines: [{name: d, points: [[0, 0], [one, 1]]}]", "one"},
        {"lines: [{name: d, points: [[0, 0], 1]}]", "a point is a list of two numbers"},
        {"lines: [{name: d, points: [[0, 0], [1, 1]], unit: m}]", "metres without a map"},
        {"lines: [{name: d, points: [[0, 0], [1, 1]], unit: cm}]", "must be fraction or px"},
        {"lines: [{name: d, points: [[0, 0], [1, 1]], anchor: head}]", "must be foot or centre"},
        {"lines: [{name: d, points: [[0, 0], [1, 1]], in: a, out: a}]", "give two names"},
        {"lines: [{name: d, points: [[0, 0], [1, 1]], color: red}]", "color"},
        {"lines: [{name: d}]", "`points` is missing"},
        {"lines: [{points: [[0, 0], [1, 1]]}]", "`name` is missing"},
        {"lines: {name: d}", "must be a list"},
        {"lines: [{name: d, points: [[0, 0], [1, 1]]}, {name: d, points: [[0, 0], [1, 0]]}]",
         "already used in line 3"},
        {"zones: [{name: z, polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}]", "crosses itself"},
        {"zones: [{name: z, polygon: [[0, 0], [1, 1]]}]", "2 points; give 3 to 32"},
        {"zones: [{name: z, polygon: [[0, 0], [0.5, 0.5], [1, 1]]}]", "zone z"},
        {"zones: [{name: z, polygon: [[0, 0], [1, 0], [1, 1], [0, 0]]}]", "are the same"},
        {"zones: [{name: z, polygon: [[0, 0], [1, 0], [1, 1]], crowded: 0}]", "crowded"},
    };
    struct sp_counting_config *c = malloc(sizeof *c);
    assert_non_null(c);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        struct sp_error err = {0};
        snprintf(text, sizeof text, "cameras:\n  - name: gate\n    %s\n", cases[i].entry);
        assert_int_equal(read_text(c, text, &err), SP_ERR_INVALID);
        if (strncmp(err.text, "f.yaml:3:", 9) != 0 || !strstr(err.text, cases[i].problem) ||
            !strpbrk(err.text + 9, ";:"))
            fail_msg("%s: %s", cases[i].entry, err.text);
        assert_null(strchr(err.text, '\n'));
    }
    struct sp_error err = {0};
    assert_int_equal(read_text(c,
                               "cameras:\n- name: a\n  lines: [{name: d, points: [[0,0],[1,1]]}]\n"
                               "map: {lines: [{name: d, points: [[0,0],[1,1]]}]}\n",
                               &err),
                     SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "f.yaml:3: line d: the map (line 4)"));
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads),
                                       cmocka_unit_test(test_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
