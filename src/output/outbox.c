#include "output/outbox.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/thread.h"
#include "output/outbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_BYTES_MAX = 4 << 20,
    SEGMENT_BYTES_MAX = 16 << 20,
    ENTRY_BYTES_MAX = SP_ENTRY_HEADER_BYTES + SP_RECORD_BYTES_MAX,
    SHARES = 8, /* segments in a full outbox, at least */
    LOCK_TRIES = 30,
};

static const int64_t WRITE_US = 20000, RETRY_US = 1000000, SAVE_US = 1000000, LOCK_US = 100000;

/* Room between the epochs of two starts, for those of cameras, should the clock have gone back. */
static const uint64_t EPOCH_STEP = 1 << 20;

static int64_t clock_us(const struct sp_outbox *o)
{
    return o->clock_before_us + sp_clock_us() - o->opened_us;
}

/* ---- appending ---- */

/* Where the next record goes, or NULL: it is dropped. With the mutex. */
static uint8_t *next_entry(struct sp_outbox *o, int camera, uint64_t epoch,
                           struct sp_record_head *head)
{
    bool known = camera >= 0 && camera < SP_CAMERAS_MAX;
    int index = known ? camera : SP_CAMERAS_MAX;
    if (epoch > o->cameras[index].epoch) {
        o->cameras[index].epoch = epoch;
        o->cameras[index].sequence = 0;
    }
    *head = (struct sp_record_head){
        .number = o->next_number++,
        .epoch = o->cameras[index].epoch,
        .sequence = ++o->cameras[index].sequence,
    };
    struct buffer *b = &o->buffer[o->filling];
    if (b->used + ENTRY_BYTES_MAX <= o->buffer_bytes)
        return b->data + b->used;
    o->report.dropped++;
    return NULL;
}

static void end_entry(struct sp_outbox *o, uint8_t *entry, size_t record_bytes)
{
    struct buffer *b = &o->buffer[o->filling];
    if (b->used == 0)
        pthread_cond_signal(&o->appended);
    b->used += sp_segment_seal_entry(entry, record_bytes);
    b->next_number = o->next_number;
    o->report.appended++;
}

void sp_outbox_frame(struct sp_outbox *o, const struct sp_result *result)
{
    struct sp_record_head head;
    pthread_mutex_lock(&o->mutex);
    uint8_t *entry = next_entry(o, result->camera, result->generation, &head);
    if (entry)
        end_entry(o, entry,
                  sp_record_frame(entry + SP_ENTRY_HEADER_BYTES, &head, result, o->classes));
    pthread_mutex_unlock(&o->mutex);
}

void sp_outbox_event(struct sp_outbox *o, const struct sp_event *event)
{
    struct sp_record_head head;
    pthread_mutex_lock(&o->mutex);
    uint8_t *entry = next_entry(o, event->camera_index, event->epoch, &head);
    if (entry)
        end_entry(o, entry, sp_record_event(entry + SP_ENTRY_HEADER_BYTES, &head, event));
    pthread_mutex_unlock(&o->mutex);
}

/* ---- segments ---- */

static struct segment *newest(struct sp_outbox *o)
{
    return o->segment_count > 0 ? &o->segments[o->segment_count - 1] : NULL;
}

static void delete_oldest(struct sp_outbox *o)
{
    char name[SEGMENT_NAME_BYTES];
    outbox_segment_name(o->segments[0].base, name);
    unlinkat(o->folder, name, 0);
    pthread_mutex_lock(&o->mutex);
    o->report.bytes -= o->segments[0].bytes;
    memmove(o->segments, o->segments + 1, (size_t)--o->segment_count * sizeof *o->segments);
    pthread_mutex_unlock(&o->mutex);
}

/* With the mutex. */
static bool is_committed(const struct sp_outbox *o, uint64_t end)
{
    bool any = false;
    for (int i = 0; i < OUTBOX_READERS_MAX; i++) {
        const struct sp_outbox_reader *r = o->readers[i];
        if (r && r->saved_position < end)
            return false;
        any |= r != NULL;
    }
    return any;
}

static bool oldest_is_superfluous(struct sp_outbox *o, uint64_t more_bytes)
{
    if (o->segment_count < 2)
        return false;
    pthread_mutex_lock(&o->mutex);
    const struct segment *s = o->segments;
    bool too_many = o->report.bytes + more_bytes > o->options.max_bytes ||
                    o->segment_count > OUTBOX_SEGMENTS_MAX - 2;
    bool too_old = clock_us(o) - s[1].clock_us > o->options.max_age_us;
    bool superfluous = too_many || too_old || is_committed(o, s->base + s->bytes);
    pthread_mutex_unlock(&o->mutex);
    return superfluous;
}

