/* An output plugin that appends each inferred frame and each event to a file, one JSON object per
 * line. OUTPUTS=jsonl?path=/var/lib/spoton/results.jsonl
 *
 * The program calls it on a thread of its own: writing may block without delaying cameras. */
#include <spoton/output.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spoton_output {
    FILE *file;
};

static int fail(char *error, size_t error_bytes, const char *what)
{
    snprintf(error, error_bytes, "%s: %s", what, strerror(errno));
    return -1;
}

static int jsonl_open(struct spoton_output **out, const char *options, char *error,
                      size_t error_bytes)
{
    if (strncmp(options, "path=", 5) != 0 || options[5] == '\0') {
        snprintf(error, error_bytes, "no file; write jsonl?path=FILE");
        return -1;
    }
    struct spoton_output *output = calloc(1, sizeof *output);
    if (!output)
        return fail(error, error_bytes, "jsonl");
    output->file = fopen(options + 5, "ae");
    if (!output->file) {
        free(output);
        return fail(error, error_bytes, options + 5);
    }
    *out = output;
    return 0;
}

static void jsonl_close(struct spoton_output *output)
{
    fclose(output->file);
    free(output);
}

/* Names of cameras need no escaping: they are letters, digits, '.', '_' and '-'. */
static int jsonl_frame(struct spoton_output *output, const struct spoton_output_frame *frame,
                       char *error, size_t error_bytes)
{
    if (!frame->inferred)
        return 0;
    fprintf(output->file,
            "{\"camera\": \"%s\", \"epoch\": %llu, \"sequence\": %llu, \"wall_us\": %lld, "
            "\"tracks\": [",
            frame->camera, (unsigned long long)frame->epoch, (unsigned long long)frame->sequence,
            (long long)frame->wall_us);
    for (size_t i = 0; i < frame->track_count; i++) {
        const struct spoton_output_track *t = &frame->tracks[i];
        fprintf(output->file,
                "%s{\"id\": %u, \"confidence\": %.3f, \"box\": [%.1f, %.1f, %.1f, %.1f]}",
                i ? ", " : "", t->id, t->confidence, t->x1, t->y1, t->x2, t->y2);
    }
    return fprintf(output->file, "]}\n") < 0 ? fail(error, error_bytes, "write") : 0;
}

static int jsonl_event(struct spoton_output *output, const struct spoton_output_event *event,
                       char *error, size_t error_bytes)
{
    int written = fprintf(
        output->file, "{\"id\": \"%s\", \"event\": \"%s\", \"wall_us\": %lld, \"payload\": %s}\n",
        event->id, event->kind, (long long)event->wall_us, event->payload);
    return written < 0 ? fail(error, error_bytes, "write") : 0;
}

static int jsonl_flush(struct spoton_output *output, char *error, size_t error_bytes)
{
    return fflush(output->file) == 0 ? 0 : fail(error, error_bytes, "write");
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = sizeof api,
        .name = "jsonl",
        .open = jsonl_open,
        .close = jsonl_close,
        .frame = jsonl_frame,
        .event = jsonl_event,
        .flush = jsonl_flush,
    };
    return &api;
}
