/* An output plugin for tests; `options` chooses what frame() does: block, fail, or nothing. */
#include <spoton/output.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct spoton_output {
    int blocks, fails;
};

static struct spoton_output self;

static int test_open(struct spoton_output **out, const char *options, char *error,
                     size_t error_bytes)
{
    if (strcmp(options, "refuse") == 0) {
        snprintf(error, error_bytes, "no such broker");
        return -1;
    }
    self = (struct spoton_output){strcmp(options, "block") == 0, strcmp(options, "fail") == 0};
    *out = &self;
    return 0;
}

static void test_close(struct spoton_output *output)
{
    (void)output;
}

static int test_frame(struct spoton_output *output, const struct spoton_output_frame *frame,
                      char *error, size_t error_bytes)
{
    while (output->blocks)
        pause();
    if (output->fails)
        snprintf(error, error_bytes, "frame %llu of %s refused",
                 (unsigned long long)frame->sequence, frame->camera);
    return output->fails ? -1 : 0;
}

__attribute__((visibility("default"))) const struct spoton_output_api *spoton_output_entry(void)
{
    static const struct spoton_output_api api = {
        .abi = SPOTON_OUTPUT_ABI,
        .struct_bytes = offsetof(struct spoton_output_api, camera_begin),
#ifdef NAME
        .name = NAME,
#else
        .name = "test",
#endif
        .open = test_open,
        .close = test_close,
        .frame = test_frame,
    };
    return &api;
}
