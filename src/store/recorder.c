#include "store/recorder.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/thread.h"
#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 4 << 20,
    IMAGES_BYTES = 1 << 20,   /* of a buffer */
    WAITING_BYTES = 16 << 20, /* encoded blocks that could not be written */
    WAITING_MAX = 32768,
    SP_RECORDER_NAMES = SP_CAMERAS_MAX,
};

static const int64_t SWAP_US = 900000, TRACKS_US = 10000000, RETAIN_US = 600000000,
                     SIZE_US = 60000000, RETRY_US = 2000000, REMIND_US = 600000000;

enum item_kind { FRAME, EVENT, HOUR, FEEDBACK, IMAGE };

struct item {
    enum item_kind kind;
    uint32_t bytes; /* with what follows; a multiple of 8 */
    uint32_t next;  /* frames: the camera's next one in the buffer; 0: none */
    int camera;
    char name[SP_STORED_NAME_BYTES];
    uint32_t epoch;
    uint32_t width_px, height_px;
    struct sp_stored_frame frame; /* its tracks follow; an event follows */
};

struct buffer {
    size_t used, images;
    uint32_t first[SP_CAMERAS_MAX], last[SP_CAMERAS_MAX]; /* offsets + 1; 0: none */
    uint8_t *data;                                        /* [BUFFER_BYTES] */
};

struct waiting {
    char camera[SP_STORED_NAME_BYTES];
    int64_t day;
    uint32_t frames, boxes;
    size_t bytes;
    uint8_t *data;
};

struct sp_recorder {
    struct sp_recorder_options options;
    char location[SP_STORE_LOCATION_BYTES];
    int lock; /* of the folder; -1: none */
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex; /* guards the next members */
    pthread_cond_t wake;
    struct buffer *filled; /* by the callers */
    bool stopping;
    int64_t latest_us; /* of the frames so far */
    uint32_t turn;     /* of the last frame; 0: it was in time */
    struct sp_recorder_report report;

    /* The thread's own. */
    struct buffer buffer[2];
    struct buffer *drained;
    struct sp_store *store; /* NULL: to be opened again */
    struct sp_block_encoder *encoder;
    struct sp_rows *rows;
    struct waiting *waiting; /* [WAITING_MAX], in the order of recording */
    size_t waiting_count, waiting_bytes;
    int64_t run_us, tracks_us, retained_us, sized_us, retry_us, reminded_us;
    uint64_t lost;
};

/* ---- callers ---- */

static struct item *reserve(struct buffer *b, size_t bytes)
{
    bytes = (bytes + 7) / 8 * 8;
    if (b->used + bytes > BUFFER_BYTES)
        return NULL;
    struct item *item = (struct item *)(b->data + b->used);
    b->used += bytes;
    item->bytes = (uint32_t)bytes;
    item->next = 0;
    return item;
}

static void chain(struct buffer *b, struct item *item, int camera)
{
    uint32_t offset = (uint32_t)((uint8_t *)item - b->data) + 1;
    if (b->last[camera])
        ((struct item *)(b->data + b->last[camera] - 1))->next = offset;
    else
        b->first[camera] = offset;
    b->last[camera] = offset;
}

void sp_recorder_frame(struct sp_recorder *r, const struct sp_recorded_frame *frame)
{
    struct sp_stored_track tracks[SP_TRACKS_MAX];
    if (!r)
        return;
    size_t count = frame->count < SP_TRACKS_MAX ? frame->count : SP_TRACKS_MAX;
    for (size_t i = 0; i < count; i++)
        sp_stored_track_fill(&tracks[i], &frame->tracks[i],
                             frame->positions ? &frame->positions[i] : NULL);
    size_t bytes = count * sizeof tracks[0];
    pthread_mutex_lock(&r->mutex);
    bool late = frame->time_us <= r->latest_us;
    r->turn = late ? r->turn + 1 : 0;
    if (!late)
        r->latest_us = frame->time_us;
    struct item *item = reserve(r->filled, sizeof *item + bytes);
    if (item) {
        item->kind = FRAME;
        item->camera = frame->camera;
        snprintf(item->name, sizeof item->name, "%s", frame->name);
        item->epoch = (uint32_t)frame->epoch;
        item->width_px = (uint32_t)frame->width_px;
        item->height_px = (uint32_t)frame->height_px;
        item->frame = (struct sp_stored_frame){.time_us = frame->time_us,
                                               .late_us = late ? r->latest_us - frame->time_us : 0,
                                               .turn = r->turn,
                                               .sequence = frame->sequence,
                                               .inferred = frame->inferred,
                                               .mapped = frame->positions != NULL,
                                               .count = count};
        memcpy(item + 1, tracks, bytes);
        chain(r->filled, item, frame->camera);
        if (r->filled->used > BUFFER_BYTES / 2)
            pthread_cond_signal(&r->wake);
    } else {
        r->report.dropped++;
    }
    pthread_mutex_unlock(&r->mutex);
}

