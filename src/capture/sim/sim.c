/* The source behind sim:// addresses: draws the plan's frames and paces them. */
#include "capture/sim/sim.h"

#include "base/clock.h"
#include "capture/sim/world.h"
#include "capture/source_impl.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    BLACK_LUMA = 16,
    GREY_CHROMA = 128,
    WAIT_STEP_US = 20000, /* the longest delay until an interruption is noticed */
    GARBAGE_MAX = 64,     /* consecutive undecodable frames before an error, as in libav.c */
};

static const double JUMP_S = 3600;

/* Memory for frames: grows to the most frames in use at once, and outlives the source. */
struct sim_memory {
    pthread_mutex_t mutex;
    size_t users; /* the source, and each buffer in use */
    struct sim_buffer *free_list;
};

struct sim_buffer {
    struct sim_memory *memory;
    struct sim_buffer *next;
    uint8_t data[];
};

struct sim {
    struct sp_sim_plan plan;
    struct sp_source_options options;
    const atomic_bool *interrupted;
    struct sim_memory *memory;
    size_t buffer_bytes;
    uint64_t next;  /* number of the plan's next frame */
    uint64_t given; /* frames returned so far */
    uint64_t failed;
    uint64_t undecoded; /* since the last returned frame */
    int64_t opened_us;
    uint32_t noise;
    struct sp_world world;
    int garbage;                      /* consecutive undecodable frames */
    struct spoton_decoding *decoding; /* or NULL */
};

static void drop_memory(struct sim_memory *memory)
{
    pthread_mutex_lock(&memory->mutex);
    bool last = --memory->users == 0;
    pthread_mutex_unlock(&memory->mutex);
    if (!last)
        return;
    while (memory->free_list) {
        struct sim_buffer *buffer = memory->free_list;
        memory->free_list = buffer->next;
        free(buffer);
    }
    pthread_mutex_destroy(&memory->mutex);
    free(memory);
}

static void give_back(void *owner)
{
    struct sim_buffer *buffer = owner;
    struct sim_memory *memory = buffer->memory;
    pthread_mutex_lock(&memory->mutex);
    buffer->next = memory->free_list;
    memory->free_list = buffer;
    pthread_mutex_unlock(&memory->mutex);
    drop_memory(memory);
}

static struct sim_buffer *take_buffer(struct sim *s)
{
    struct sim_memory *memory = s->memory;
    pthread_mutex_lock(&memory->mutex);
    struct sim_buffer *buffer = memory->free_list;
    if (buffer)
        memory->free_list = buffer->next;
    else
        buffer = malloc(sizeof *buffer + s->buffer_bytes);
    if (buffer) {
        buffer->memory = memory;
        memory->users++;
    }
    pthread_mutex_unlock(&memory->mutex);
    return buffer;
}

static bool accepts(const char *url)
{
    return strncasecmp(url, "sim://", 6) == 0;
}

static bool is_interrupted(const struct sim *s)
{
    return atomic_load_explicit(s->interrupted, memory_order_acquire);
}

/* False: interrupted. */
static bool wait_until(const struct sim *s, int64_t due_us)
{
    for (;;) {
        int64_t left_us = due_us - sp_clock_us();
        if (is_interrupted(s))
            return false;
        if (left_us <= 0)
            return true;
        usleep((useconds_t)(left_us < WAIT_STEP_US ? left_us : WAIT_STEP_US));
    }
}

static void close_sim(void *self)
{
    struct sim *s = self;
    if (s->decoding)
        s->options.gpu.api->device_api->decoding_close(s->decoding);
    if (s->memory)
        drop_memory(s->memory);
    free(s);
}

static int open_memory(struct sim *s, struct sp_error *err)
{
    size_t width = (size_t)s->plan.width_px, height = (size_t)s->plan.height_px;
    s->buffer_bytes = width * height + 2 * ((width + 1) / 2) * ((height + 1) / 2);
    s->memory = calloc(1, sizeof *s->memory);
    if (!s->memory)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%.200s: out of memory", s->options.url);
    pthread_mutex_init(&s->memory->mutex, NULL);
    s->memory->users = 1;
    return SP_OK;
}

