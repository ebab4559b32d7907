#include "detect/names.h"
#include "detect/names_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static struct sp_class_names names;

static void put(char *out, const void *from, size_t bytes)
{
    memcpy(out, from, bytes);
}

/* "a|b||d": names by index; an empty one is missing. NULL: none are read, and nothing changes. */
static void expect(bool read, const char *expected)
{
    char text[4096] = "", number[16];
    if (!read) {
        assert_null(expected);
        return;
    }
    for (int i = 0; i < names.count; i++) {
        const char *name = sp_class_names_get(&names, i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? "|" : "",
                 name ? name : "");
        assert_string_equal(sp_class_name(&names, i, number), name ? name : number);
    }
    assert_string_equal(text, expected ? expected : "(refused)");
}

static void literal(const char *text, const char *expected)
{
    print_message("%s\n", text);
    memset(&names, 0, sizeof names);
    /* Not terminated: what lies behind must not be read. */
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + 1);
    assert_non_null(copy);
    put(copy, text, bytes);
    expect(sp_names_literal(&names, copy, bytes), expected);
    free(copy);
}

static void test_python_and_json(void **state)
{
    (void)state;
    literal("{0: 'vest', 1: 'head', 2: 'person'}", "vest|head|person");
    literal("{ 0 : 'vest' ,\n 1:\"head\" , }rest", "vest|head");
    literal("['vest', 'head', 'person']", "vest|head|person");
    literal("('vest',)", "vest");
    literal("[u'vest', u\"head\"]", "vest|head");
    literal("{\"0\": \"vest\", \"1\": \"head\"}", "vest|head");
    literal("[\"vest\",\"head\"]", "vest|head");
    literal("{'vest': 0, 'head': 1}", "vest|head");
    literal("{1: 'a', 3: 'b'}", "|a||b");
    literal("{2: 'c', 0: 'a', 1: 'b'}", "a|b|c");
    literal("{0: \"driver's vest\", 1: 'say \"hi\"', 2: 'it\\'s'}",
            "driver's vest|say \"hi\"|it's");
    literal("{0: 'vest, yellow', 1: 'a: b', 2: '{x}', 3: '[y]'}", "vest, yellow|a: b|{x}|[y]");
    literal("{0: 'back\\\\slash', 1: 'tab\\tbed'}", "back\\slash|tab bed");
    literal("{0: 't\xc3\xaate', 1: 't\\xeate', 2: 't\\u00eate'}",
            "t\xc3\xaate|t\xc3\xaate|t\xc3\xaate");
    literal("[\"\\ud83d\\ude80\", '\\U0001F680']", "\xf0\x9f\x9a\x80|\xf0\x9f\x9a\x80");
    literal("{0: 'bad \xff byte'}", "bad ? byte");
    literal("['0', '1', 2]", "0|1|2");
    literal("[null, 'a', None]", "|a");
    literal("{0: 'twice', 0: 'last'}", "last");
    literal("{}", NULL);
    literal("[]", NULL);
    literal("{0: 'cut off", NULL);
    literal("{0: 'cut off'", NULL);
    literal("{0: ", NULL);
    literal("{0", NULL);
    literal("", NULL);
    literal("person", NULL);
    literal("{'a': 'b'}", NULL);
    literal("{-1: 'a'}", NULL);
    literal("{99999: 'a'}", NULL);
    literal("{0: 'a' 1: 'b'}", NULL);
}

static void yaml(const char *text, const char *expected)
{
    print_message("%s\n", text);
    memset(&names, 0, sizeof names);
    expect(sp_names_yaml(&names, text, strlen(text)), expected);
}

static void test_yaml(void **state)
{
    (void)state;
    yaml("stride: 32\nnames:\n  0: vest\n  1: hard hat\n  2: person\nargs:\n  batch: 1\n",
         "vest|hard hat|person");
    yaml("names:\r\n- vest\r\n- person\r\ntask: detect\r\n", "vest|person");
    yaml("names:\n  - vest\n  - person", "vest|person");
    yaml("names: [vest, hard hat, 'it''s']\nstride: 32\n", "vest|hard hat|it's");
    yaml("names: {0: vest,\n  1: hard hat}\n", "vest|hard hat");
    yaml("names:\n  0: \"t\\xEAte\"\n  1: 'it''s'\n  2: \"a # b\" # comment\n  3: a, b: c\n",
         "t\xc3\xaate|it's|a # b|a, b: c");
    yaml("names:\n  '0': vest\n\n  # more\n  5: person\n", "vest|||||person");
    yaml("description: the names: of it\nnc: 2\n", NULL);
    yaml("model:\n  names:\n    0: other\n", NULL);
    yaml("names:\nstride: 32\n", NULL);
    yaml("names: 3\n", NULL);
    yaml("", NULL);
}

