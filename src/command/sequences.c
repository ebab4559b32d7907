#include "command/sequences.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool sp_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* False where the path is too long or no file. */
__attribute__((format(printf, 2, 3))) static bool find(char path[SP_PATH_BYTES], const char *format,
                                                       ...)
{
    va_list arguments;
    struct stat info;
    va_start(arguments, format);
    int length = vsnprintf(path, SP_PATH_BYTES, format, arguments);
    va_end(arguments);
    return length > 0 && length < SP_PATH_BYTES && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static double read_frame_rate(const char *folder, const char *name)
{
    char path[SP_PATH_BYTES], line[256];
    double rate = 0;
    FILE *file = find(path, "%s/%s/seqinfo.ini", folder, name) ? fopen(path, "re") : NULL;
    while (file && fgets(line, sizeof line, file))
        if (strncasecmp(line, "frameRate=", 10) == 0)
            rate = strtod(line + 10, NULL);
    if (file)
        (void)fclose(file); /* read only */
    return rate > 0 && rate <= 1000 ? rate : SP_SEQUENCE_FRAME_RATE;
}

/* False where `entry` is no sequence. */
static bool describe(struct sp_sequence *s, const char *folder, const char *entry)
{
    size_t bytes = strlen(entry);
    const char *ending = bytes > 4 ? entry + bytes - 4 : "";
    if (entry[0] == '.' || bytes >= sizeof s->name)
        return false;
    *s = (struct sp_sequence){.frame_rate = SP_SEQUENCE_FRAME_RATE};
    memcpy(s->name, entry, bytes);
    if (find(s->ground_truth, "%s/%s/gt/gt.txt", folder, entry) ||
        find(s->ground_truth, "%s/%s/gt.txt", folder, entry)) {
        s->frame_rate = read_frame_rate(folder, entry);
        return true;
    }
    if (strcmp(ending, ".txt") != 0 || !find(s->ground_truth, "%s/%s", folder, entry))
        return false;
    s->name[bytes - 4] = '\0';
    return true;
}

static int compare(const void *left, const void *right)
{
    const struct sp_sequence *a = left, *b = right;
    return strcmp(a->name, b->name);
}

int sp_sequences_find(struct sp_sequences *sequences, const char *folder, struct sp_error *err)
{
    *sequences = (struct sp_sequences){0};
    DIR *directory = opendir(folder);
    if (!directory)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s; check the path", folder,
                       strerror(errno));
    size_t capacity = 0;
    int result = SP_OK;
    for (const struct dirent *entry; result == SP_OK && (entry = readdir(directory));) {
        if (sequences->count == capacity) {
            size_t more = capacity ? 2 * capacity : 16;
            struct sp_sequence *grown =
                realloc(sequences->sequence, more * sizeof *sequences->sequence);
            if (!grown) {
                result = sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", folder);
                break;
            }
            sequences->sequence = grown;
            capacity = more;
        }
        sequences->count += describe(&sequences->sequence[sequences->count], folder, entry->d_name);
    }
    (void)closedir(directory);
    if (result == SP_OK && sequences->count == 0)
        result = sp_fail(err, SP_ERR_NOT_FOUND,
                         "%s: no ground truth; expected NAME/gt/gt.txt, NAME/gt.txt or NAME.txt",
                         folder);
    if (sequences->count > 0)
        qsort(sequences->sequence, sequences->count, sizeof *sequences->sequence, compare);
    return result;
}

void sp_sequences_release(struct sp_sequences *sequences)
{
    free(sequences->sequence);
    *sequences = (struct sp_sequences){0};
}

int sp_sequence_file(char path[SP_PATH_BYTES], const char *folder, const char *name,
                     enum sp_sequence_file kind, struct sp_error *err)
{
    if (kind == SP_SEQUENCE_TRACKS) {
        if (find(path, "%s/%s.txt", folder, name) || find(path, "%s/data/%s.txt", folder, name))
            return SP_OK;
        return sp_fail(err, SP_ERR_NOT_FOUND, "%s: no tracks of %s; expected %s.txt or data/%s.txt",
                       folder, name, name, name);
    }
    if (find(path, "%s/%s.txt", folder, name) || find(path, "%s/%s.jsonl", folder, name) ||
        find(path, "%s/%s/det/det.txt", folder, name) || find(path, "%s/%s/det.txt", folder, name))
        return SP_OK;
    return sp_fail(err, SP_ERR_NOT_FOUND,
                   "%s: no detections of %s; expected %s.txt, %s.jsonl, %s/det/det.txt or "
                   "%s/det.txt",
                   folder, name, name, name, name, name);
}
