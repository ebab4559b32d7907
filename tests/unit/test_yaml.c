/* YAML documents: the tree, its places, and what is refused. */
#include "base/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static struct sp_yaml *read_text(const char *text)
{
    struct sp_yaml *document = NULL;
    struct sp_error err = {0};
    if (sp_yaml_read_text(&document, text, strlen(text), "spoton.yaml", &err) != SP_OK)
        fail_msg("refused: %s", err.text);
    return document;
}

static void test_tree(void **state)
{
    (void)state;
    struct sp_yaml *document = read_text("# gates\n"
                                         "server: {port: 3847, host: \"::1\"}\n"
                                         "cameras:\n"
                                         "  - name: gate # north\n"
                                         "    classes: [person, car]\n"
                                         "  - {name: 'lobby', url: ~}\n");
    const struct sp_yaml_node *root = sp_yaml_root(document);
    assert_int_equal(root->kind, SP_YAML_MAP);
    assert_int_equal(root->count, 2);
    assert_null(root->parent);
    const struct sp_yaml_node *cameras = sp_yaml_get(root, "cameras");
    assert_int_equal(cameras->kind, SP_YAML_LIST);
    assert_int_equal(cameras->count, 2);
    assert_string_equal(cameras->key->text, "cameras");
    assert_int_equal(cameras->key->line, 3);
    assert_int_equal(cameras->key->column, 1);
    const struct sp_yaml_node *gate = cameras->first, *lobby = gate->next;
    assert_null(lobby->next);
    assert_ptr_equal(gate->parent, cameras);
    assert_string_equal(sp_yaml_get(gate, "name")->text, "gate");
    assert_true(sp_yaml_get(gate, "name")->plain);
    assert_false(sp_yaml_get(lobby, "name")->plain);
    assert_string_equal(sp_yaml_get(lobby, "name")->text, "lobby");
    assert_int_equal(sp_yaml_get(lobby, "name")->line, 6);
    assert_int_equal(sp_yaml_get(lobby, "name")->column, 12);
    assert_int_equal(sp_yaml_get(lobby, "url")->kind, SP_YAML_NULL);
    assert_null(sp_yaml_get(lobby, "classes"));
    assert_null(sp_yaml_get(cameras, "name"));
    const struct sp_yaml_node *classes = sp_yaml_get(gate, "classes");
    assert_string_equal(classes->first->text, "person");
    assert_string_equal(classes->first->next->text, "car");
    assert_true(classes->flow);
    assert_false(cameras->flow);

    char path[SP_YAML_PATH_BYTES];
    sp_yaml_path(classes->first->next, path);
    assert_string_equal(path, "cameras[0].classes[1]");
    sp_yaml_path(root, path);
    assert_string_equal(path, "document");
    sp_yaml_close(document);
}

/* Of a node in the source, which is what a writer replaces. */
static void check_span(const struct sp_yaml_node *node, const char *wanted)
{
    size_t bytes;
    const char *source = sp_yaml_source(node->document, &bytes);
    assert_true(node->begin <= node->end && node->end <= bytes);
    char *found = strndup(source + node->begin, node->end - node->begin);
    assert_string_equal(found, wanted);
    free(found);
}

static void test_spans_count_bytes(void **state)
{
    (void)state;
    struct sp_yaml *document = read_text("\xEF\xBB\xBFname: \xC3\xBC\xE2\x82\xAC\r\n"
                                         "list: [\xC3\xA4, 'b c']\r\n"
                                         "\xC3\xB6: {k: v} # \xC3\xA4\r\n");
    const struct sp_yaml_node *root = sp_yaml_root(document);
    check_span(sp_yaml_get(root, "name"), "\xC3\xBC\xE2\x82\xAC");
    check_span(sp_yaml_get(root, "list"), "[\xC3\xA4, 'b c']");
    check_span(sp_yaml_get(root, "list")->first->next, "'b c'");
    check_span(sp_yaml_get(root, "\xC3\xB6"), "{k: v}");
    assert_int_equal(sp_yaml_get(root, "list")->first->next->column, 11);
    assert_int_equal(sp_yaml_get(root, "\xC3\xB6")->key->line, 3);
    sp_yaml_close(document);
}

