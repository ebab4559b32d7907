#include "pipeline/classes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct sp_model model;

static void make_model(const char *const *names, int count)
{
    memset(&model, 0, sizeof model);
    snprintf(model.path, sizeof model.path, "/models/best.onnx");
    model.classes = count;
    model.person_class = -1;
    for (int i = 0; names && i < count; i++)
        assert_true(!names[i] ||
                    sp_class_names_set(&model.class_names, i, names[i], strlen(names[i])));
}

/* expected: a digit a class, '1' is wanted; "all"; or a part of the error. */
static void expect(const char *list, const char *expected)
{
    bool *wanted = (bool *)&model; /* must be set */
    struct sp_error err = {0};
    char text[32] = "";
    print_message("%s\n", list);
    int result = sp_classes_choose(&wanted, &model, list, &err);
    if (result < 0) {
        assert_int_equal(result, SP_ERR_INVALID);
        print_message("  %s\n", err.text);
        assert_non_null(strstr(err.text, "CLASSES"));
        assert_non_null(strstr(err.text, expected));
        return;
    }
    for (int i = 0; wanted && i < model.classes; i++)
        text[i] = wanted[i] ? '1' : '0';
    assert_string_equal(wanted ? text : "all", expected);
    free(wanted);
}

static const char *const some[] = {"vest",   "traffic light", "vest, yellow",
                                   "Person", "2 wheeler",     "t\xc3\xaate"};

static void test_names_and_numbers(void **state)
{
    (void)state;
    make_model(some, 6);
    expect("vest", "100000");
    expect("person", "000100");
    expect("PERSON", "000100");
    expect("traffic light", "010000");
    expect("traffic_light , person", "010100");
    expect("vest, yellow", "001000");
    expect("vest,person", "100100");
    expect("vest, yellow,person , vest", "101100");
    expect("0,3", "100100");
    expect("0 3", "100100");
    expect("2 wheeler", "000010");
    expect("2, 0", "101000");
    expect("T\xc3\x8aTE", "000001");
    expect("vest person", "100100");
    expect("all", "all");
    expect("vest,all", "all");
    expect("", "000000");
}

static void test_a_name_as_it_is_written_goes_first(void **state)
{
    (void)state;
    static const char *const names[] = {"Person", "person", "PERSON", "person"};
    make_model(names, 4);
    expect("person", "0101"); /* two classes may have one name */
    expect("PERSON", "0010");
    expect("pErSoN", "1111");
}

static void test_what_is_not_there(void **state)
{
    (void)state;
    make_model(some, 6);
    expect("persom", "\"persom\" is not a class of best.onnx; did you mean \"Person\"?");
    expect("vest, helicopter", "its classes are 0 vest, 1 traffic light, 2 vest, yellow, 3 Person");
    expect("6", "CLASSES: 6 is out of range; /models/best.onnx has classes 0 to 5");
    expect("99999999999999999999", "out of range");
    expect("-1", "\"-1\" is not a class");
    make_model(NULL, 3);
    expect("person", "best.onnx has 3 classes without names; set CLASSES to numbers from 0 to 2");
    expect("2", "001");
    model.person_class = 1;
    expect("Person", "010");
}

static void test_the_list_of_classes_fits(void **state)
{
    (void)state;
    char text[40];
    make_model(some, 6);
    sp_classes_text(&model, text, sizeof text);
    assert_string_equal(text, "0 vest and 5 more");
    static const char *const gaps[] = {"vest", NULL, "person"};
    make_model(gaps, 3);
    sp_classes_text(&model, text, sizeof text);
    assert_string_equal(text, "0 vest, 1, 2 person");
}

static void test_the_only_class(void **state)
{
    (void)state;
    const bool one[] = {false, true, false}, two[] = {false, true, true}, none[3] = {false};
    make_model(NULL, 3);
    assert_int_equal(sp_classes_single(&model, one), 1);
    assert_int_equal(sp_classes_single(&model, two), -1);
    assert_int_equal(sp_classes_single(&model, none), -1);
    assert_int_equal(sp_classes_single(&model, NULL), -1);
    make_model(NULL, 1);
    assert_int_equal(sp_classes_single(&model, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_numbers),
        cmocka_unit_test(test_a_name_as_it_is_written_goes_first),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_the_list_of_classes_fits),
        cmocka_unit_test(test_the_only_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
