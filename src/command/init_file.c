#include "command/init_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 512 };

static int read_login(const char *line, int number, const char *path, struct sp_onvif_login *out,
                      struct sp_error *err)
{
    size_t user = strcspn(line, ":"), bytes = strlen(line);
    if (user == bytes || user == 0)
        return sp_fail(err, SP_ERR_INVALID, "line %d of %s: not a login; write user:password",
                       number, path);
    if (user >= sizeof out->user || bytes - user - 1 >= sizeof out->password)
        return sp_fail(err, SP_ERR_INVALID,
                       "line %d of %s: too long a login; the limits are %zu and %zu bytes", number,
                       path, sizeof out->user - 1, sizeof out->password - 1);
    *out = (struct sp_onvif_login){0};
    memcpy(out->user, line, user);
    memcpy(out->password, line + user + 1, bytes - user - 1);
    return SP_OK;
}

int sp_init_read_logins(const char *path, struct sp_onvif_login logins[SP_ONVIF_LOGINS_MAX],
                        int *count, struct sp_error *err)
{
    char line[LINE_BYTES];
    bool input = strcmp(path, "-") == 0;
    FILE *file = input ? stdin : fopen(path, "re");
    int result = SP_OK, number = 0;
    *count = 0;
    path = input ? "standard input" : path;
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno),
                       "%s: %s; name a file of lines user:password", path, strerror(errno));
    while (result == SP_OK && fgets(line, sizeof line, file)) {
        number++;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (*count == SP_ONVIF_LOGINS_MAX)
            result = sp_fail(
                err, SP_ERR_INVALID,
                "%s: more than %d logins; remove some, as cameras lock after refused logins", path,
                SP_ONVIF_LOGINS_MAX);
        else
            result = read_login(line, number, path, &logins[(*count)++], err);
    }
    if (result == SP_OK && ferror(file))
        result = sp_fail(err, SP_ERR_IO, "%s: cannot be read", path);
    if (!input)
        fclose(file);
    explicit_bzero(line, sizeof line);
    return result;
}

static void folder_of(const char *path, char out[SP_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    snprintf(out, SP_PATH_BYTES, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
}

int sp_init_check_file(const char *path, bool force, struct sp_error *err)
{
    char folder[SP_PATH_BYTES];
    struct stat about;
    if (strlen(path) + sizeof ".part" > SP_PATH_BYTES)
        return sp_fail(err, SP_ERR_INVALID, "-o: too long a path; name a shorter one");
    if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode))
        return sp_fail(err, SP_ERR_INVALID, "%s: is a folder; name a file", path);
    if (lstat(path, &about) == 0 && !force)
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: exists; name another file with -o, or replace it with --force", path);
    folder_of(path, folder);
    if (access(folder, W_OK) != 0)
        return sp_fail(err, sp_error_from_errno(errno),
                       "%s: %s; choose a folder that can be written with -o", folder,
                       strerror(errno));
    return SP_OK;
}

static int fail(const char *path, struct sp_error *err)
{
    return sp_fail(err, sp_error_from_errno(errno), "%s: %s; choose another file with -o", path,
                   strerror(errno));
}

/* The content, complete and on the disk, with the owner and access of the file that it replaces. */
static int write_part(const char *part, const char *path, const struct sp_settings *settings,
                      struct sp_error *err)
{
    struct stat old;
    unlink(part);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(part, err);
    if (lstat(path, &old) == 0 && S_ISREG(old.st_mode) && fchown(fd, old.st_uid, old.st_gid) == 0)
        (void)fchmod(fd, 0600 | (old.st_mode & 0060));
    FILE *file = fdopen(fd, "w");
    if (!file) {
        close(fd);
        return fail(part, err);
    }
    sp_settings_print_yaml(settings, file);
    bool good = fflush(file) == 0 && !ferror(file) && fsync(fd) == 0;
    int errno_value = errno;
    good = fclose(file) == 0 && good;
    errno = errno_value;
    return good ? SP_OK : fail(part, err);
}

int sp_init_write_file(const char *path, bool force, const struct sp_settings *settings,
                       struct sp_error *err)
{
    char part[SP_PATH_BYTES + 8], old[SP_PATH_BYTES + 8];
    struct stat about;
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(old, sizeof old, "%s.old", path);
    int result = write_part(part, path, settings, err);
    if (result == SP_OK)
        result = sp_init_check_file(path, force, err); /* again: minutes may have passed */
    if (result == SP_OK && lstat(path, &about) == 0 && rename(path, old) < 0)
        result = fail(path, err);
    if (result == SP_OK && rename(part, path) < 0)
        result = fail(path, err);
    if (result < 0)
        unlink(part);
    return result;
}
