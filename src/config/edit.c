#include "config/edit.h"

#include "base/yaml.h"
#include "config/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char by_hand[] = "change the file by hand, and send SIGHUP";

struct editor {
    const struct sp_config_edit *edit;
    const char *text;
    size_t bytes;
    const char *line_end; /* "\n", or "\r\n" if the first line ends so */
    FILE *to;
    struct sp_error *err;
};

static int refuse(const struct editor *editor, const struct sp_yaml_node *node, const char *problem)
{
    sp_yaml_fail(node, editor->err, "cameras: %s; %s", problem, by_hand);
    if (editor->err)
        editor->err->code = SP_ERR_UNSUPPORTED;
    return SP_ERR_UNSUPPORTED;
}

/* --- places in the text ----------------------------------------------------------------------- */

/* Behind the last byte of the node itself: a block's `end` is that of the blanks and comments
 * behind it. */
static size_t content_end(const struct editor *editor, const struct sp_yaml_node *node)
{
    while ((node->kind == SP_YAML_LIST || node->kind == SP_YAML_MAP) && !node->flow &&
           node->first) {
        node = node->first;
        while (node->next)
            node = node->next;
    }
    if (node->begin == node->end && node->key) /* nothing: its place is that of what follows */
        return node->key->end;
    size_t end = node->end;
    while (end > node->begin && strchr(" \t\r\n", editor->text[end - 1]))
        end--;
    return end;
}

/* Where the next line begins. */
static size_t next_line(const struct editor *editor, size_t at)
{
    const char *found = memchr(editor->text + at, '\n', editor->bytes - at);
    return found ? (size_t)(found - editor->text) + 1 : editor->bytes;
}

static size_t skip_blanks(const struct editor *editor, size_t at)
{
    while (at < editor->bytes && editor->text[at] == ' ')
        at++;
    return at;
}

static void copy(const struct editor *editor, size_t begin, size_t end)
{
    fwrite(editor->text + begin, 1, end - begin, editor->to);
}

/* The text up to here, ending with a line. */
static void copy_lines(const struct editor *editor, size_t end)
{
    copy(editor, 0, end);
    if (end > 0 && editor->text[end - 1] != '\n')
        fputs(editor->line_end, editor->to);
}

/* --- a camera --------------------------------------------------------------------------------- */

static void print_own(const struct editor *editor, bool nested, const char *before, int indent)
{
    const struct sp_camera_setting *camera = editor->edit->add;
    const char *separator = "";
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        if (!row->per_camera || !(camera->own & sp_setting_camera_bit(row)) ||
            nested != sp_setting_is_in(row, sp_setting_nested_section))
            continue;
        if (!before)
            fprintf(editor->to, "%s%*s%s: ", editor->line_end, indent, "",
                    sp_setting_yaml_name(row));
        else
            fprintf(editor->to, "%s%s: ", *separator ? separator : before,
                    sp_setting_yaml_name(row));
        sp_setting_print_yaml(row, (const char *)camera + row->camera_offset, editor->to);
        separator = ", ";
    }
}

static bool has_nested(const struct sp_camera_setting *camera)
{
    for (size_t i = 0; i < sp_setting_count; i++)
        if (sp_setting_table[i].per_camera &&
            sp_setting_is_in(&sp_setting_table[i], sp_setting_nested_section) &&
            (camera->own & sp_setting_camera_bit(&sp_setting_table[i])))
            return true;
    return false;
}

/* {name: gate, url: ...} */
static void print_flow(const struct editor *editor)
{
    const struct sp_camera_setting *camera = editor->edit->add;
    fputs("{name: ", editor->to);
    sp_yaml_print_text(camera->name, editor->to);
    fputs(", url: ", editor->to);
    sp_yaml_print_text(camera->url, editor->to);
    print_own(editor, false, ", ", 0);
    if (has_nested(camera)) {
        fprintf(editor->to, ", %s: {", sp_setting_nested_section);
        print_own(editor, true, "", 0);
        fputc('}', editor->to);
    }
    fputc('}', editor->to);
}

