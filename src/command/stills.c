#include "command/stills.h"

#include "base/clock.h"
#include "capacity.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEP_US = 10000 };

static const int64_t WAIT_US = 2000000;

/* -1: no camera of this name has a frame. */
static int find_camera(struct sp_hub *hub, const char *name)
{
    int found = -1;
    for (int i = 0; i < SP_CAMERAS_MAX && found < 0; i++) {
        struct sp_result *result = NULL;
        struct sp_frame *frame = NULL;
        if (sp_hub_latest(hub, i, &result, &frame) && frame && strcmp(result->name, name) == 0)
            found = i;
        sp_result_unref(result);
        sp_frame_unref(frame);
    }
    return found;
}

static bool copy(struct sp_still *out, const struct sp_image *image)
{
    *out = (struct sp_still){.jpeg = malloc(image->jpeg_bytes),
                             .bytes = image->jpeg_bytes,
                             .wall_us = image->result->wall_us};
    if (out->jpeg)
        memcpy(out->jpeg, image->jpeg, image->jpeg_bytes);
    return out->jpeg != NULL;
}

struct sp_image *sp_stills_image(struct sp_stills *stills, const struct sp_stream_options *options,
                                 bool (*stopping)(void *), void *stopping_user)
{
    struct sp_encoder *encoder = atomic_load(&stills->encoder);
    struct sp_stream *stream;
    const struct timespec step = {.tv_nsec = STEP_US * 1000};
    if (!encoder || sp_stream_join(encoder, options, &stream, NULL) < 0)
        return NULL;
    int64_t until_us = sp_clock_us() + WAIT_US;
    struct sp_image *image = sp_stream_newest(stream, 0);
    while (!image && sp_clock_us() < until_us && !stopping(stopping_user)) {
        nanosleep(&step, NULL);
        image = sp_stream_newest(stream, 0);
    }
    sp_stream_leave(stream);
    return image;
}

bool sp_stills_take(void *user, const char *camera, int width_px, bool (*stopping)(void *),
                    void *stopping_user, struct sp_still *out)
{
    struct sp_stills *stills = user;
    const struct sp_stream_options options = {.camera = find_camera(stills->hub, camera),
                                              .width_px = width_px,
                                              .quality = SP_STILL_QUALITY};
    if (options.camera < 0)
        return false;
    struct sp_image *image = sp_stills_image(stills, &options, stopping, stopping_user);
    bool taken = image && copy(out, image);
    sp_image_unref(image);
    return taken;
}
