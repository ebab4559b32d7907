#include "capture/source.h"

#include "capture/libav_image.h"
#include "capture/opening.h"
#include "capture/push.h"
#include "capture/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sp_source {
    const struct sp_source_kind *kind;
    void *self;
    char *path;        /* of a regular file; else NULL */
    struct stat about; /* it, before it was opened */
    atomic_bool own_flag;
    atomic_bool *interrupted; /* the caller's, or own_flag */
};

/* The last kind accepts everything that the others do not. */
static const struct sp_source_kind *const kinds[] = {&sp_source_kind_sim, &sp_source_kind_libav};

/* Whether the path names a regular file. */
static bool is_file(const char *path, struct stat *about)
{
    return stat(path, about) == 0 && S_ISREG(about->st_mode);
}

static void free_source(struct sp_source *source)
{
    free(source->path);
    free(source);
}

/* After the kind is chosen. */
static int open_kind(struct sp_source *source, const struct sp_source_options *options,
                     struct sp_error *err)
{
    const struct sp_source_kind *kind = source->kind;
    struct sp_source_options own = *options;
    if (kind == &sp_source_kind_libav && options->rewinds && is_file(options->url, &source->about))
        source->path = strdup(options->url);
    own.rewinds = source->path != NULL;
    int rc = kind == &sp_source_kind_libav
                 ? sp_opening_run(&source->self, kind, &own, source->interrupted, err)
                 : kind->open(&source->self, &own, source->interrupted, err);
    if (rc == SP_OK && options->snapshot_interval_us > 0 && kind == &sp_source_kind_libav &&
        sp_libav_is_image(source->self)) {
        source->kind = &sp_source_kind_snapshot;
        rc = sp_snapshot_open(&source->self, source->self, &own, source->interrupted, err);
    }
    return rc;
}

int sp_source_open(struct sp_source **out, const struct sp_source_options *options,
                   struct sp_error *err)
{
    if (!options->url || options->url[0] == '\0')
        return sp_fail(err, SP_ERR_INVALID,
                       "source: the address is empty; give a file or a camera's URL");
    struct sp_source *source = calloc(1, sizeof *source);
    if (!source)
        return sp_fail(err, SP_ERR_NO_MEMORY, "source: out of memory");
    atomic_init(&source->own_flag, false);
    source->interrupted = options->interrupted ? options->interrupted : &source->own_flag;
    size_t last = sizeof kinds / sizeof kinds[0] - 1;
    size_t i = 0;
    while (i < last && !kinds[i]->accepts(options->url))
        i++;
    source->kind = options->push ? &sp_source_kind_push : kinds[i];
    int rc = open_kind(source, options, err);
    if (rc != SP_OK) {
        free_source(source);
        return rc;
    }
    *out = source;
    return SP_OK;
}

void sp_source_close(struct sp_source *source)
{
    if (!source)
        return;
    source->kind->close(source->self);
    free_source(source);
}

void sp_source_info(const struct sp_source *source, struct sp_source_info *info)
{
    source->kind->info(source->self, info);
}

int sp_source_read(struct sp_source *source, struct sp_frame **out, struct sp_error *err)
{
    if (atomic_load_explicit(source->interrupted, memory_order_acquire))
        return sp_fail(err, SP_ERR_INTERRUPTED, "source: reading was interrupted");
    return source->kind->read(source->self, out, err);
}

uint64_t sp_source_failed(const struct sp_source *source)
{
    return source->kind->failed(source->self);
}

uint64_t sp_source_tail_undecoded(const struct sp_source *source)
{
    return source->kind->tail_undecoded(source->self);
}

void sp_source_interrupt(struct sp_source *source)
{
    atomic_store_explicit(source->interrupted, true, memory_order_release);
    if (source->kind->interrupt)
        source->kind->interrupt(source->self);
}

int sp_source_seek(struct sp_source *source, int64_t time_us, struct sp_error *err)
{
    if (!source->kind->seek)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "source: only files can be seeked");
    return source->kind->seek(source->self, time_us, err);
}

int sp_source_rewind(struct sp_source *source, struct sp_error *err)
{
    struct stat now;
    const struct stat *then = &source->about;
    bool same = source->path && is_file(source->path, &now) && now.st_dev == then->st_dev &&
                now.st_ino == then->st_ino && now.st_size == then->st_size &&
                now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
    if (!same)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "source: the file is another one; open it again");
    return sp_source_seek(source, 0, err);
}