/* One item of a block list, with its dash in column `indent` from 0, and the end of its line. */
static void print_item(const struct editor *editor, int indent, bool flow)
{
    const struct sp_camera_setting *camera = editor->edit->add;
    fprintf(editor->to, "%*s- ", indent, "");
    if (flow) {
        print_flow(editor);
    } else {
        fputs("name: ", editor->to);
        sp_yaml_print_text(camera->name, editor->to);
        fprintf(editor->to, "%s%*surl: ", editor->line_end, indent + 2, "");
        sp_yaml_print_text(camera->url, editor->to);
        print_own(editor, false, NULL, indent + 2);
        if (has_nested(camera))
            fprintf(editor->to, "%s%*s%s:", editor->line_end, indent + 2, "",
                    sp_setting_nested_section);
        print_own(editor, true, NULL, indent + 4);
    }
    fputs(editor->line_end, editor->to);
}

/* --- adding ----------------------------------------------------------------------------------- */

static int add_to_list(const struct editor *editor, const struct sp_yaml_node *list)
{
    const struct sp_yaml_node *last = list->first;
    while (last->next)
        last = last->next;
    size_t at = content_end(editor, last);
    if (list->flow) {
        copy(editor, 0, at);
        fputs(", ", editor->to);
        print_flow(editor);
    } else {
        at = next_line(editor, at);
        copy_lines(editor, at);
        print_item(editor, list->column - 1, last->kind == SP_YAML_MAP && last->flow);
    }
    copy(editor, at, editor->bytes);
    return SP_OK;
}

/* `cameras:` without a camera: nothing, ~ or []. What stands behind it in the line stays. */
static int add_first(const struct editor *editor, const struct sp_yaml_node *value)
{
    size_t begin = value->begin, end = value->end;
    if (begin == end)
        begin = end = next_line(editor, value->key->end);
    size_t at = begin == end && begin > 0 && editor->text[begin - 1] == '\n'
                    ? begin
                    : next_line(editor, end);
    copy(editor, 0, begin);
    copy(editor, end, at);
    if (at > 0 && editor->text[at - 1] != '\n')
        fputs(editor->line_end, editor->to);
    print_item(editor, value->key->column + 1, false);
    copy(editor, at, editor->bytes);
    return SP_OK;
}

static int add_camera(const struct editor *editor, const struct sp_yaml_node *root)
{
    const struct sp_yaml_node *cameras = sp_yaml_get(root, "cameras");
    if (cameras && cameras->kind == SP_YAML_LIST && cameras->count > 0)
        return add_to_list(editor, cameras);
    if (root->kind == SP_YAML_MAP && root->flow)
        return refuse(editor, root, "in a document in braces");
    if (cameras)
        return add_first(editor, cameras);
    size_t at =
        root->kind == SP_YAML_MAP ? next_line(editor, content_end(editor, root)) : editor->bytes;
    int indent = root->kind == SP_YAML_MAP ? root->column - 1 : 0;
    copy_lines(editor, at);
    fprintf(editor->to, "%*scameras:%s", indent, "", editor->line_end);
    print_item(editor, indent + 2, false);
    copy(editor, at, editor->bytes);
    return SP_OK;
}

/* --- removing --------------------------------------------------------------------------------- */

/* The line of the item's dash: behind `before`, the item before it, and comments. */
static size_t item_line(const struct editor *editor, const struct sp_yaml_node *list,
                        const struct sp_yaml_node *before)
{
    size_t at = before ? next_line(editor, content_end(editor, before))
                       : list->begin - (size_t)(list->column - 1);
    for (; at < editor->bytes; at = next_line(editor, at)) {
        size_t first = skip_blanks(editor, at);
        if (first < editor->bytes && editor->text[first] == '-' &&
            first - at == (size_t)(list->column - 1))
            return at;
    }
    return editor->bytes;
}

static int remove_from_block(const struct editor *editor, const struct sp_yaml_node *list,
                             const struct sp_yaml_node *before, const struct sp_yaml_node *item)
{
    size_t begin = item_line(editor, list, before);
    if (begin >= item->begin)
        return refuse(editor, item, "the place of this camera is unclear");
    copy(editor, 0, begin);
    copy(editor, next_line(editor, content_end(editor, item)), editor->bytes);
    return SP_OK;
}

