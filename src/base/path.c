#include "base/path.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int sp_path_make_dirs(const char *path, struct sp_error *err)
{
    char part[4096];
    int length = snprintf(part, sizeof part, "%s", path);
    if (length <= 0 || (size_t)length >= sizeof part)
        return sp_fail(err, SP_ERR_INVALID, "folder: name of %d characters; empty or too long",
                       length);
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(part, 0777) < 0 && !(errno == EEXIST && is_dir(part))) {
            int why = errno;
            if (why == EEXIST || why == ENOTDIR)
                return sp_fail(err, SP_ERR_INVALID, "%s: not a folder; give another path", part);
            return sp_fail(err, sp_error_from_errno(why), "%s: cannot create the folder: %s", part,
                           strerror(why));
        }
        *at = kept;
        if (kept == '\0')
            return SP_OK;
    }
}

int sp_path_lock_dir(const char *path, int *lock, struct sp_error *err)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s; check the folder", path,
                       strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
        return SP_OK;
    int why = errno;
    close(*lock);
    *lock = -1;
    if (why != EWOULDBLOCK) /* no locks on this file system */
        return SP_OK;
    return sp_fail(err, SP_ERR_CLOSED,
                   "%s: another spoton is writing there; wait for it, or give another folder",
                   path);
}

/* The shared object with this code; NULL: the program itself. */
static const char *own_library(void)
{
    static const char inside; /* any object of this code */
    Dl_info info;
    void *found = NULL;
    if (!dladdr1(&inside, &info, &found, RTLD_DL_LINKMAP) || !found)
        return NULL;
    const struct link_map *map = found;
    return map->l_name && map->l_name[0] ? map->l_name : NULL;
}

bool sp_path_in_library(void)
{
    return own_library() != NULL;
}

int sp_path_program_dir(char *out, size_t out_bytes, struct sp_error *err)
{
    const char *library = own_library(), *link = library ? library : "/proc/self/exe";
    char real[PATH_MAX];
    if (!realpath(link, real))
        return sp_fail(err, SP_ERR_IO, "%s: %s", link, strerror(errno));
    char *slash = strrchr(real, '/');
    if (slash)
        *slash = '\0';
    if ((size_t)snprintf(out, out_bytes, "%s", real) >= out_bytes)
        return sp_fail(err, SP_ERR_INVALID, "%s: path too long; the limit is %zu bytes", link,
                       out_bytes);
    return SP_OK;
}

/* The program is in PREFIX/bin, the library in PREFIX/lib or PREFIX/lib/ARCHITECTURE. */
const char *sp_path_plugin_dir(const char *kind, int index, char out[64])
{
    static const char *const below[] = {"", "/", "/../lib/spoton/", "/spoton/", "/../spoton/"};
    int count = sp_path_in_library() ? 5 : 3;
    if (index >= count)
        return NULL;
    snprintf(out, 64, "%s%s", below[index], index == 0 ? "" : kind);
    return out;
}

int sp_path_bundled_model(char *out, size_t out_bytes, const char *name, struct sp_error *err)
{
    char dir[4096];
    int result = sp_path_program_dir(dir, sizeof dir, err);
    if (result < 0)
        return result;
    static const char *const places[] = {"models", "share/spoton/models", "../share/spoton/models"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int length = snprintf(out, out_bytes, "%s/../%s/%s", dir, places[i], name);
        if (length > 0 && (size_t)length < out_bytes && access(out, R_OK) == 0)
            return SP_OK;
    }
    return sp_fail(err, SP_ERR_NOT_FOUND,
                   "bundled model %s: found in neither %s/../models nor %s/../share/spoton/models; "
                   "set YOLO_MODEL_PATH",
                   name, dir, dir);
}

int sp_path_demo_clip(char *out, size_t out_bytes, struct sp_error *err)
{
    static const char clip[] = ".cache/demo/vtest.avi";
    char dir[4096];
    int result = sp_path_program_dir(dir, sizeof dir, err);
    if (result < 0)
        return result;
    int length = snprintf(out, out_bytes, "%s/../%s", dir, clip);
    if (length > 0 && (size_t)length < out_bytes && access(out, R_OK) == 0)
        return SP_OK;
    return sp_fail(err, SP_ERR_NOT_FOUND,
                   "demo clip %s/../%s: not found; fetch it with `make demo`, or give cameras", dir,
                   clip);
}

void sp_path_cache_dir(char *out, size_t out_bytes)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int length = -1;
    if (base && base[0] == '/')
        length = snprintf(out, out_bytes, "%s/spoton", base);
    else if (home && home[0] == '/')
        length = snprintf(out, out_bytes, "%s/.cache/spoton", home);
    if (length <= 0 || (size_t)length >= out_bytes || sp_path_make_dirs(out, NULL) < 0 ||
        access(out, W_OK) < 0)
        out[0] = '\0';
}