static void add_item(struct sp_recorder *r, enum item_kind kind, int64_t time_us, const void *data,
                     size_t bytes)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->mutex);
    struct item *item = reserve(r->filled, sizeof *item + bytes);
    if (item) {
        item->kind = kind;
        item->frame.time_us = time_us;
        memcpy(item + 1, data, bytes);
    }
    pthread_mutex_unlock(&r->mutex);
}

void sp_recorder_event(struct sp_recorder *r, const struct sp_event *event)
{
    add_item(r, EVENT, event->wall_us, event, sizeof *event);
}

void sp_recorder_hour(struct sp_recorder *r, const struct sp_recorded_hour *hour)
{
    add_item(r, HOUR, 0, hour, sizeof *hour);
}

void sp_recorder_feedback(struct sp_recorder *r, int64_t time_us, const char *record)
{
    add_item(r, FEEDBACK, time_us, record, strlen(record) + 1);
}

bool sp_recorder_image(struct sp_recorder *r, const struct sp_recorded_image *image,
                       const uint8_t *jpeg)
{
    if (!r)
        return false;
    size_t bytes = sizeof(struct item) + sizeof *image + image->bytes;
    pthread_mutex_lock(&r->mutex);
    bool fits = r->filled->images + bytes <= IMAGES_BYTES;
    struct item *item = fits ? reserve(r->filled, bytes) : NULL;
    if (item) {
        item->kind = IMAGE;
        memcpy(item + 1, image, sizeof *image);
        if (image->bytes)
            memcpy((uint8_t *)(item + 1) + sizeof *image, jpeg, image->bytes);
        r->filled->images += bytes;
    }
    pthread_mutex_unlock(&r->mutex);
    return item != NULL;
}

void sp_recorder_report(struct sp_recorder *r, struct sp_recorder_report *report)
{
    pthread_mutex_lock(&r->mutex);
    *report = r->report;
    pthread_mutex_unlock(&r->mutex);
}

const char *sp_recorder_state_name(enum sp_recorder_state state)
{
    static const char *const names[] = {"recording", "full", "failed"};
    return names[state];
}

/* ---- state ---- */

static void set_state(struct sp_recorder *r, int code, const char *text)
{
    enum sp_recorder_state state = code == SP_OK             ? SP_RECORDER_RECORDING
                                   : code == SP_ERR_NO_SPACE ? SP_RECORDER_FULL
                                                             : SP_RECORDER_FAILED;
    pthread_mutex_lock(&r->mutex);
    enum sp_recorder_state before = r->report.state;
    r->report.state = state;
    r->report.dropped += r->lost;
    r->report.waiting_bytes = r->waiting_bytes;
    snprintf(r->report.error, sizeof r->report.error, "%s", text);
    pthread_mutex_unlock(&r->mutex);
    r->lost = 0;
    int64_t now_us = sp_clock_us();
    bool changed = state != before;
    if (state != SP_RECORDER_RECORDING && (changed || now_us - r->reminded_us > REMIND_US)) {
        r->reminded_us = now_us;
        sp_log(SP_LOG_ERROR, "store: not recording: %s; recording resumes once this is solved",
               text);
    }
    if (changed && state == SP_RECORDER_RECORDING)
        sp_log(SP_LOG_INFO, "store: recording again");
    if (changed && r->options.changed)
        r->options.changed(r->options.user, state, text);
}

/* ---- blocks ---- */

static void drop_oldest(struct sp_recorder *r, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        r->lost += r->waiting[i].frames;
        r->waiting_bytes -= r->waiting[i].bytes;
        free(r->waiting[i].data);
    }
    r->waiting_count -= count;
    memmove(r->waiting, r->waiting + count, r->waiting_count * sizeof *r->waiting);
}

static void end_block(struct sp_recorder *r, const char *camera)
{
    struct sp_block_header header;
    size_t bytes;
    const uint8_t *block = sp_block_end(r->encoder, false, &bytes, &header);
    if (bytes == 0)
        return;
    size_t excess = 0, left = r->waiting_bytes + bytes;
    while (excess < r->waiting_count && left > WAITING_BYTES)
        left -= r->waiting[excess++].bytes;
    if (excess == 0 && r->waiting_count == WAITING_MAX)
        excess = 1;
    drop_oldest(r, excess);
    uint8_t *copy = malloc(bytes);
    if (!copy) {
        r->lost += header.frames;
        return;
    }
    memcpy(copy, block, bytes);
    struct waiting *w = &r->waiting[r->waiting_count++];
    *w = (struct waiting){.day = sp_store_day(header.first_us),
                          .frames = header.frames,
                          .boxes = header.boxes,
                          .bytes = bytes,
                          .data = copy};
    snprintf(w->camera, sizeof w->camera, "%s", camera);
    r->waiting_bytes += bytes;
}

