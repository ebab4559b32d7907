#include "config/edit.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {"WORD=hunter2", "YARD=yard", NULL};

static struct sp_camera_setting new_camera(bool more)
{
    struct sp_camera_setting camera = {.name = "new", .url = "rtsp://u:p@10.0.0.9/a?b=1, c"};
    struct sp_error err = {0};
    static const char *const key[][2] = {
        {"frame_skip", "3"}, {"classes", "person,car"}, {"high_threshold", "0.75"}};
    for (size_t i = 0; more && i < 3; i++)
        if (sp_camera_setting_set(&camera, key[i][0], key[i][1], "test", &err) != SP_OK)
            fail_msg("%s", err.text);
    return camera;
}

static int edit_text(const char *text, const struct sp_camera_setting *add, const char *remove,
                     char **out, struct sp_error *err)
{
    const struct sp_config_edit edit = {.path = "none/spoton.yaml",
                                        .environment = (char *const *)variables,
                                        .add = add,
                                        .remove = remove};
    char *changed;
    size_t bytes;
    int result = sp_config_edit_text(&edit, text, strlen(text), &changed, &bytes, err);
    if (result < 0)
        return result;
    *out = malloc(bytes + 1);
    assert_non_null(*out);
    memcpy(*out, changed, bytes);
    (*out)[bytes] = '\0';
    free(changed);
    return SP_OK;
}

static void check_edit(const char *text, const struct sp_camera_setting *add, const char *remove,
                       const char *wanted)
{
    struct sp_error err = {0};
    char *out = NULL;
    if (edit_text(text, add, remove, &out, &err) != SP_OK)
        fail_msg("%s\nof:\n%s", err.text, text);
    if (strcmp(out, wanted) != 0)
        fail_msg("found:\n%s\nwanted:\n%s", out, wanted);
    free(out);
}

#define URL "\"rtsp://u:p@10.0.0.9/a?b=1, c\""