static void test_lists(void **state)
{
    (void)state;
    static const char words[] = "vest  traffic_light person ";
    assert_true(sp_names_list(&names, words, strlen(words), ' '));
    expect(true, "vest|traffic_light|person");
    assert_true(sp_names_list(&names, "vest\r\n\nperson\n", 15, ','));
    expect(true, "vest||person");
    assert_false(sp_names_list(&names, "  ", 2, ' '));
}

static void test_ir(void **state)
{
    (void)state;
    static const char layers[] = "<net><layer><rt_info><labels value=\"no\"/></rt_info></layer>"
                                 "<edges></edges><rt_info><model_info>";
    static const struct {
        const char *info, *expected;
    } cases[] = {
        {"<labels value=\"vest traffic_light person\" />", "vest|traffic_light|person"},
        {"<labels value=\"a&amp;b driver&apos;s\"/>", "a&b|driver's"},
        {"<names value=\"{0: 'vest', 1: &quot;driver's&quot;}\"/>", "vest|driver's"},
        {"<labels value=\"\"/><names value=\"['a', 'b']\"/>", "a|b"},
        {"<label_ids value=\"1 2\"/>", NULL},
        {"<labels value=\"cut", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s</model_info></rt_info></net>", layers, cases[i].info);
        memset(&names, 0, sizeof names);
        expect(sp_names_ir(&names, text, strlen(text)), cases[i].expected);
    }
}

/* ONNX is a protobuf: field 14 is an entry with key (1) and value (2). */
static size_t add_entry(char *out, const char *key, const char *value)
{
    size_t k = strlen(key), v = strlen(value);
    assert_true(k + v + 4 < 128);
    out[0] = 14 << 3 | 2;
    out[1] = (char)(k + v + 4);
    out[2] = 1 << 3 | 2;
    out[3] = (char)k;
    put(out + 4, key, k);
    out[4 + k] = 2 << 3 | 2;
    out[5 + k] = (char)v;
    put(out + 6 + k, value, v);
    return 6 + k + v;
}

static void test_onnx(void **state)
{
    (void)state;
    char data[512];
    size_t bytes = add_entry(data, "stride", "32");
    bytes += add_entry(data + bytes, "names", "{0: 'vest', 1: 'person'}");
    assert_true(sp_names_onnx(&names, data, bytes));
    expect(true, "vest|person");
    bytes = add_entry(data, "description", "{0: 'not these'}");
    assert_false(sp_names_onnx(&names, data, bytes));
    bytes += add_entry(data + bytes, "classes", "vest,person");
    assert_true(sp_names_onnx(&names, data, bytes));
    expect(true, "vest|person");
    assert_false(sp_names_onnx(&names, data, bytes - 1));
}

static void write_file(const char *folder, const char *name, const char *text, size_t bytes)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
}

static void find(const char *folder, const char *name, const char *expected)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    memset(&names, 0xAA, sizeof names);
    sp_model_names_find(&names, path);
    expect(true, expected);
}

