/* A model file of any bytes, searched for what its runtime does not tell. The first byte says what
 * the file is called. */
#include "engine/model_file.h"

#include "fuzz.h"

static char folder[64];

static void leave(void)
{
    (void)rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const endings[] = {"tflite", "onnx", "xml"};
    static char path[3][80];
    if (bytes == 0)
        return 0;
    if (!folder[0]) {
        atexit(leave);
        snprintf(folder, sizeof folder, "/dev/shm/spoton-fuzz-XXXXXX");
        FUZZ_CHECK(mkdtemp(folder) != NULL);
        for (int i = 0; i < 3; i++)
            snprintf(path[i], sizeof path[i], "%s/model.%s", folder, endings[i]);
    }
    const char *name = path[data[0] % 3];
    FILE *file = fopen(name, "we");
    FUZZ_CHECK(file != NULL && fwrite(data + 1, 1, bytes - 1, file) == bytes - 1);
    FUZZ_CHECK(fclose(file) == 0);
    bool quantized = sp_model_file_is_quantized(name);
    bool unpacked = sp_model_file_unpacks_weights(name);
    FUZZ_CHECK(data[0] % 3 == 0 || !(unpacked && quantized)); /* TFLite tells less */
    (void)unlink(name);
    return 0;
}
