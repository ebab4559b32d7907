/* Tracks of a video file, or of frames that this program makes itself, with libspoton.
 *
 *     cc tracks.c $(pkg-config --cflags --libs spoton) -o tracks
 *     ./tracks VIDEO [KEY=VALUE]...
 *
 * Prints one line per track and frame: sequence, time in seconds, id, class, box. KEY=VALUE are
 * settings of docs/CONFIG.md. VIDEO is a file; "-" makes frames in which a bright box moves. */
#include <spoton/spoton.h>

#include <stdio.h>
#include <string.h>

static void on_result(void *user, const struct spoton_result *result)
{
    (void)user;
    for (size_t i = 0; i < result->track_count; i++) {
        const struct spoton_track *t = &result->tracks[i];
        printf("%llu %.2f %u %s %.1f %.1f %.1f %.1f\n", (unsigned long long)result->sequence,
               (double)result->time_us / 1e6, t->id, t->class_name ? t->class_name : "?", t->x1,
               t->y1, t->x2, t->y2);
    }
}

static void on_log(void *user, int level, const char *text)
{
    (void)user;
    if (level <= SPOTON_LOG_WARNING)
        fprintf(stderr, "%s\n", text);
}

static int push_frames(struct spoton_camera *camera, struct spoton_error *err)
{
    enum { WIDTH = 320, HEIGHT = 192 };
    static uint8_t image[HEIGHT][WIDTH][3]; /* B, G, R */
    struct spoton_planes planes = {.struct_bytes = sizeof planes,
                                   .format = SPOTON_FORMAT_BGR,
                                   .width = WIDTH,
                                   .height = HEIGHT,
                                   .plane = {&image[0][0][0]},
                                   .stride = {3 * WIDTH}};
    int result = SPOTON_OK;
    for (int frame = 0; frame < 25 && result == SPOTON_OK; frame++) {
        memset(image, 30, sizeof image);
        for (int y = 40; y < 120; y++)
            memset(image[y][8 * frame], 235, 40 * 3);
        result = spoton_camera_push(camera, &planes, 40000 * frame, -1, NULL, err);
    }
    spoton_camera_end(camera);
    return result;
}

int main(int argc, char **argv)
{
    struct spoton_error err = {0};
    struct spoton_settings *settings = NULL;
    struct spoton_pipeline *pipeline = NULL;
    struct spoton_camera *camera = NULL;
    const char *url = argc > 1 && strcmp(argv[1], "-") != 0 ? argv[1] : NULL;
    int result = spoton_settings_open(&settings, &err);
    for (int i = 2; i < argc && result == SPOTON_OK; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals)
            *equals = '\0';
        result = spoton_settings_set(settings, argv[i], equals ? equals + 1 : NULL, &err);
    }
    struct spoton_pipeline_options options = {
        .struct_bytes = sizeof options, .settings = settings, .result = on_result, .log = on_log};
    struct spoton_camera_options about = {
        .struct_bytes = sizeof about, .name = "video", .url = url};
    if (result == SPOTON_OK)
        result = spoton_pipeline_open(&pipeline, &options, &err);
    if (result == SPOTON_OK)
        result = spoton_camera_add(&camera, pipeline, &about, &err);
    if (result == SPOTON_OK)
        result = spoton_pipeline_start(pipeline, &err);
    if (result == SPOTON_OK && !url)
        result = push_frames(camera, &err);
    if (result == SPOTON_OK)
        result = spoton_pipeline_wait(pipeline, -1, &err);
    struct spoton_camera_status status = {.struct_bytes = sizeof status};
    if (result == SPOTON_OK) {
        spoton_camera_status(camera, &status);
        result = status.error.code;
        err = result < 0 ? status.error : err;
    }
    spoton_pipeline_close(pipeline);
    spoton_settings_close(settings);
    if (result < 0)
        fprintf(stderr, "tracks: %s\n", err.text);
    return result < 0;
}