static void test_files_beside_the_model(void **state)
{
    (void)state;
    char folder[] = "/tmp/spoton-names-XXXXXX";
    assert_non_null(mkdtemp(folder));
    static const char ir[] =
        "<edges></edges><rt_info><labels value=\"hard_hat traffic light\"/></rt_info>";
    static const char bare[] = "<edges></edges>";
    static const char yaml_text[] = "names:\n  0: hard hat\n  1: traffic light\n";
    static const char other[] = "names:\n  0: cat\n  1: dog\n";
    write_file(folder, "best.xml", ir, sizeof ir - 1);
    write_file(folder, "bare.xml", bare, sizeof bare - 1);
    write_file(folder, "best.tflite", "TFL3", 4);
    find(folder, "best.xml", "hard_hat|traffic|light");
    find(folder, "bare.xml", "");
    write_file(folder, "metadata.yaml", yaml_text, sizeof yaml_text - 1);
    find(folder, "best.xml", "hard hat|traffic light"); /* the same, spelled as they are */
    find(folder, "bare.xml", "hard hat|traffic light");
    find(folder, "best.tflite", "hard hat|traffic light");
    write_file(folder, "metadata.yaml", other, sizeof other - 1);
    find(folder, "best.xml", "hard_hat|traffic|light"); /* of another model */
    find(folder, "none.onnx", "");
    find(folder, ".", "");
    write_file(folder, "model", "..{0: 'person', 1: \"b\"}..", 26);
    find(folder, "model", "person|b");
    char command[600];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* A ZIP archive with one entry behind other bytes, written by hand: `method` 0 as it is, 8 deflated
 * (here a stored block, RFC 1951 3.2.4). */
static size_t make_zip(char *out, const char *name, const char *text, int method)
{
    size_t n = strlen(name), t = strlen(text), packed = method ? t + 5 : t, at = 7;
    put(out, "TFL3...", 7);
    char head[46] = {'P', 'K', 3, 4};
    head[8] = (char)method;
    head[18] = (char)packed;
    head[22] = (char)t;
    head[26] = (char)n;
    put(out + at, head, 30);
    put(out + at + 30, name, n);
    at += 30 + n;
    if (method) {
        const unsigned char block[] = {1, (unsigned char)t, 0, (unsigned char)~t, 0xFF};
        put(out + at, block, 5);
        at += 5;
    }
    put(out + at, text, t);
    at += t;
    size_t directory = at;
    memset(head, 0, sizeof head);
    put(head, "PK\1\2", 4);
    head[10] = (char)method;
    head[20] = (char)packed;
    head[24] = (char)t;
    head[28] = (char)n;
    head[42] = 7;
    put(out + at, head, 46);
    put(out + at + 46, name, n);
    at += 46 + n;
    char end[22] = {'P', 'K', 5, 6};
    end[8] = end[10] = 1;
    end[12] = (char)(at - directory);
    end[16] = (char)directory;
    put(out + at, end, 22);
    return at + 22;
}

static void test_the_archive_behind_a_tflite_model(void **state)
{
    (void)state;
    char data[600];
    for (int method = 0; method <= 8; method += 8) {
        size_t bytes = make_zip(data, "metadata.json",
                                "{\"task\": \"detect\", \"names\": {\"0\": \"vest\", \"1\": "
                                "\"person\"}}",
                                method);
        assert_true(sp_names_zip(&names, data, bytes));
        expect(true, "vest|person");
        bytes =
            make_zip(data, "temp_meta.txt", "{'stride': 32, 'names': {0: 'a', 1: 'b'}}", method);
        assert_true(sp_names_zip(&names, data, bytes));
        expect(true, "a|b");
        for (size_t cut = 1; cut < bytes; cut++) /* stays inside */
            sp_names_zip(&names, data, cut);
        bytes = make_zip(data, "labels.txt", "vest\nperson\n", method);
        assert_true(sp_names_zip(&names, data, bytes));
        expect(true, "vest|person");
        bytes = make_zip(data, "other", "{'stride': 32}", method);
        assert_false(sp_names_zip(&names, data, bytes));
    }
    assert_false(sp_names_zip(&names, "TFL3", 4));
}

static void test_names_that_are_alike(void **state)
{
    (void)state;
    assert_true(sp_class_names_alike("Person", "person"));
    assert_true(sp_class_names_alike("traffic_light", "Traffic Light"));
    assert_true(sp_class_names_alike("T\xc3\x8aTE", "t\xc3\xaate")); /* TÊTE */
    assert_true(sp_class_names_alike("\xd0\xa7\xd0\x95\xd0\x9b", "\xd1\x87\xd0\xb5\xd0\xbb"));
    assert_true(sp_class_names_alike("\xc5\x81", "\xc5\x82")); /* Ł */
    assert_false(sp_class_names_alike("person", "persons"));
    assert_false(sp_class_names_alike("t\xc3\xaate", "tete"));
    assert_false(sp_class_names_alike("", "a"));
    assert_true(sp_class_names_alike("\xff", "\xff"));
}

static void test_limits_of_the_table(void **state)
{
    (void)state;
    char longest[300];
    memset(&names, 0, sizeof names);
    assert_false(sp_class_names_set(&names, -1, "a", 1));
    assert_false(sp_class_names_set(&names, SP_CLASSES_MAX, "a", 1));
    assert_false(sp_class_names_set(&names, 0, " \n ", 3));
    memset(longest, 'x', sizeof longest);
    int set = 0;
    while (set < SP_CLASSES_MAX && sp_class_names_set(&names, set, longest, sizeof longest))
        set++;
    assert_int_equal(set, (SP_CLASS_TEXT_BYTES - 1) / SP_CLASS_NAME_BYTES);
    assert_int_equal(strlen(sp_class_names_get(&names, set - 1)), SP_CLASS_NAME_BYTES - 1);
    assert_null(sp_class_names_get(&names, set));
    assert_int_equal(names.named, set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python_and_json),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_ir),
        cmocka_unit_test(test_onnx),
        cmocka_unit_test(test_files_beside_the_model),
        cmocka_unit_test(test_the_archive_behind_a_tflite_model),
        cmocka_unit_test(test_names_that_are_alike),
        cmocka_unit_test(test_limits_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