/* With the comma behind it, or, of the last one, the comma before it. */
static int remove_from_flow(const struct editor *editor, const struct sp_yaml_node *before,
                            const struct sp_yaml_node *item)
{
    size_t begin = item->begin, end = item->end;
    if (item->next) {
        end = skip_blanks(editor, end);
        if (editor->text[end] != ',')
            return refuse(editor, item, "no comma directly behind this camera");
        end = skip_blanks(editor, end + 1);
    } else if (before) {
        begin = skip_blanks(editor, before->end);
        if (editor->text[begin] != ',' || skip_blanks(editor, begin + 1) != item->begin)
            return refuse(editor, item, "no comma directly before this camera");
        begin = before->end;
    }
    copy(editor, 0, begin);
    copy(editor, end, editor->bytes);
    return SP_OK;
}

static int remove_camera(const struct editor *editor, const struct sp_yaml_node *root)
{
    const struct sp_yaml_node *list = sp_yaml_get(root, "cameras"), *before = NULL;
    const struct sp_yaml_node *reference = NULL;
    for (const struct sp_yaml_node *item = list ? list->first : NULL; item; item = item->next) {
        const struct sp_yaml_node *name = sp_yaml_get(item, "name");
        if (name && (name->tag || strstr(name->text, "${")))
            reference = name;
        else if (name && strcmp(name->text, editor->edit->remove) == 0)
            return list->flow ? remove_from_flow(editor, before, item)
                              : remove_from_block(editor, list, before, item);
        before = item;
    }
    if (reference)
        return refuse(editor, reference, "a name that is a reference");
    return sp_fail(editor->err, SP_ERR_NOT_FOUND, "%s: no camera %s", editor->edit->path,
                   editor->edit->remove);
}

/* --- checking --------------------------------------------------------------------------------- */

static bool is_same_camera(const struct sp_camera_setting *a, const struct sp_camera_setting *b)
{
    return strcmp(a->name, b->name) == 0 && a->own == b->own && sp_camera_setting_equal(a, b);
}

/* Whether `after` is `before` with the change. */
static bool is_expected(const struct sp_config_edit *edit, const struct sp_settings *before,
                        const struct sp_settings *after)
{
    static const int more[] = {-1, 1};
    char a[SP_PATH_BYTES], b[SP_PATH_BYTES];
    int kept = 0;
    if (after->camera_count != before->camera_count + more[edit->add != NULL])
        return false;
    for (int i = 0; i < before->camera_count; i++) {
        if (!edit->add && strcmp(before->camera[i].name, edit->remove) == 0)
            continue;
        if (!is_same_camera(&before->camera[i], &after->camera[kept++]))
            return false;
    }
    if (edit->add && !is_same_camera(&after->camera[kept], edit->add))
        return false;
    for (size_t i = 0; i < sp_setting_count; i++) {
        sp_setting_format(&sp_setting_table[i], before, a, sizeof a);
        sp_setting_format(&sp_setting_table[i], after, b, sizeof b);
        if (strcmp(a, b) != 0)
            return false;
    }
    return true;
}

static int read_both(const struct sp_config_edit *edit, const char *text, size_t bytes,
                     const char *changed, size_t changed_bytes, struct sp_settings both[2],
                     struct sp_error *err)
{
    struct sp_error why = {0};
    sp_settings_default(&both[0]);
    sp_settings_default(&both[1]);
    int result =
        sp_settings_read_yaml_text(&both[0], text, bytes, edit->path, edit->environment, err);
    if (result < 0)
        return result;
    if (edit->add && sp_setting_camera(&both[0], edit->add->name) >= 0)
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: has a camera %s already; send SIGHUP to add it, or choose another name",
                       edit->path, edit->add->name);
    result = sp_settings_read_yaml_text(&both[1], changed, changed_bytes, edit->path,
                                        edit->environment, &why);
    if (result < 0 || !is_expected(edit, &both[0], &both[1]))
        return sp_fail(err, SP_ERR_UNSUPPORTED, "%s: written in a way that cannot be edited; %s",
                       edit->path, by_hand);
    return SP_OK;
}

static int check(const struct sp_config_edit *edit, const char *text, size_t bytes,
                 const char *changed, size_t changed_bytes, struct sp_error *err)
{
    struct sp_settings *both = malloc(2 * sizeof *both);
    if (!both)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", edit->path);
    int result = read_both(edit, text, bytes, changed, changed_bytes, both, err);
    free(both);
    return result;
}