static void delete_superfluous(struct sp_outbox *o, uint64_t more_bytes)
{
    while (oldest_is_superfluous(o, more_bytes))
        delete_oldest(o);
}

static bool begin_segment(struct sp_outbox *o, uint64_t first_number)
{
    char name[SEGMENT_NAME_BYTES];
    uint8_t data[SP_SEGMENT_HEADER_BYTES];
    const struct segment *last = newest(o);
    struct sp_segment_header header = {.base = last ? last->base + last->bytes : 0,
                                       .number = first_number,
                                       .clock_us = clock_us(o)};
    if (o->file >= 0 && o->unsynced && fdatasync(o->file) < 0)
        return false;
    outbox_segment_name(header.base, name);
    int file = openat(o->folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return false;
    sp_segment_write_header(data, &header);
    if (pwrite(file, data, sizeof data, 0) != (ssize_t)sizeof data || fsync(o->folder) < 0) {
        int why = errno ? errno : ENOSPC;
        close(file);
        unlinkat(o->folder, name, 0);
        errno = why;
        return false;
    }
    if (o->file >= 0)
        close(o->file);
    o->file = file;
    pthread_mutex_lock(&o->mutex);
    o->segments[o->segment_count++] = (struct segment){.base = header.base,
                                                       .number = first_number,
                                                       .bytes = sizeof data,
                                                       .clock_us = header.clock_us};
    o->report.bytes += sizeof data;
    pthread_mutex_unlock(&o->mutex);
    return true;
}

/* Only at the end of a buffer, so that no entry is in two segments. */
static bool needs_segment(struct sp_outbox *o)
{
    const struct segment *s = newest(o);
    return o->file < 0 || (s->bytes > SP_SEGMENT_HEADER_BYTES &&
                           (s->bytes >= o->segment_bytes ||
                            clock_us(o) - s->clock_us > o->options.max_age_us / SHARES));
}

/* Continues where it failed. False: errno is set. */
static bool write_pending(struct sp_outbox *o, const struct buffer *b)
{
    if (o->pending_done == 0) {
        delete_superfluous(o, b->used);
        if (needs_segment(o) && !begin_segment(o, o->written_number))
            return false;
    }
    while (o->pending_done < b->used) {
        ssize_t n = pwrite(o->file, b->data + o->pending_done, b->used - o->pending_done,
                           (off_t)(newest(o)->bytes + o->pending_done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        o->pending_done += (size_t)n;
    }
    return true;
}

static void publish_pending(struct sp_outbox *o, struct buffer *b)
{
    pthread_mutex_lock(&o->mutex);
    newest(o)->bytes += b->used;
    o->report.bytes += b->used;
    o->written_number = b->next_number;
    b->used = 0;
    pthread_cond_broadcast(&o->readable);
    pthread_mutex_unlock(&o->mutex);
    o->pending = false;
    o->pending_done = 0;
    o->unsynced = true;
}

/* ---- the thread ---- */

static void set_state(struct sp_outbox *o, enum sp_outbox_state state, int why)
{
    char text[sizeof o->report.error] = "";
    if (state == SP_OUTBOX_FULL_DISK)
        snprintf(text, sizeof text, "outbox %.120s: no space left on the disk; free some space",
                 o->options.dir);
    else if (state == SP_OUTBOX_FAILING)
        snprintf(text, sizeof text, "outbox %.120s: %s; check the disk", o->options.dir,
                 strerror(why));
    pthread_mutex_lock(&o->mutex);
    bool changed = o->report.state != state;
    o->report.state = state;
    memcpy(o->report.error, text, sizeof text);
    void (*listener)(void *, enum sp_outbox_state, const char *) = o->listener;
    void *user = o->listener_user;
    pthread_mutex_unlock(&o->mutex);
    if (!changed)
        return;
    if (state == SP_OUTBOX_WORKING)
        sp_log(SP_LOG_INFO, "outbox %s: writing again", o->options.dir);
    else
        sp_log(SP_LOG_ERROR, "%s", text);
    if (listener)
        listener(user, state, text);
}

static void report_failure(struct sp_outbox *o, int why)
{
    bool full = why == ENOSPC || why == EDQUOT;
    set_state(o, full ? SP_OUTBOX_FULL_DISK : SP_OUTBOX_FAILING, why);
}

static void save_cursors(struct sp_outbox *o)
{
    pthread_mutex_lock(&o->mutex);
    for (int i = 0; i < OUTBOX_READERS_MAX; i++) {
        struct sp_outbox_reader *r = o->readers[i];
        if (r && r->saved_position != r->committed.position &&
            sp_number_pair_write(&r->cursor, r->committed.position, r->committed.number))
            r->saved_position = r->committed.position;
    }
    pthread_mutex_unlock(&o->mutex);
}

static void sync_all(struct sp_outbox *o)
{
    int64_t now_us = sp_clock_us();
    o->synced_us = now_us;
    if (o->unsynced && fdatasync(o->file) == 0)
        o->unsynced = false;
    save_cursors(o);
    if (now_us - o->clock_saved_us >= SAVE_US) {
        sp_number_pair_write(&o->state, (uint64_t)clock_us(o), o->epoch);
        o->clock_saved_us = now_us;
        delete_superfluous(o, 0);
    }
}

/* Waits for records, or until the next sync; if `retry`, for the time between two tries. Returns
 * false: stopping, and there is nothing left to write. */
static bool wait_for_work(struct sp_outbox *o, bool retry)
{
    int64_t wait_us = retry ? RETRY_US : o->options.sync_us;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(wait_us % 1000000 * 1000);
    until.tv_sec += wait_us / 1000000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&o->mutex);
    while (!o->stopping && (retry || o->buffer[o->filling].used == 0) &&
           pthread_cond_timedwait(&o->appended, &o->mutex, &until) != ETIMEDOUT)
        ;
    if (!o->pending && o->buffer[o->filling].used > 0) {
        o->pending = true;
        o->filling = 1 - o->filling;
    }
    bool more = !o->stopping || (o->pending && !retry);
    pthread_mutex_unlock(&o->mutex);
    return more;
}

static void *run(void *argument)
{
    struct sp_outbox *o = argument;
    const struct timespec pause = {.tv_nsec = WRITE_US * 1000};
    bool failed = false;
    while (wait_for_work(o, failed)) {
        struct buffer *b = &o->buffer[1 - o->filling];
        failed = o->pending && !write_pending(o, b);
        if (failed)
            report_failure(o, errno);
        else if (o->pending)
            publish_pending(o, b);
        if (!failed && o->report.state != SP_OUTBOX_WORKING)
            set_state(o, SP_OUTBOX_WORKING, 0);
        if (sp_clock_us() - o->synced_us >= o->options.sync_us)
            sync_all(o);
        if (!failed)
            nanosleep(&pause, NULL); /* so that one write has several records */
    }
    o->clock_saved_us = 0;
    sync_all(o);
    return NULL;
}

/* ---- opening and closing ---- */

static int open_folder(struct sp_outbox *o, struct sp_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_US * 1000};
    int result = sp_path_make_dirs(o->options.dir, err);
    if (result < 0)
        return result;
    /* A program that is being replaced may still end. */
    for (int i = 0; i < LOCK_TRIES; i++) {
        struct sp_error why = {0};
        result = sp_path_lock_dir(o->options.dir, &o->folder, &why);
        if (result != SP_ERR_CLOSED)
            break;
        nanosleep(&pause, NULL);
    }
    if (result == SP_ERR_CLOSED)
        return sp_fail(err, result,
                       "outbox %s: another spoton uses the folder; set OUTBOX_DIR to another one",
                       o->options.dir);
    if (o->folder < 0) /* no locks on this file system */
        o->folder = open(o->options.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return o->folder >= 0 ? SP_OK
                          : sp_fail(err, sp_error_from_errno(errno), "outbox %s: %s",
                                    o->options.dir, strerror(errno));
}

static int read_identity(struct sp_outbox *o, struct sp_error *err)
{
    struct sp_number_pair pair;
    uint64_t identity = 0, unused = 0;
    int result = sp_number_pair_open(&pair, o->folder, "identity", &identity, &unused, err);
    if (result < 0)
        return result;
    uint32_t random;
    if (identity == 0 && getrandom(&random, sizeof random, 0) == (ssize_t)sizeof random) {
        identity = random | 1U;
        sp_number_pair_write(&pair, identity, 0);
    }
    sp_number_pair_close(&pair);
    o->identity = (unsigned)identity;
    return SP_OK;
}

static int restore(struct sp_outbox *o, struct sp_error *err)
{
    uint64_t clock = 0, epoch = 0;
    int result = open_folder(o, err);
    if (result == SP_OK)
        result = sp_number_pair_open(&o->state, o->folder, "state", &clock, &epoch, err);
    if (result == SP_OK)
        result = read_identity(o, err);
    if (result == SP_OK)
        result = outbox_recover(o, err);
    if (result < 0)
        return result;
    o->clock_before_us = (int64_t)clock;
    o->written_number = o->next_number;
    uint64_t now = (uint64_t)sp_clock_wall_us();
    o->epoch = now > epoch + EPOCH_STEP ? now : epoch + EPOCH_STEP;
    for (int i = 0; i <= SP_CAMERAS_MAX; i++)
        o->cameras[i].epoch = o->epoch;
    if (!sp_number_pair_write(&o->state, clock, o->epoch) || fsync(o->state.file) < 0)
        return sp_fail(err, sp_error_from_errno(errno), "outbox %s: %s; check the disk",
                       o->options.dir, strerror(errno));
    return SP_OK;
}

int sp_outbox_open(struct sp_outbox **out, const struct sp_outbox_options *options,
                   struct sp_error *err)
{
    struct sp_outbox *o = calloc(1, sizeof *o);
    if (!o)
        return sp_fail(err, SP_ERR_NO_MEMORY, "outbox: out of memory");
    o->options = *options;
    o->options.dir = strdup(options->dir);
    o->folder = o->file = o->state.file = -1;
    o->opened_us = o->synced_us = sp_clock_us();
    if (o->options.max_bytes < SP_OUTBOX_BYTES_MIN)
        o->options.max_bytes = SP_OUTBOX_BYTES_MIN;
    uint64_t share = o->options.max_bytes / SHARES;
    o->segment_bytes = share < SEGMENT_BYTES_MAX ? share : SEGMENT_BYTES_MAX;
    o->buffer_bytes = share * 2 < BUFFER_BYTES_MAX ? share * 2 : BUFFER_BYTES_MAX;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->appended, &clock);
    pthread_cond_init(&o->readable, &clock);
    pthread_condattr_destroy(&clock);
    o->segments = calloc(OUTBOX_SEGMENTS_MAX, sizeof *o->segments);
    for (int i = 0; i < 2; i++)
        o->buffer[i].data = malloc(o->buffer_bytes);
    int result = o->options.dir && o->segments && o->buffer[0].data && o->buffer[1].data
                     ? restore(o, err)
                     : sp_fail(err, SP_ERR_NO_MEMORY, "outbox: out of memory");
    if (result == SP_OK)
        result = sp_thread_start(&o->thread, "outbox", run, o, err);
    o->started = result == SP_OK;
    if (result < 0)
        sp_outbox_close(o);
    else
        *out = o;
    return result;
}

void sp_outbox_listen(struct sp_outbox *o,
                      void (*state)(void *user, enum sp_outbox_state state, const char *text),
                      void *user)
{
    pthread_mutex_lock(&o->mutex);
    o->listener = state;
    o->listener_user = user;
    pthread_mutex_unlock(&o->mutex);
}

void sp_outbox_end(struct sp_outbox *o)
{
    if (!o || !o->started)
        return;
    pthread_mutex_lock(&o->mutex);
    o->stopping = true;
    pthread_cond_broadcast(&o->appended);
    pthread_mutex_unlock(&o->mutex);
    pthread_join(o->thread, NULL);
    o->started = false;
}

void sp_outbox_close(struct sp_outbox *o)
{
    if (!o)
        return;
    sp_outbox_end(o);
    if (o->file >= 0)
        close(o->file);
    sp_number_pair_close(&o->state);
    if (o->folder >= 0)
        close(o->folder);
    for (int i = 0; i < 2; i++)
        free(o->buffer[i].data);
    pthread_cond_destroy(&o->appended);
    pthread_cond_destroy(&o->readable);
    pthread_mutex_destroy(&o->mutex);
    free(o->segments);
    free((char *)o->options.dir);
    free(o);
}

uint64_t sp_outbox_epoch(const struct sp_outbox *o)
{
    return o->epoch;
}

unsigned sp_outbox_identity(const struct sp_outbox *o)
{
    return o->identity;
}

void sp_outbox_set_classes(struct sp_outbox *o, const struct sp_class_names *classes)
{
    pthread_mutex_lock(&o->mutex);
    o->classes = classes;
    pthread_mutex_unlock(&o->mutex);
}

void sp_outbox_report(struct sp_outbox *o, struct sp_outbox_report *report)
{
    pthread_mutex_lock(&o->mutex);
    *report = o->report;
    pthread_mutex_unlock(&o->mutex);
}
