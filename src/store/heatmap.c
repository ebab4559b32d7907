/* GET /api/v2/history/heatmap: where people's feet were in a camera's frame. */
#include "store/history.h"
#include "store/png.h"

#include <stdlib.h>
#include <string.h>

/* A longer step is a gap in the recording. */
static const int64_t STEP_US_MAX = 2000000;
enum { TRACKS = 4096, ROWS_MAX = 4 * SP_HISTORY_COLUMNS_MAX, FRAMES_A_QUESTION = 4096 };

struct heatmap {
    const struct sp_history_query *query;
    int columns, rows, width_px, height_px;
    int64_t last_us, run_us;
    bool complete;
    double *seconds;  /* [rows][columns] */
    uint32_t *visits; /* [rows][columns] */
    struct {
        uint32_t id;
        int32_t cell; /* of its last frame */
    } track[TRACKS];
};

static int allocate(struct heatmap *h, const struct sp_read_frame *frame, struct sp_error *err)
{
    h->width_px = frame->width_px;
    h->height_px = frame->height_px;
    h->columns = h->query->columns;
    h->rows = h->columns * h->height_px / (h->width_px > 0 ? h->width_px : 1);
    h->rows = h->rows < 1 ? 1 : h->rows > ROWS_MAX ? ROWS_MAX : h->rows;
    size_t cells = (size_t)h->rows * (size_t)h->columns;
    h->seconds = calloc(cells, sizeof *h->seconds);
    h->visits = calloc(cells, sizeof *h->visits);
    return h->seconds && h->visits ? SP_OK
                                   : sp_fail(err, SP_ERR_NO_MEMORY, "heatmap: out of memory");
}

static int cell_of(int64_t position, int64_t size_px, int cells)
{
    int64_t cell = size_px > 0 ? position * cells / (size_px * SP_STORED_BOX_STEPS) : 0;
    return (int)(cell < 0 ? 0 : cell >= cells ? cells - 1 : cell);
}

static void add_frame(struct heatmap *h, const struct sp_read_frame *read)
{
    const struct sp_stored_frame *frame = &read->frame;
    int64_t step_us = frame->time_us - h->last_us;
    bool follows = h->run_us == read->run_us && step_us > 0 && step_us <= STEP_US_MAX;
    h->last_us = frame->time_us;
    h->run_us = read->run_us;
    for (size_t i = 0; i < frame->count; i++) {
        const struct sp_stored_track *t = &frame->tracks[i];
        int column = cell_of(((int64_t)t->box[0] + t->box[2]) / 2, read->width_px, h->columns);
        int row = cell_of(t->box[3], read->height_px, h->rows);
        int32_t cell = row * h->columns + column;
        size_t at = t->id % TRACKS;
        if (follows)
            h->seconds[cell] += (double)step_us / 1e6;
        if (h->track[at].id != t->id || h->track[at].cell != cell)
            h->visits[cell]++;
        h->track[at].id = t->id;
        h->track[at].cell = cell;
    }
}

static int read_all(struct sp_store *store, struct heatmap *h, struct sp_error *err)
{
    const struct sp_history_query *q = h->query;
    const char *const cameras[] = {q->camera};
    struct sp_track_reader *reader;
    struct sp_read_frame frame;
    int result =
        sp_track_reader_open(&reader, store->segments, cameras, 1, q->from_us, q->to_us, err);
    if (result < 0)
        return result;
    h->complete = true;
    for (unsigned n = 1; (result = sp_track_reader_next(reader, &frame, err)) == 1; n++) {
        if (!frame.frame.inferred)
            continue;
        if (!h->seconds && (result = allocate(h, &frame, err)) < 0)
            break;
        add_frame(h, &frame);
        if (n % FRAMES_A_QUESTION == 0 && sp_history_is_over(q)) {
            h->complete = false;
            result = SP_OK;
            break;
        }
    }
    sp_track_reader_close(reader);
    if (result == SP_OK && !h->seconds)
        result = sp_fail(err, SP_ERR_NOT_FOUND, "camera: %s has no stored tracks in this time",
                         q->camera);
    return result;
}

static double highest(const struct heatmap *h)
{
    double most = 0;
    for (int i = 0; i < h->rows * h->columns; i++)
        most = h->seconds[i] > most ? h->seconds[i] : most;
    return most;
}

static void put_rows(const struct heatmap *h, struct sp_json *json, bool visits)
{
    sp_json_key(json, visits ? "visits" : "seconds");
    sp_json_begin_array(json);
    for (int y = 0; y < h->rows; y++) {
        sp_json_begin_array(json);
        for (int x = 0; x < h->columns; x++) {
            if (visits)
                sp_json_int(json, h->visits[y * h->columns + x]);
            else
                sp_json_number(json, h->seconds[y * h->columns + x], 2);
        }
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
}

static void put_json(const struct heatmap *h, struct sp_json *json)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "camera", h->query->camera);
    sp_json_member_int(json, "columns", h->columns);
    sp_json_member_int(json, "rows", h->rows);
    sp_json_member_int(json, "width", h->width_px);
    sp_json_member_int(json, "height", h->height_px);
    put_rows(h, json, false);
    put_rows(h, json, true);
    sp_json_member_number(json, "max_s", highest(h), 2);
    sp_json_member_bool(json, "complete", h->complete);
    sp_json_end_object(json);
}

static int put_png(const struct heatmap *h, struct sp_history_reply *reply, struct sp_error *err)
{
    size_t cells = (size_t)h->rows * (size_t)h->columns;
    uint8_t *pixels = calloc(cells + 1, 4);
    double most = highest(h);
    for (size_t i = 0; pixels && i < cells; i++) {
        double share = most > 0 ? h->seconds[i] / most : 0;
        pixels[4 * i] = 255;
        pixels[4 * i + 1] = (uint8_t)(200 * (1 - share)); /* from yellow to red */
        pixels[4 * i + 3] = (uint8_t)(255 * share + 0.5);
    }
    if (pixels)
        reply->image =
            sp_png_write(pixels, (uint32_t)h->columns, (uint32_t)h->rows, &reply->image_bytes);
    free(pixels);
    return reply->image ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "heatmap: out of memory");
}

int sp_history_heatmap(struct sp_store *store, const struct sp_history_query *query,
                       struct sp_history_reply *reply, struct sp_error *err)
{
    struct heatmap *h = calloc(1, sizeof *h);
    if (!h)
        return sp_fail(err, SP_ERR_NO_MEMORY, "heatmap: out of memory");
    h->query = query;
    int result = read_all(store, h, err);
    if (result == SP_OK && query->png)
        result = put_png(h, reply, err);
    else if (result == SP_OK)
        put_json(h, reply->json);
    free(h->seconds);
    free(h->visits);
    free(h);
    return result;
}