static bool fits_block(const struct item *a, const struct item *b)
{
    return a->epoch == b->epoch && a->width_px == b->width_px && a->height_px == b->height_px &&
           strcmp(a->name, b->name) == 0 &&
           sp_store_day(a->frame.time_us) == sp_store_day(b->frame.time_us);
}

static void encode_camera(struct sp_recorder *r, int camera)
{
    const struct item *first = NULL;
    uint32_t at = r->drained->first[camera];
    while (at) {
        struct item *item = (struct item *)(r->drained->data + at - 1);
        item->frame.tracks = (struct sp_stored_track *)(item + 1);
        if (!first || !fits_block(first, item) || !sp_block_add(r->encoder, &item->frame)) {
            if (first)
                end_block(r, first->name);
            const struct sp_block_header header = {.run_us = r->run_us,
                                                   .epoch = item->epoch,
                                                   .width_px = item->width_px,
                                                   .height_px = item->height_px};
            sp_block_begin(r->encoder, &header);
            sp_block_add(r->encoder, &item->frame);
            first = item;
        }
        sp_rows_frame(r->rows, camera, item->name, item->epoch, &item->frame);
        at = item->next;
    }
    if (first)
        end_block(r, first->name);
}

static void take_image(struct sp_recorder *r, const void *data)
{
    const struct sp_recorded_image *image = data;
    sp_rows_image(r->rows, image, (const uint8_t *)(image + 1));
}

static void take_events(struct sp_recorder *r)
{
    for (size_t at = 0; at < r->drained->used;) {
        const struct item *item = (const struct item *)(r->drained->data + at);
        if (item->kind == EVENT)
            sp_rows_event(r->rows, (const struct sp_event *)(item + 1));
        else if (item->kind == HOUR)
            sp_rows_hour(r->rows, (const struct sp_recorded_hour *)(item + 1));
        else if (item->kind == FEEDBACK)
            sp_rows_feedback(r->rows, item->frame.time_us, (const char *)(item + 1));
        else if (item->kind == IMAGE)
            take_image(r, item + 1);
        at += item->bytes;
    }
}

/* ---- writing ---- */

static int write_blocks(struct sp_recorder *r, struct sp_store *store, struct sp_error *err)
{
    const struct sp_segments_api *api = store->segments->api;
    size_t done = 0;
    int result = SP_OK;
    while (done < r->waiting_count && result == SP_OK) {
        const struct waiting *w = &r->waiting[done];
        result = api->append(store->segments, w->camera, w->day, w->data, w->bytes, err);
        done += result == SP_OK;
    }
    int synced = api->sync(store->segments, result == SP_OK ? err : NULL);
    if (synced < 0 && store->postgresql)
        done = 0; /* rows are added as a whole */
    pthread_mutex_lock(&r->mutex);
    for (size_t i = 0; i < done; i++) {
        r->report.frames += r->waiting[i].frames;
        r->report.boxes += r->waiting[i].boxes;
        r->report.bytes += r->waiting[i].bytes;
        r->waiting[i].frames = 0; /* stored, not lost */
    }
    pthread_mutex_unlock(&r->mutex);
    drop_oldest(r, done);
    return result == SP_OK ? synced : result;
}

static int write_rows(struct sp_recorder *r, bool last, struct sp_error *err)
{
    uint64_t events;
    int64_t now_us = sp_clock_us();
    bool all = last || now_us - r->tracks_us >= TRACKS_US;
    int result = sp_rows_write(r->rows, r->store, all, &events, err);
    if (result == SP_OK && all)
        r->tracks_us = now_us;
    pthread_mutex_lock(&r->mutex);
    r->report.events += events;
    pthread_mutex_unlock(&r->mutex);
    return result;
}

static void maintain(struct sp_recorder *r)
{
    int64_t now_us = sp_clock_us(), bytes;
    struct sp_error err = {0};
    if (now_us - r->retained_us >= RETAIN_US) {
        r->retained_us = now_us;
        if (sp_store_retain(r->store, r->options.retention_days, r->options.max_bytes,
                            sp_clock_wall_us(), NULL, &err) < 0)
            sp_log(SP_LOG_WARNING, "store: retention: %s", err.text);
        r->sized_us = 0;
    }
    if (now_us - r->sized_us < SIZE_US || sp_store_bytes(r->store, &bytes, NULL) < 0)
        return;
    r->sized_us = now_us;
    pthread_mutex_lock(&r->mutex);
    r->report.store_bytes = bytes;
    pthread_mutex_unlock(&r->mutex);
}