static void info_of(const void *self, struct sp_source_info *info)
{
    const struct sim *s = self;
    *info = (struct sp_source_info){
        .format = "sim",
        .codec = "raw",
        .width_px = s->plan.width_px,
        .height_px = s->plan.height_px,
        .frame_rate = s->plan.fps,
        .frames_total = s->plan.frames,
        .live = s->plan.paced,
    };
}

static int open_decoding(struct sim *s, struct sp_error *err)
{
    const struct sp_source_gpu *gpu = &s->options.gpu;
    struct sp_source_info info;
    char why[200];
    void *context, *stream;
    info_of(s, &info);
    int device = gpu->choose_device(gpu->user, &info);
    if (device >= 0 &&
        gpu->api->device_api->decoding_open(&s->decoding, device, gpu->backend_options, &context,
                                            &stream, why, sizeof why) < 0)
        return sp_fail(err, SP_ERR_ENGINE, "sim: gpu=1: %s", why);
    return SP_OK;
}

static int open_sim(void **out, const struct sp_source_options *options,
                    const atomic_bool *interrupted, struct sp_error *err)
{
    struct sim *s = calloc(1, sizeof *s);
    if (!s)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%.200s: out of memory", options->url);
    s->options = *options;
    s->interrupted = interrupted;
    int result = sp_sim_parse(&s->plan, options->url, err);
    bool in_time = options->open_timeout_us <= 0 || s->plan.latency_us <= options->open_timeout_us;
    s->noise = s->plan.seed * 2 + 1;
    if (result == SP_OK && s->plan.latency_us > 0 &&
        !wait_until(s, sp_clock_us() + (in_time ? s->plan.latency_us : options->open_timeout_us)))
        result = sp_fail(err, SP_ERR_INTERRUPTED, "%.200s: opening was interrupted", options->url);
    if (result == SP_OK && !in_time)
        result = sp_fail(err, SP_ERR_TIMEOUT, "%.200s: no answer within %.1f s", options->url,
                         (double)options->open_timeout_us / 1e6);
    if (result == SP_OK && s->plan.pattern == SP_SIM_OFFLINE)
        result = sp_fail(err, SP_ERR_IO, "%.200s: cannot be opened, as its address asks for",
                         options->url);
    if (result == SP_OK)
        result = open_memory(s, err);
    if (result == SP_OK && s->plan.gpu && options->gpu.api)
        result = open_decoding(s, err);
    if (result < 0) {
        close_sim(s);
        return result;
    }
    struct sp_world_options world = {
        .seed = s->plan.seed, .people = s->plan.people, .roam = s->plan.roam};
    sp_world_init(&s->world, &world);
    s->options.url = NULL; /* the caller's */
    s->opened_us = sp_clock_us();
    *out = s;
    return SP_OK;
}

static void fill_noise(struct sim *s, uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        s->noise = s->noise * 1664525U + 1013904223U;
        data[i] = (uint8_t)(s->noise >> 24);
    }
}

static int64_t world_began_us;

static void begin_world(void)
{
    world_began_us = sp_clock_us();
}

/* One clock for all cameras: they are opened one after another but see the same people. */
static double world_time(const struct sim *s, uint64_t number)
{
    double since_s = (double)number / s->plan.fps;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!s->plan.paced)
        return since_s;
    pthread_once(&once, begin_world);
    return since_s + (double)(s->opened_us - world_began_us) / 1e6;
}

static void draw_world(struct sim *s, uint8_t *luma, uint64_t number, int width, int height)
{
    struct sp_world_observation observations[SP_WORLD_PEOPLE_MAX];
    double time_s = world_time(s, number);
    sp_world_go(&s->world, time_s > 0 ? time_s : 0);
    for (int i = sp_world_see(&s->world, s->plan.camera, width, height, observations) - 1; i >= 0;
         i--) {
        const struct sp_world_observation *observation = &observations[i];
        int x1 = (int)fmax(lround(observation->x1_px), 0),
            x2 = (int)fmin(lround(observation->x2_px), width);
        int y1 = (int)fmax(lround(observation->y1_px), 0),
            y2 = (int)fmin(lround(observation->y2_px), height);
        for (int y = y1; y < y2 && x2 > x1; y++)
            memset(luma + (size_t)y * (size_t)width + x1, SP_SIM_PERSON_LUMA, (size_t)(x2 - x1));
    }
}