static void test_added(void **state)
{
    (void)state;
    struct sp_camera_setting plain = new_camera(false), whole = new_camera(true);
    static const struct {
        const char *before, *after;
    } cases[] = {
        /* nothing yet */
        {"", "cameras:\n  - name: new\n    url: " URL "\n"},
        {"# none\n", "# none\ncameras:\n  - name: new\n    url: " URL "\n"},
        {"server: {port: 1}", "server: {port: 1}\ncameras:\n  - name: new\n    url: " URL "\n"},
        {"server:\n  port: 1 # one\n# end\n",
         "server:\n  port: 1 # one\ncameras:\n  - name: new\n    url: " URL "\n# end\n"},
        {"cameras: # none\nserver: {port: 1}\n",
         "cameras: # none\n  - name: new\n    url: " URL "\nserver: {port: 1}\n"},
        {"cameras: [] # none\nserver: {port: 1}\n",
         "cameras:  # none\n  - name: new\n    url: " URL "\nserver: {port: 1}\n"},
        {"cameras: ~", "cameras: \n  - name: new\n    url: " URL "\n"},
        /* behind the last one */
        {"cameras:\n- name: a # b\n  url: 'x' # c\n\n# d\nserver: {port: 1}\n",
         "cameras:\n- name: a # b\n  url: 'x' # c\n- name: new\n  url: " URL
         "\n\n# d\nserver: {port: 1}\n"},
        {"cameras:\n    - {name: a, url: x} # c\n",
         "cameras:\n    - {name: a, url: x} # c\n    - {name: new, url: " URL "}\n"},
        {"cameras: [{name: a, url: x},\n  {name: b, url: x}] # c\n",
         "cameras: [{name: a, url: x},\n  {name: b, url: x}, {name: new, url: " URL "}] # c\n"},
        {"cameras:\r\n  - name: a\r\n    url: x",
         "cameras:\r\n  - name: a\r\n    url: x\r\n  - name: new\r\n    url: " URL "\r\n"},
        {"\xEF\xBB\xBF# \xC3\xA4\ncameras:\n  - {name: a, url: \xC3\xA4} # \xC3\xA4\n",
         "\xEF\xBB\xBF# \xC3\xA4\ncameras:\n  - {name: a, url: \xC3\xA4} # \xC3\xA4\n  - {name: "
         "new, url: " URL "}\n"},
        /* references stay what they are */
        {"cameras:\n  - name: ${YARD}\n    url: rtsp://u:${WORD}@h/s\nserver: {port: 1}\n",
         "cameras:\n  - name: ${YARD}\n    url: rtsp://u:${WORD}@h/s\n  - name: new\n    url: " URL
         "\nserver: {port: 1}\n"},
        {"{server: {port: 1}, cameras: [{name: a, url: x}]}",
         "{server: {port: 1}, cameras: [{name: a, url: x}, {name: new, url: " URL "}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_edit(cases[i].before, &plain, NULL, cases[i].after);
    check_edit("cameras:\n  - name: a\n    url: x\n", &whole, NULL,
               "cameras:\n  - name: a\n    url: x\n  - name: new\n    url: " URL
               "\n    classes: \"person,car\"\n    frame_skip: 3\n    tracker:\n      "
               "high_threshold: 0.75\n");
    check_edit("cameras: [{name: a, url: x}]\n", &whole, NULL,
               "cameras: [{name: a, url: x}, {name: new, url: " URL
               ", classes: \"person,car\", frame_skip: 3, tracker: {high_threshold: 0.75}}]\n");
    snprintf(plain.url, sizeof plain.url, "a ${b} \"c\\");
    check_edit("", &plain, NULL, "cameras:\n  - name: new\n    url: \"a $${b} \\\"c\\\\\"\n");
}

static void test_removed(void **state)
{
    (void)state;
    static const char three[] = "cameras:\n"
                                "  # the gate\n"
                                "  - name: a # b\n"
                                "    url: x\n"
                                "    lines:\n"
                                "      - {name: door, points: [[0, 0], [1, 1]]}\n"
                                "  # the hall\n"
                                "  -\n"
                                "    url: '- name: a'\n"
                                "    name: 'b'\n"
                                "\n"
                                "  - {name: c, url: \"rtsp://u:${WORD}@h/s\"}\n"
                                "# end\n"
                                "server: {port: 1}\n";
    check_edit(three, NULL, "a",
               "cameras:\n  # the gate\n  # the hall\n  -\n    url: '- name: a'\n    name: "
               "'b'\n\n  - {name: c, url: \"rtsp://u:${WORD}@h/s\"}\n# end\nserver: {port: 1}\n");
    check_edit(three, NULL, "b",
               "cameras:\n  # the gate\n  - name: a # b\n    url: x\n    lines:\n      - {name: "
               "door, points: [[0, 0], [1, 1]]}\n  # the hall\n\n  - {name: c, url: "
               "\"rtsp://u:${WORD}@h/s\"}\n# end\nserver: {port: 1}\n");
    check_edit("cameras:\n- name: a\n  url: x\nserver: {port: 1}\n", NULL, "a",
               "cameras:\nserver: {port: 1}\n");
    check_edit("cameras: [{name: a, url: x}, {name: b, url: x}, {name: c, url: x}] # d\n", NULL,
               "a", "cameras: [{name: b, url: x}, {name: c, url: x}] # d\n");
    check_edit("cameras: [{name: a, url: x}, {name: b, url: x}]\n", NULL, "b",
               "cameras: [{name: a, url: x}]\n");
    check_edit("cameras: [{name: a, url: x}]\n", NULL, "a", "cameras: []\n");
}

static void check_refused(const char *text, const char *add, const char *remove, int code,
                          const char *part)
{
    struct sp_camera_setting camera = {.url = "x"};
    struct sp_error err = {0};
    char *out = NULL;
    if (add)
        snprintf(camera.name, sizeof camera.name, "%s", add);
    int result = edit_text(text, add ? &camera : NULL, remove, &out, &err);
    if (result == SP_OK)
        print_error("accepted:\n%s\nas:\n%s", text, out);
    free(out);
    if (result != code || err.code != code || !strstr(err.text, part) ||
        !strstr(err.text, "spoton.yaml") || strchr(err.text, '\n'))
        fail_msg("%s", err.text);
}

static void test_refused(void **state)
{
    (void)state;
    static const char one[] = "cameras:\n  - {name: a, url: x}\n";
    check_refused(one, "a", NULL, SP_ERR_INVALID, "has a camera a already");
    check_refused(one, NULL, "b", SP_ERR_NOT_FOUND, "no camera b");
    check_refused("server: {prt: 1}\n", "b", NULL, SP_ERR_INVALID, "1:10: server.prt");
    check_refused("cameras: [\n", "b", NULL, SP_ERR_INVALID, "spoton.yaml:");
    check_refused("{server: {port: 1}}\n", "b", NULL, SP_ERR_UNSUPPORTED, "in braces; change");
    check_refused("cameras: [{name: '${YARD}', url: x}]\n", NULL, "yard", SP_ERR_UNSUPPORTED,
                  "1:18: cameras: a name that is a reference; change");
    check_refused("cameras: [{name: a, url: x},\n {name: b, url: x}]\n", NULL, "b",
                  SP_ERR_UNSUPPORTED, "no comma directly before");
    check_refused("---\n...\n", "b", NULL, SP_ERR_UNSUPPORTED, "cannot be edited; change");
}

/* --- the file --------------------------------------------------------------------------------- */

static char folder[64], real[128], named[128];

static void write_file(const char *text)
{
    FILE *file = fopen(real, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_file(const char *wanted)
{
    char text[512];
    FILE *file = fopen(real, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, wanted);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/spoton-edit-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(real, sizeof real, "%s/real.yaml", folder);
    snprintf(named, sizeof named, "%s/spoton.yaml", folder);
    return symlink("real.yaml", named);
}

/* Fails if there are other files. */
static int remove_folder(void **state)
{
    (void)state;
    unlink(real);
    unlink(named);
    return rmdir(folder);
}

static int refuse_it(void *user, struct sp_error *err)
{
    int *calls = user;
    (*calls)++;
    assert_file("cameras: [{name: a, url: x}]\n"); /* still */
    return sp_fail(err, SP_ERR_NO_SPACE, "not ready");
}

static int is_ready(void *user, struct sp_error *err)
{
    (void)user;
    (void)err;
    return SP_OK;
}

static int change_file(void *user, struct sp_error *err)
{
    write_file("cameras: []\n");
    return is_ready(user, err);
}

static void test_file(void **state)
{
    (void)state;
    struct stat before, after, link;
    struct sp_error err = {0};
    int calls = 0;
    const struct sp_camera_setting camera = {.name = "b", .url = "z"};
    struct sp_config_edit edit = {
        .path = named, .add = &camera, .ready = refuse_it, .user = &calls};
    write_file("cameras: [{name: a, url: x}]\n");
    assert_int_equal(chmod(real, 0640), 0);
    assert_int_equal(stat(real, &before), 0);
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_ERR_NO_SPACE);
    assert_string_equal(err.text, "not ready");
    assert_int_equal(calls, 1);
    assert_file("cameras: [{name: a, url: x}]\n");

    edit.ready = is_ready;
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_OK);
    assert_file("cameras: [{name: a, url: x}, {name: b, url: z}]\n");
    assert_int_equal(stat(real, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_true(lstat(named, &link) == 0 && S_ISLNK(link.st_mode));

    edit.add = &(const struct sp_camera_setting){.name = "c", .url = "z"};
    edit.ready = change_file;
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_ERR_IO);
    assert_non_null(strstr(err.text, "was changed meanwhile"));
    assert_file("cameras: []\n");

    write_file("cameras: [{name: a, url: x}, {name: b, url: z}]\n");
    edit = (struct sp_config_edit){.path = named, .remove = "a"};
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_OK);
    assert_file("cameras: [{name: b, url: z}]\n");
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_ERR_NOT_FOUND);
    unlink(real);
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_ERR_IO);
    assert_non_null(strstr(err.text, "cannot be written: No such file"));
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(sp_config_edit_file(&edit, &err), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(rmdir(real), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_refused),
        cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
