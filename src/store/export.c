#include "store/export.h"

#include "publish/message.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct export
{
    const struct sp_store_export *what;
    FILE *file;
    char path[PATH_MAX];
    int64_t boxes, frame, run_us;
    uint32_t base, highest; /* of ids, over runs */
};

static void write_csv(struct export *e, const char *camera, const struct sp_read_frame *read,
                      const struct sp_stored_track *stored)
{
    struct sp_track t;
    struct sp_world_position at;
    char time[SP_TIME_BYTES], person[SP_PERSON_BYTES] = "", map[64] = ",";
    sp_stored_track_read(stored, &t, &at);
    sp_time_format(read->frame.time_us, time);
    if (at.person)
        sp_person_name(at.person, person);
    if (at.on_map)
        snprintf(map, sizeof map, "%.2f,%.2f", at.x, at.y);
    fprintf(e->file, "%s,%s,%lld,%lld,%u,%llu,%d,%u,%s,%d,%.2f,%.3f,%.3f,%.3f,%.3f,%s\n", camera,
            time, (long long)read->frame.time_us, (long long)read->run_us, read->epoch,
            (unsigned long long)read->frame.sequence, read->frame.inferred, t.id, person,
            t.class_id, t.confidence, t.x1_px, t.y1_px, t.x2_px, t.y2_px, map);
}

static void write_mot(struct export *e, const struct sp_stored_track *stored)
{
    struct sp_track t;
    struct sp_world_position at;
    sp_stored_track_read(stored, &t, &at);
    uint32_t id = e->base + t.id;
    e->highest = id > e->highest ? id : e->highest;
    fprintf(e->file, "%lld,%u,%.3f,%.3f,%.3f,%.3f,%.4f,-1,-1,-1\n", (long long)e->frame, id,
            t.x1_px, t.y1_px, t.x2_px - t.x1_px, t.y2_px - t.y1_px, t.confidence);
}

static void write_frame(struct export *e, const char *camera, const struct sp_read_frame *read)
{
    e->frame++;
    if (e->run_us != read->run_us)
        e->base = e->highest;
    e->run_us = read->run_us;
    for (size_t i = 0; i < read->frame.count; i++) {
        if (e->what->format == SP_EXPORT_CSV)
            write_csv(e, camera, read, &read->frame.tracks[i]);
        else
            write_mot(e, &read->frame.tracks[i]);
        e->boxes++;
    }
}

static int export_camera(struct sp_store *store, struct export *e, const char *camera,
                         struct sp_error *err)
{
    static const char columns[] =
        "camera,time,time_us,run_us,epoch,sequence,inferred,track,person,class,confidence,x1,y1,x2,"
        "y2,map_x,map_y\n";
    const char *const cameras[] = {camera};
    struct sp_track_reader *reader;
    struct sp_read_frame read;
    bool csv = e->what->format == SP_EXPORT_CSV;
    snprintf(e->path, sizeof e->path, "%.3900s/%s.%s", e->what->dir, camera, csv ? "csv" : "txt");
    e->file = fopen(e->path, "we");
    if (!e->file)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", e->path, strerror(errno));
    e->frame = e->run_us = 0;
    e->base = e->highest = 0;
    if (csv)
        fputs(columns, e->file);
    int result = sp_track_reader_open(&reader, store->segments, cameras, 1, e->what->from_us,
                                      e->what->to_us, err);
    if (result == SP_OK) {
        while ((result = sp_track_reader_next(reader, &read, err)) == 1)
            write_frame(e, camera, &read);
        sp_track_reader_close(reader);
    }
    bool bad = ferror(e->file);
    if ((fclose(e->file) != 0 || bad) && result == SP_OK)
        result = sp_fail(err, sp_error_from_errno(errno), "%s: cannot be written: %s", e->path,
                         strerror(errno));
    return result;
}

int sp_store_export(struct sp_store *store, const struct sp_store_export *what, int *cameras,
                    int64_t *boxes, struct sp_error *err)
{
    struct export e = {.what = what};
    struct sp_segment_list list = {0};
    int result = store->segments->api->list(store->segments, &list, err);
    *cameras = 0;
    for (size_t i = 0; i < list.count && result == SP_OK; i++) {
        const char *camera = list.item[i].camera;
        bool again = i > 0 && strcmp(list.item[i - 1].camera, camera) == 0;
        if (again || (what->camera && strcmp(what->camera, camera) != 0))
            continue;
        result = export_camera(store, &e, camera, err);
        ++*cameras;
    }
    if (result == SP_OK && what->camera && *cameras == 0)
        result = sp_fail(err, SP_ERR_NOT_FOUND, "--camera: %s is not in the store", what->camera);
    *boxes = e.boxes;
    sp_segment_list_release(&list);
    return result;
}
