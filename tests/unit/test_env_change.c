/* Keys of an .env file set anew; everything else in it is the user's and stays. */
#include "config/env_change.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct sp_env_line lines[] = {
    {"PRECISION", "int8"}, {"FRAME_SKIP", "2"}, {"MAX_CAMERAS", NULL}};

static char folder[] = "/tmp/spoton-env-XXXXXX", path[64], part[80];

static int open_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/mine.env", folder);
    snprintf(part, sizeof part, "%s.part", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void check_text(const char *wanted)
{
    char text[512];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, wanted);
    assert_int_not_equal(access(part, F_OK), 0);
}

static void test_other_lines_stay(void **state)
{
    (void)state;
    struct sp_error err = {0};
    write_text("# mine\n\nexport FRAME_SKIP=9\n  PRECISION = f32\nMAX_CAMERAS=3\n"
               "FRAME_SKIPS=1\n#FRAME_SKIP=4\nAPI_TOKEN=x"); /* no end of line */
    assert_int_equal(sp_env_change(path, lines, 3, &err), SP_OK);
    check_text(
        "# mine\n\nFRAME_SKIPS=1\n#FRAME_SKIP=4\nAPI_TOKEN=x\nPRECISION=int8\nFRAME_SKIP=2\n");
    assert_int_equal(sp_env_change(path, lines, 3, &err), SP_OK); /* twice is once */
    check_text(
        "# mine\n\nFRAME_SKIPS=1\n#FRAME_SKIP=4\nAPI_TOKEN=x\nPRECISION=int8\nFRAME_SKIP=2\n");
}

static void test_a_new_file(void **state)
{
    (void)state;
    struct sp_error err = {0};
    unlink(path);
    assert_int_equal(sp_env_check_place(path, &err), SP_OK);
    assert_int_not_equal(access(part, F_OK), 0);
    assert_int_equal(sp_env_change(path, lines, 3, &err), SP_OK);
    check_text("PRECISION=int8\nFRAME_SKIP=2\n");
}

/* It may hold secrets. */
static void test_rights_stay(void **state)
{
    (void)state;
    struct sp_error err = {0};
    struct stat about;
    write_text("API_TOKEN=x\n");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(sp_env_change(path, lines, 3, &err), SP_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
}

static void test_what_cannot_be_written(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(sp_env_check_place("/nowhere/at/all/.env", &err), SP_ERR_NOT_FOUND);
    assert_string_equal(err.text,
                        "/nowhere/at/all/.env: cannot be written: No such file or directory");
    assert_int_equal(sp_env_change("/nowhere/at/all/.env", lines, 3, &err), SP_ERR_NOT_FOUND);
    /* A folder of that name: found out only when the whole file is to take its place. */
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(sp_env_change(path, lines, 3, &err) < 0);
    assert_int_not_equal(access(part, F_OK), 0);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_lines_stay),
        cmocka_unit_test(test_a_new_file),
        cmocka_unit_test(test_rights_stay),
        cmocka_unit_test(test_what_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, open_folder, remove_folder);
}
