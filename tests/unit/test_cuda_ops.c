/* The cuda engine's own operations: their arithmetic, and how ONNX Runtime takes them, on the CPU,
 * with the kernel's place taken by a loop over the same inline arithmetic. */
#include "../../src/engine/cuda/act.h"
#include "../../src/engine/cuda/custom_op.h"
#include "../../src/engine/cuda/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"

enum {
    IMAGES = 2,
    HEIGHT = 3,
    WIDTH = 5,
    CHANNELS = 24,
    COUNT = IMAGES * HEIGHT * WIDTH * CHANNELS
};

static int calls;

/* f16 of what f16 holds exactly, and back. */
static double from_half(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -size : size;
}

static uint16_t to_half(double value)
{
    int exponent;
    double size = frexp(fabs(value), &exponent); /* 0.5 <= size < 1 */
    if (size == 0.0 || exponent < -13)
        return (uint16_t)((value < 0 ? 0x8000 : 0) + (int)rint(ldexp(fabs(value), 24)));
    return (uint16_t)((value < 0 ? 0x8000 : 0) + ((exponent + 13) << 10) +
                      (int)rint(ldexp(size, 11)));
}

static double number(const void *from, size_t at, int half)
{
    return half ? from_half(((const uint16_t *)from)[at]) : (double)((const float *)from)[at];
}

int cuda_bias_act(const struct cuda_bias_act *work, cudaStream_t stream)
{
    assert_null(stream);
    ++calls;
    for (size_t i = 0; i < work->count; ++i) {
        double sum =
            number(work->x, i, work->half) + (double)work->bias[i % (size_t)work->channels];
        for (int k = 0; k < work->before_count; ++k)
            sum += number(work->before[k], i, work->half);
        sum = (double)cuda_activate((float)sum, work->activation, work->low, work->high);
        if (work->after)
            sum += number(work->after, i, work->half);
        if (work->half_out)
            ((uint16_t *)work->y)[i] = to_half(sum);
        else
            ((float *)work->y)[i] = (float)sum;
    }
    return 0;
}

static void test_activations(void **state)
{
    (void)state;
    for (int i = -300; i <= 300; ++i) {
        double x = i * 0.37;
        double silu = x / (1 + exp(-x)), clip = x < -1 ? -1 : (x > 6 ? 6 : x);
        assert_true(fabs((double)cuda_activate((float)x, CUDA_ACTIVATION_SILU, 0, 0) - silu) <=
                    1e-6 * (1 + fabs(silu)));
        assert_true(fabs((double)cuda_activate((float)x, CUDA_ACTIVATION_CLIP, -1, 6) - clip) <=
                    1e-5);
        assert_true(cuda_activate((float)x, CUDA_ACTIVATION_NONE, -1, 6) == (float)x);
    }
}

static bool make_models(char *folder, size_t folder_bytes)
{
    char script[1024], command[4096];
    const char *python = getenv("PYTHON");
    scratch_folder(folder, folder_bytes, "bias_act");
    source_path(script, sizeof script, "tests/tools/make_bias_act.py");
    snprintf(command, sizeof command, "'%s' '%s' '%s'", python && *python ? python : "python3",
             script, folder);
    // NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): a script of ours, before any thread
    int status = system(command);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return false;
    assert_int_equal(status, 0);
    return true;
}

static void check(const struct ort *ort, OrtStatus *status)
{
    char text[400] = "";
    if (ort_check(ort, status, "ONNX Runtime", text, sizeof text) < 0)
        fail_msg("%s", text);
}

static OrtSession *open_session(const struct ort *ort, const char *path, OrtStatus **status)
{
    OrtSessionOptions *settings = NULL;
    OrtSession *session = NULL;
    char text[400];
    check(ort, ort->api->CreateSessionOptions(&settings));
    check(ort, ort->api->SetSessionGraphOptimizationLevel(settings, ORT_ENABLE_ALL));
    assert_int_equal(custom_ops_add(ort, settings, NULL, text, sizeof text), 0);
    *status = ort->api->CreateSession(ort->env, path, settings, &session);
    ort->api->ReleaseSessionOptions(settings);
    return session;
}