static void draw(struct sim *s, uint8_t *luma, uint64_t number, bool black, int width, int height)
{
    if (black) {
        memset(luma, BLACK_LUMA, (size_t)width * (size_t)height);
        return;
    }
    sp_sim_draw(&s->plan, number, width, height, luma);
    if (s->plan.pattern == SP_SIM_WORLD)
        draw_world(s, luma, number, width, height);
    sp_sim_disturb(&s->plan, number, width, height, luma);
}

static double time_of(const struct sim *s, uint64_t number)
{
    return (double)number / s->plan.fps;
}

/* How many frames lie within these seconds, at least one. */
static uint64_t images_in(const struct sim *s, double seconds)
{
    double images = ceil(seconds * s->plan.fps - 1e-6);
    return images < 1 ? 1 : (uint64_t)images;
}

/* A frozen camera shows what it showed before. */
static uint64_t shown_number(const struct sim *s, uint64_t number)
{
    double left_s;
    while (number > 0 && sp_sim_is_on(&s->plan, SP_SIM_FROZEN, time_of(s, number), &left_s)) {
        uint64_t back = images_in(s, s->plan.fault[SP_SIM_FROZEN].for_s - left_s);
        number = back < number ? number - back : 0;
    }
    return number;
}

static int make_frame(struct sim *s, uint64_t number, struct sp_frame **out, struct sp_error *err)
{
    const struct sp_sim_plan *plan = &s->plan;
    double time_s = time_of(s, number);
    int64_t start_us = sp_clock_us();
    bool half = sp_sim_is_on(plan, SP_SIM_RESIZE, time_s, NULL);
    int width = half ? plan->width_px / 2 : plan->width_px;
    int height = half ? plan->height_px / 2 : plan->height_px;
    size_t luma_bytes = (size_t)width * (size_t)height;
    size_t chroma_bytes = (size_t)((width + 1) / 2) * (size_t)((height + 1) / 2);
    struct sim_buffer *buffer = take_buffer(s);
    struct sp_frame *frame = buffer ? sp_frame_pool_get(s->options.pool) : NULL;
    if (!frame) {
        if (buffer)
            give_back(buffer);
        return sp_fail(err, SP_ERR_NO_MEMORY, "sim: out of memory for a frame");
    }
    if (sp_sim_is_on(plan, SP_SIM_GARBAGE, time_s, NULL))
        fill_noise(s, buffer->data, luma_bytes);
    else
        draw(s, buffer->data, shown_number(s, number),
             sp_sim_is_on(plan, SP_SIM_BLACK, time_s, NULL), width, height);
    memset(buffer->data + luma_bytes, GREY_CHROMA, 2 * chroma_bytes);
    frame->plane[0] = buffer->data;
    frame->plane[1] = buffer->data + luma_bytes;
    frame->plane[2] = frame->plane[1] + chroma_bytes;
    frame->stride_bytes[0] = width;
    frame->stride_bytes[1] = frame->stride_bytes[2] = (width + 1) / 2;
    frame->width_px = width;
    frame->height_px = height;
    frame->format = SP_PIXEL_I420;
    frame->matrix = SP_MATRIX_BT601;
    if (sp_sim_is_on(plan, SP_SIM_JUMP, time_s, NULL))
        time_s += JUMP_S;
    frame->pts_us = (int64_t)(time_s * 1e6);
    frame->camera = s->options.camera;
    frame->owner = buffer;
    frame->release = give_back;
    frame->received_us = sp_clock_us();
    frame->decode_us = frame->received_us - start_us;
    *out = frame;
    return SP_OK;
}