int sp_config_edit_text(const struct sp_config_edit *edit, const char *text, size_t bytes,
                        char **out, size_t *out_bytes, struct sp_error *err)
{
    struct sp_yaml *document;
    int result = sp_yaml_read_text(&document, text, bytes, edit->path, err);
    if (result < 0)
        return result;
    struct editor editor = {.edit = edit, .line_end = "\n", .err = err};
    editor.text = sp_yaml_source(document, &editor.bytes);
    const char *line = memchr(text, '\n', bytes);
    if (line && line > text && line[-1] == '\r')
        editor.line_end = "\r\n";
    char *changed = NULL;
    size_t changed_bytes = 0;
    editor.to = open_memstream(&changed, &changed_bytes);
    if (editor.to) {
        result = edit->add ? add_camera(&editor, sp_yaml_root(document))
                           : remove_camera(&editor, sp_yaml_root(document));
        if (fclose(editor.to) != 0 && result == SP_OK)
            result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", edit->path);
    } else {
        result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", edit->path);
    }
    if (result == SP_OK)
        result = check(edit, text, bytes, changed, changed_bytes, err);
    sp_yaml_close(document);
    if (result < 0) {
        free(changed);
        return result;
    }
    *out = changed;
    *out_bytes = changed_bytes;
    return SP_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

static int fail_errno(const struct sp_config_edit *edit, struct sp_error *err)
{
    char text[128];
    return sp_fail(err, SP_ERR_IO,
                   "%s: cannot be written: %s; check the permissions of the file and its folder",
                   edit->path, strerror_r(errno, text, sizeof text));
}

static bool write_all(int file, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(file, text, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool is_unchanged(const char *path, const struct stat *before)
{
    struct stat now;
    return stat(path, &now) == 0 && now.st_ino == before->st_ino && now.st_dev == before->st_dev &&
           now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

static void sync_folder(const char *path)
{
    char folder[SP_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return;
    fsync(file); /* the rename lasts without it too, unless the power fails now */
    close(file);
}

/* `about`: of the file that was read. */
static int replace(const struct sp_config_edit *edit, const char *path, const struct stat *about,
                   const char *text, size_t bytes, struct sp_error *err)
{
    char beside[SP_PATH_BYTES + 8];
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int file = mkostemp(beside, O_CLOEXEC);
    if (file < 0)
        return fail_errno(edit, err);
    /* Only root can keep another owner; others are refused. */
    bool written = fchown(file, about->st_uid, about->st_gid) == 0 &&
                   fchmod(file, about->st_mode & 07777) == 0 && write_all(file, text, bytes) &&
                   fsync(file) == 0;
    int result = written ? SP_OK : fail_errno(edit, err);
    close(file);
    if (result == SP_OK && edit->ready)
        result = edit->ready(edit->user, err);
    if (result == SP_OK && !is_unchanged(path, about))
        result = sp_fail(err, SP_ERR_IO, "%s: was changed meanwhile; try again", edit->path);
    if (result == SP_OK && rename(beside, path) < 0)
        result = fail_errno(edit, err);
    if (result < 0)
        unlink(beside);
    else
        sync_folder(path);
    return result;
}

static int edit_document(const struct sp_config_edit *edit, const char *path,
                         const struct stat *about, struct sp_error *err)
{
    struct sp_yaml *document;
    char *changed;
    size_t bytes, changed_bytes;
    int result = sp_yaml_read_file(&document, path, err);
    if (result < 0)
        return result;
    const char *text = sp_yaml_source(document, &bytes);
    result = sp_config_edit_text(edit, text, bytes, &changed, &changed_bytes, err);
    sp_yaml_close(document);
    if (result < 0)
        return result;
    result = replace(edit, path, about, changed, changed_bytes, err);
    free(changed);
    return result;
}

int sp_config_edit_file(const struct sp_config_edit *edit, struct sp_error *err)
{
    struct stat about;
    char *path = realpath(edit->path, NULL);
    if (!path || stat(path, &about) < 0) {
        free(path);
        return fail_errno(edit, err);
    }
    int result =
        S_ISREG(about.st_mode)
            ? edit_document(edit, path, &about, err)
            : sp_fail(err, SP_ERR_UNSUPPORTED, "%s: not a regular file; %s", edit->path, by_hand);
    free(path);
    return result;
}