static void test_empty_documents(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# nothing\n", "---\n", "~\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sp_yaml *document = read_text(texts[i]);
        assert_int_equal(sp_yaml_root(document)->kind, SP_YAML_NULL);
        assert_null(sp_yaml_get(sp_yaml_root(document), "cameras"));
        sp_yaml_close(document);
    }
}

static const struct {
    const char *text, *error;
} refused[] = {
    {"a: 1\nb: 2\na: 3\n",
     "spoton.yaml:3:1: a: duplicate key; already in line 1, remove one of the two"},
    {"x: {b: 1, \"b\": 2}\n",
     "spoton.yaml:1:11: b: duplicate key; already in line 1, remove one of the two"},
    {"a: &all 1\n",
     "spoton.yaml:1:4: anchor &all: not supported; write the value out where it is used"},
    {"a: &all [1]\n",
     "spoton.yaml:1:4: anchor &all: not supported; write the value out where it is used"},
    {"a: 1\nb: *all\n", "spoton.yaml:2:4: alias *: not supported; write the value out (quote a "
                        "text that begins with *)"},
    {"allowed_origins: *\n", "spoton.yaml:1:18: alias *: not supported; write the value out "
                             "(quote a text that begins with *)"},
    {"<<: {a: 1}\n", "spoton.yaml:1:1: <<: merge keys are not supported; write the values out"},
    {"a: !!int 1\n", "spoton.yaml:1:4: tag tag:yaml.org,2002:int: not supported; remove it"},
    {"a:\n\tb: 1\n", "spoton.yaml:2:1: tab; indent with blanks"},
    {"? [a, b]\n: 1\n", "spoton.yaml:1:3: key that is a list or a map; write KEY: VALUE"},
    {"a: 1\n---\nb: 2\n", "spoton.yaml:2:1: a second document; keep only one, without ---"},
    {"a: \"x\\0y\"\n", "spoton.yaml:1:4: NUL character in a text; remove it"},
    {"a: 1\nb: \xFF\n", "spoton.yaml:2:4: not UTF-8; save it as UTF-8"},
    {"a: \xC3(\n", "spoton.yaml:1:4: not UTF-8; save it as UTF-8"},
    {"a: \xE2\x82(\n", "spoton.yaml:1:4: not UTF-8; save it as UTF-8"},
    {"a: x\x01y\n", "spoton.yaml:1:5: control character; remove it"},
    {"\xFF\xFE:\n", "spoton.yaml: UTF-16; save it as UTF-8"},
};

static void test_refused_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sp_yaml *document = NULL;
        struct sp_error err = {0};
        int result = sp_yaml_read_text(&document, refused[i].text, strlen(refused[i].text),
                                       "spoton.yaml", &err);
        assert_int_equal(result, SP_ERR_INVALID);
        assert_null(document);
        assert_string_equal(err.text, refused[i].error);
    }
}