static int move_to_gpu(struct sim *s, struct sp_frame **frame, struct sp_error *err)
{
    struct spoton_image image = sp_frame_image(*frame);
    struct spoton_surface *surface;
    int result = sp_surface_take(&surface, s->options.gpu.api, s->decoding, &image, err);
    if (result < 0) {
        sp_frame_unref(*frame);
        *frame = NULL;
        return result;
    }
    sp_frame_attach(*frame, s->options.gpu.api, surface);
    return SP_OK;
}

/* Waits for the frame's time; a burst's frames come when it is over. */
static int wait_for(struct sim *s, uint64_t number, struct sp_error *err)
{
    double time_s = time_of(s, number), held_s;
    if (sp_sim_is_on(&s->plan, SP_SIM_BURST, time_s, &held_s))
        time_s += held_s;
    int64_t due_us = s->opened_us + (int64_t)(time_s * 1e6);
    int64_t timeout_us = s->options.read_timeout_us;
    int64_t late_us = sp_clock_us() + timeout_us;
    bool in_time = timeout_us <= 0 || due_us <= late_us;
    if (!wait_until(s, in_time ? due_us : late_us))
        return sp_fail(err, SP_ERR_INTERRUPTED, "sim: reading was interrupted");
    if (!in_time)
        return sp_fail(err, SP_ERR_TIMEOUT, "sim: no data for %.1f s", (double)timeout_us / 1e6);
    return SP_OK;
}

/* Skips the frames of a stall, which are never returned. */
static uint64_t next_number(const struct sim *s)
{
    uint64_t number = s->next;
    double left_s;
    while (sp_sim_is_on(&s->plan, SP_SIM_STALL, time_of(s, number), &left_s))
        number += images_in(s, left_s);
    return number;
}

/* Whether `sparse` skips the stream's next frame. */
static bool is_left_out(struct sim *s)
{
    if (!s->options.sparse || s->options.frame_skip <= 1 ||
        s->given % (uint64_t)s->options.frame_skip == 0)
        return false;
    s->given++;
    s->undecoded++;
    return true;
}

static int read_sim(void *self, struct sp_frame **out, struct sp_error *err)
{
    struct sim *s = self;
    for (;;) {
        uint64_t number = next_number(s);
        double time_s = time_of(s, number);
        if (s->plan.frames > 0 && number >= (uint64_t)s->plan.frames)
            return sp_fail(err, SP_ERR_END, "sim: the end");
        int result = s->plan.paced ? wait_for(s, number, err) : SP_OK;
        if (result < 0)
            return result;
        if (s->plan.flap_s > 0 && time_s >= s->plan.flap_s)
            return sp_fail(err, SP_ERR_IO, "sim: the connection is lost, as flap=%g asks for",
                           s->plan.flap_s);
        s->next = number + 1;
        bool bad = number % 2 == 1 && sp_sim_is_on(&s->plan, SP_SIM_GARBAGE, time_s, NULL);
        if (bad) {
            s->failed++;
            s->given++;
            if (++s->garbage >= GARBAGE_MAX)
                return sp_fail(err, SP_ERR_FORMAT, "sim: %d frames could not be decoded",
                               s->garbage);
            continue;
        }
        if (is_left_out(s))
            continue;
        result = make_frame(s, number, out, err);
        if (result == SP_OK && s->decoding)
            result = move_to_gpu(s, out, err);
        if (result < 0)
            return result;
        s->garbage = sp_sim_is_on(&s->plan, SP_SIM_GARBAGE, time_s, NULL) ? s->garbage : 0;
        (*out)->sequence = s->given++;
        (*out)->undecoded = (uint32_t)s->undecoded;
        s->undecoded = 0;
        return SP_OK;
    }
}

static uint64_t failed_of(const void *self)
{
    const struct sim *s = self;
    return s->failed;
}

static uint64_t tail_of(const void *self)
{
    const struct sim *s = self;
    return s->undecoded;
}

const struct sp_source_kind sp_source_kind_sim = {
    .accepts = accepts,
    .open = open_sim,
    .close = close_sim,
    .info = info_of,
    .read = read_sim,
    .failed = failed_of,
    .tail_undecoded = tail_of,
};