static void write_all(struct sp_recorder *r, bool last)
{
    struct sp_error err = {0};
    int64_t now_us = sp_clock_us();
    if (now_us < r->retry_us && !last)
        return;
    if (r->store && r->store->database->broken) {
        sp_store_close(r->store);
        r->store = NULL;
    }
    int result = SP_OK;
    if (!r->store)
        result = sp_store_open(&r->store, r->location, true, &err);
    if (r->store) {
        struct sp_error other = {0};
        result = write_blocks(r, r->store, &err);
        int rows = write_rows(r, last, &other);
        if (result == SP_OK && rows < 0) {
            result = rows;
            err = other;
        }
    }
    r->retry_us = result == SP_OK ? 0 : now_us + RETRY_US;
    set_state(r, result, err.text);
    if (result == SP_OK)
        maintain(r);
}

/* ---- the thread ---- */

/* Waits for the next swap. True: the last one. */
static bool swap(struct sp_recorder *r)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SWAP_US * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->mutex);
    while (!r->stopping && r->filled->used <= BUFFER_BYTES / 2 &&
           pthread_cond_timedwait(&r->wake, &r->mutex, &until) == 0)
        ;
    bool last = r->stopping;
    struct buffer *filled = r->filled;
    r->filled = r->drained;
    r->drained = filled;
    pthread_mutex_unlock(&r->mutex);
    return last;
}

static void *run(void *argument)
{
    struct sp_recorder *r = argument;
    for (bool last = false; !last;) {
        last = swap(r);
        for (int i = 0; i < SP_CAMERAS_MAX; i++)
            encode_camera(r, i);
        take_events(r);
        memset(r->drained->first, 0, sizeof r->drained->first);
        memset(r->drained->last, 0, sizeof r->drained->last);
        r->drained->used = r->drained->images = 0;
        write_all(r, last);
    }
    return NULL;
}

/* ---- open and close ---- */

static int allocate(struct sp_recorder *r, struct sp_error *err)
{
    for (int i = 0; i < 2; i++)
        r->buffer[i].data = malloc(BUFFER_BYTES);
    r->filled = &r->buffer[0];
    r->drained = &r->buffer[1];
    r->waiting = calloc(WAITING_MAX, sizeof *r->waiting);
    if (!r->buffer[0].data || !r->buffer[1].data || !r->waiting)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    int result = sp_block_encoder_open(&r->encoder, err);
    return result < 0 ? result : sp_rows_open(&r->rows, r->run_us, err);
}

/* A database that cannot be reached yet is tried again. */
static int open_first(struct sp_recorder *r, struct sp_error *err)
{
    struct sp_error why = {0};
    int result = sp_store_open(&r->store, r->location, true, &why);
    if (result == SP_ERR_IO && sp_store_is_url(r->location))
        return SP_OK;
    if (result < 0 && err)
        *err = why;
    return result;
}

int sp_recorder_open(struct sp_recorder **out, const struct sp_recorder_options *options,
                     struct sp_error *err)
{
    struct sp_recorder *r = calloc(1, sizeof *r);
    if (!r)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    r->options = *options;
    r->lock = -1;
    r->run_us = sp_clock_wall_us();
    r->tracks_us = sp_clock_us();
    snprintf(r->location, sizeof r->location, "%s", options->location);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->wake, &clock);
    pthread_condattr_destroy(&clock);
    int result = allocate(r, err);
    if (result == SP_OK)
        result = open_first(r, err);
    if (result == SP_OK && !sp_store_is_url(r->location))
        result = sp_path_lock_dir(r->location, &r->lock, err);
    if (result == SP_OK)
        result = sp_thread_start(&r->thread, "recorder", run, r, err);
    r->started = result == SP_OK;
    if (result < 0)
        sp_recorder_close(r);
    else
        *out = r;
    return result;
}

void sp_recorder_close(struct sp_recorder *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->mutex);
    if (r->started)
        pthread_join(r->thread, NULL);
    if (r->waiting)
        drop_oldest(r, r->waiting_count);
    free(r->waiting);
    sp_rows_close(r->rows);
    sp_block_encoder_close(r->encoder);
    sp_store_close(r->store);
    if (r->lock >= 0)
        close(r->lock);
    for (int i = 0; i < 2; i++)
        free(r->buffer[i].data);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}