/* Four inputs of random numbers that f16 holds, and what must come out. */
static void fill(bool half, void *inputs[4], double *expected)
{
    static unsigned seed = 5;
    double values[4][COUNT];
    for (int k = 0; k < 4; ++k)
        for (size_t i = 0; i < COUNT; ++i) {
            seed = seed * 1664525u + 1013904223u;
            values[k][i] = ldexp((double)(int)(seed >> 21) - 1024, -8);
            if (half)
                ((uint16_t *)inputs[k])[i] = to_half(values[k][i]);
            else
                ((float *)inputs[k])[i] = (float)values[k][i];
        }
    for (size_t i = 0; i < COUNT; ++i) {
        double bias = -2 + 4.0 * (double)(i % CHANNELS) / (CHANNELS - 1);
        double x = values[0][i] + bias + values[1][i] + values[2][i];
        double y = x / (1 + exp(-x)) + values[3][i];
        double z = y + bias;
        expected[i] = z < -1 ? -1 : (z > 6 ? 6 : z);
    }
}

static void run_model(const struct ort *ort, const char *path, bool half)
{
    static const char *const names[] = {"x", "a", "b", "after"}, *const outputs[] = {"z", "size"};
    static const int64_t dims[] = {IMAGES, HEIGHT, WIDTH, CHANNELS};
    static float memory[4][COUNT];
    static double expected[COUNT];
    void *inputs[4] = {memory[0], memory[1], memory[2], memory[3]};
    OrtValue *values[4] = {0}, *results[2] = {0};
    OrtStatus *status = NULL;
    OrtSession *session = open_session(ort, path, &status);
    check(ort, status);
    fill(half, inputs, expected);
    for (int k = 0; k < 4; ++k)
        check(ort, ort->api->CreateTensorWithDataAsOrtValue(
                       ort->cpu, inputs[k], COUNT * (half ? 2 : 4), dims, 4,
                       half ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
                            : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                       &values[k]));
    check(ort, ort->api->Run(session, NULL, names, (const OrtValue *const *)values, 4, outputs, 2,
                             results));
    float *z = NULL;
    int64_t *size = NULL;
    check(ort, ort->api->GetTensorMutableData(results[0], (void **)&z));
    check(ort, ort->api->GetTensorMutableData(results[1], (void **)&size));
    assert_memory_equal(size, dims, sizeof dims);
    for (size_t i = 0; i < COUNT; ++i)
        assert_true(fabs((double)z[i] - expected[i]) <= (half ? 6e-3 : 1e-5));
    for (int k = 0; k < 4; ++k)
        ort->api->ReleaseValue(values[k]);
    ort->api->ReleaseValue(results[0]);
    ort->api->ReleaseValue(results[1]);
    ort->api->ReleaseSession(session);
}

static void test_onnx_runtime_takes_them(void **state)
{
    (void)state;
    char folder[512], path[700], text[400] = "";
    const struct ort *ort = UNDER_TSAN ? NULL : ort_get(text, sizeof text);
    if (!ort || !make_models(folder, sizeof folder)) {
        print_message("skipped: %s\n", UNDER_TSAN ? "ThreadSanitizer" : text);
        skip();
    }
    snprintf(path, sizeof path, "%s/half.onnx", folder);
    assert_true(ort_is_for_cuda(path));
    run_model(ort, path, true);
    snprintf(path, sizeof path, "%s/float.onnx", folder);
    run_model(ort, path, false);
    assert_int_equal(calls, 4);
    source_path(path, sizeof path, "models/person.onnx");
    assert_false(ort_is_for_cuda(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_onnx_runtime_takes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