/* libyaml words these: only the place and the form of the line are checked. */
static void test_broken_syntax_names_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"a: [1, 2\nb: 3\n", "spoton.yaml:2:2: "}, {"a: 1\n  b: 2\n", "spoton.yaml:2:4: "},
        {"a: \"open\n", "spoton.yaml:2:1: "},      {"a: @b\n", "spoton.yaml:1:4: "},
        {"a: 1\n]\n", "spoton.yaml:2:1: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sp_yaml *document = NULL;
        struct sp_error err = {0};
        assert_int_equal(
            sp_yaml_read_text(&document, cases[i].text, strlen(cases[i].text), "spoton.yaml", &err),
            SP_ERR_INVALID);
        assert_memory_equal(err.text, cases[i].place, strlen(cases[i].place));
        assert_non_null(strstr(err.text, "invalid YAML: "));
        assert_null(strchr(err.text, '\n'));
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct sp_yaml *document = NULL;
    struct sp_error err = {0};
    char deep[2 * SP_YAML_DEPTH_MAX + 4];
    memset(deep, '[', sizeof deep);
    memset(deep + SP_YAML_DEPTH_MAX, ']', SP_YAML_DEPTH_MAX);
    assert_int_equal(sp_yaml_read_text(&document, deep, 2 * SP_YAML_DEPTH_MAX, "f", &err), SP_OK);
    sp_yaml_close(document);
    document = NULL;
    memset(deep, '[', sizeof deep);
    assert_int_equal(sp_yaml_read_text(&document, deep, sizeof deep, "f", &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "f:1:33: nested deeper than 32 levels; flatten it");

    size_t bytes = SP_YAML_BYTES_MAX + 1;
    char *large = malloc(bytes);
    assert_non_null(large);
    memset(large, '\n', bytes);
    assert_int_equal(sp_yaml_read_text(&document, large, bytes, "f", &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "f: larger than 1 MB; give a settings file");
    assert_int_equal(sp_yaml_read_text(&document, large, bytes - 1, "f", &err), SP_OK);
    sp_yaml_close(document);
    free(large);
}

/* Many keys in one map: comparing each with each would take minutes. */
static void test_large_map(void **state)
{
    (void)state;
    enum { KEYS = 100000 };
    char *text = malloc(KEYS * 10 + 1);
    assert_non_null(text);
    size_t used = 0;
    for (int i = 0; i < KEYS; i++)
        used += (size_t)sprintf(text + used, "k%05d: \n", i);
    struct sp_yaml *document = read_text(text);
    assert_int_equal(sp_yaml_root(document)->count, KEYS);
    sp_yaml_close(document);
    free(text);
}

static void test_files(void **state)
{
    (void)state;
    struct sp_yaml *document = NULL;
    struct sp_error err = {0};
    assert_int_equal(sp_yaml_read_file(&document, "/nonexistent/spoton.yaml", &err),
                     SP_ERR_NOT_FOUND);
    assert_string_equal(err.text, "/nonexistent/spoton.yaml: cannot be opened: No such file or "
                                  "directory; check the path");
    assert_int_equal(sp_yaml_read_file(&document, "/", &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "/: is a directory; give a YAML file");
    char path[] = "/tmp/spoton-yaml-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "a: [1, 2]\n", 10), 10);
    close(file);
    assert_int_equal(sp_yaml_read_file(&document, path, &err), SP_OK);
    assert_string_equal(sp_yaml_get(sp_yaml_root(document), "a")->first->text, "1");
    assert_string_equal(sp_yaml_root(document)->file, path);
    sp_yaml_close(document);
    unlink(path);
}

/* --- values ----------------------------------------------------------------------------------- */

static void test_typed_values(void **state)
{
    (void)state;
    struct sp_yaml *document = read_text("zones:\n"
                                         "  - {dwell: 2.5, count: 7, on: True, name: lobby}\n"
                                         "  - {dwell: '2.5', count: 7.5, on: 1, name: [a]}\n"
                                         "  - {dwell: 1e9, count: -1, on: , name: }\n");
    const struct sp_yaml_node *zone = sp_yaml_get(sp_yaml_root(document), "zones")->first;
    struct sp_error err = {0};
    double dwell = 0;
    int count = 0;
    bool on = false;
    const char *name = NULL;
    assert_int_equal(sp_yaml_number(sp_yaml_get(zone, "dwell"), 0, 600, &dwell, &err), SP_OK);
    assert_true(dwell == 2.5);
    assert_int_equal(sp_yaml_integer(sp_yaml_get(zone, "count"), 0, 9, &count, &err), SP_OK);
    assert_int_equal(count, 7);
    assert_int_equal(sp_yaml_boolean(sp_yaml_get(zone, "on"), &on, &err), SP_OK);
    assert_true(on);
    assert_int_equal(sp_yaml_text(sp_yaml_get(zone, "name"), &name, &err), SP_OK);
    assert_string_equal(name, "lobby");

    zone = zone->next;
    assert_int_equal(sp_yaml_number(sp_yaml_get(zone, "dwell"), 0, 600, &dwell, &err),
                     SP_ERR_INVALID);
    assert_string_equal(
        err.text, "spoton.yaml:3:13: zones[1].dwell: \"2.5\"; must be a number from 0 to 600");
    assert_int_equal(sp_yaml_integer(sp_yaml_get(zone, "count"), 0, 9, &count, &err),
                     SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:3:27: zones[1].count: 7.5; must be a whole number "
                                  "from 0 to 9");
    assert_int_equal(sp_yaml_boolean(sp_yaml_get(zone, "on"), &on, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:3:36: zones[1].on: 1; must be true or false");
    assert_int_equal(sp_yaml_text(sp_yaml_get(zone, "name"), &name, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:3:45: zones[1].name: a list; must be a text");

    zone = zone->next;
    assert_int_equal(sp_yaml_number(sp_yaml_get(zone, "dwell"), 0, 600, &dwell, &err),
                     SP_ERR_INVALID);
    assert_int_equal(sp_yaml_integer(sp_yaml_get(zone, "count"), 0, 9, &count, &err),
                     SP_ERR_INVALID);
    assert_int_equal(sp_yaml_boolean(sp_yaml_get(zone, "on"), &on, &err), SP_ERR_INVALID);
    assert_int_equal(sp_yaml_text(sp_yaml_get(zone, "name"), &name, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:4:41: zones[2].name: nothing; must be a text");
    assert_true(dwell == 2.5 && count == 7 && on);
    sp_yaml_close(document);
}

static void test_kinds_and_keys(void **state)
{
    (void)state;
    static const char *const known[] = {"name", "points", "dwell_s", NULL};
    struct sp_yaml *document = read_text("zones: {name: a, point: 3}\nlines: 5\n");
    const struct sp_yaml_node *root = sp_yaml_root(document), *zones = sp_yaml_get(root, "zones");
    struct sp_error err = {0};
    assert_int_equal(sp_yaml_check_keys(zones, known, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:1:18: zones.point: unknown key; did you mean "
                                  "points? See docs/CONFIG.md");
    assert_int_equal(sp_yaml_expect(zones, SP_YAML_MAP, &err), SP_OK);
    assert_int_equal(sp_yaml_expect(zones, SP_YAML_LIST, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:1:8: zones: a map; must be a list: [a, b], or one "
                                  "item a line after \"- \"");
    assert_int_equal(sp_yaml_expect(sp_yaml_get(root, "lines"), SP_YAML_MAP, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:2:8: lines: 5; must be a map: {key: value}, or one "
                                  "\"key: value\" a line");
    sp_yaml_close(document);
}

static void test_tags_and_secrets(void **state)
{
    (void)state;
    struct sp_yaml *document = read_text("token: !secret api\nurl: rtsp://u:hunter2@host/a\n");
    const struct sp_yaml_node *root = sp_yaml_root(document);
    struct sp_yaml_node *token = root->first;
    struct sp_error err = {0};
    assert_string_equal(token->tag, "secret");
    assert_string_equal(token->text, "api");
    assert_int_equal(sp_yaml_set_text(token, "hunter2", true, &err), SP_OK);
    assert_string_equal(sp_yaml_get(root, "token")->text, "hunter2");
    double number;
    assert_int_equal(sp_yaml_number(token, 0, 1, &number, &err), SP_ERR_INVALID);
    assert_null(strstr(err.text, "hunter2"));
    assert_int_equal(sp_yaml_number(sp_yaml_get(root, "url"), 0, 1, &number, &err), SP_ERR_INVALID);
    assert_null(strstr(err.text, "hunter2"));
    sp_yaml_close(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_spans_count_bytes),
        cmocka_unit_test(test_empty_documents),
        cmocka_unit_test(test_refused_documents),
        cmocka_unit_test(test_broken_syntax_names_its_place),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_large_map),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_typed_values),
        cmocka_unit_test(test_kinds_and_keys),
        cmocka_unit_test(test_tags_and_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
