/* Clips for tests: created by the ffmpeg program in a temporary directory, read back whole. */
#pragma once

#include "capture/source.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char clips_dir[64];

/* The path of a clip; valid for eight calls. */
static inline const char *clip(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", clips_dir, name);
    return path;
}

__attribute__((format(printf, 1, 2))) static inline bool run(const char *format, ...)
{
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command) == 0;
}

/* "@" in `arguments` is replaced by the directory. */
static inline void make(const char *arguments)
{
    char text[1536];
    size_t n = 0;
    for (const char *c = arguments; *c && n < sizeof text - sizeof clips_dir; c++)
        n += (size_t)(*c == '@' ? snprintf(text + n, sizeof text - n, "%s", clips_dir)
                                : snprintf(text + n, sizeof text - n, "%c", *c));
    text[n] = '\0';
    if (!run("ffmpeg -nostdin -v error -y %s 2>&1", text))
        fail_msg("ffmpeg %s", text);
}

#define MOVING(size, rate, seconds)                                                                \
    "-f lavfi -i testsrc2=size=" size ":rate=" rate ":duration=" seconds " "

static inline int open_clips_dir(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(clips_dir, sizeof clips_dir, "%.40s/spoton-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(clips_dir) ? 0 : -1;
}

static inline int close_clips_dir(void **state)
{
    (void)state;
    return run("rm -rf '%s'", clips_dir) ? 0 : -1;
}

static inline void need_ffmpeg(void)
{
    if (run("ffmpeg -version >/dev/null 2>&1"))
        return;
    print_message("the ffmpeg program is not installed\n");
    skip();
}

struct shot {
    uint64_t sequence, hash;
    int64_t pts_us;
    uint32_t undecoded;
    int width_px, height_px;
    enum sp_pixel_format format;
    bool full_range;
    enum sp_color_matrix matrix;
    uint8_t luma; /* of the middle */
};

/* Everything read from a source until its end. */
struct reel {
    struct shot shot[2048];
    int count;
    int rc;
    struct sp_error err;
    struct sp_source_info info;
    uint64_t failed, tail_undecoded, undecoded;
    int pinned;
};

static inline uint64_t hash_rows(uint64_t hash, const uint8_t *rows, int stride, int w, int h)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            hash = (hash ^ rows[(ptrdiff_t)y * stride + x]) * UINT64_C(1099511628211);
    return hash;
}

static inline struct shot shoot(const struct sp_frame *f, bool with_hash)
{
    struct shot shot = {f->sequence,  0,         f->pts_us,     f->undecoded, f->width_px,
                        f->height_px, f->format, f->full_range, f->matrix,    0};
    int cw = (f->width_px + 1) / 2, ch = (f->height_px + 1) / 2;
    bool nv12 = f->format == SP_PIXEL_NV12;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (int i = 0; with_hash && i < (nv12 ? 2 : 3); i++)
        hash = hash_rows(hash, f->plane[i], f->stride_bytes[i],
                         i == 0 ? f->width_px
                         : nv12 ? 2 * cw
                                : cw,
                         i == 0 ? f->height_px : ch);
    shot.hash = hash;
    shot.luma = f->plane[0][(ptrdiff_t)(f->height_px / 2) * f->stride_bytes[0] + f->width_px / 2];
    return shot;
}

struct read_options {
    int frame_skip; /* > 1: sparse */
    int threads;
    bool no_hash;
    struct sp_source_memory memory;
    struct sp_source_gpu gpu;
};

/* Reads a whole source and checks the invariants of every source; the caller frees the reel. */
static inline struct reel *read_all(const char *url, struct read_options with)
{
    struct sp_frame_pool *pool;
    struct sp_source *source = NULL;
    struct reel *reel = calloc(1, sizeof *reel);
    assert_non_null(reel);
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_source_options options = {.url = url,
                                        .camera = 3,
                                        .pool = pool,
                                        .frame_skip = with.frame_skip > 1 ? with.frame_skip : 1,
                                        .sparse = with.frame_skip > 1,
                                        .decode_threads = with.threads,
                                        .memory = with.memory,
                                        .gpu = with.gpu,
                                        .open_timeout_us = 5000000,
                                        .read_timeout_us = 5000000};
    reel->rc = sp_source_open(&source, &options, &reel->err);
    if (reel->rc == SP_OK) {
        sp_source_info(source, &reel->info);
        struct sp_frame *frame;
        int64_t before_us = INT64_MIN;
        while ((reel->rc = sp_source_read(source, &frame, &reel->err)) == SP_OK) {
            assert_in_range(reel->count, 0, 2047);
            assert_int_equal(frame->camera, 3);
            assert_true(frame->pts_us > before_us);
            assert_true(frame->decode_us >= 0 && frame->received_us > 0);
            before_us = frame->pts_us;
            reel->undecoded += frame->undecoded;
            reel->pinned += frame->pinned;
            reel->shot[reel->count++] = shoot(frame, !with.no_hash);
            sp_frame_unref(frame);
        }
        reel->failed = sp_source_failed(source);
        reel->tail_undecoded = sp_source_tail_undecoded(source);
        assert_int_equal(sp_source_read(source, &frame, NULL), SP_ERR_END);
    }
    sp_source_close(source);
    sp_frame_pool_close(pool);
    return reel;
}
