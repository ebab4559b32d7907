/* The fused executor without a device: graphs are read and become plans whose operations, run on
 * the CPU in the places that the plan gave them, compute what ONNX Runtime does. */
#include "../../src/engine/cuda/fused/choice.h"
#include "../../src/engine/cuda/fused/keep.h"
#include "fused_graphs.h"

#include <math.h>
#include <unistd.h>

static bool have_graphs;

static struct fused_plan *open_case(const struct fused_case *c)
{
    char path[800], error[300] = "";
    struct fused_plan *plan = NULL;
    fused_path(path, sizeof path, c->name, "onnx");
    if (fused_plan_open(&plan, path, c->height, c->width, 1, error, sizeof error) < 0)
        print_message("%s: %s\n", c->name, error);
    assert_non_null(plan);
    return plan;
}

static int count_kind(const struct fused_plan *plan, enum fused_op_kind kind)
{
    int count = 0;
    for (int i = 0; i < plan->op_count; ++i)
        count += plan->op[i].kind == kind;
    return count;
}

/* ||found - wanted|| / ||wanted|| */
static double difference(const float *found, const float *wanted, size_t count)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < count; ++i) {
        error += pow((double)found[i] - (double)wanted[i], 2);
        size += pow((double)wanted[i], 2);
    }
    return sqrt(error / size);
}

static double run_case(const struct fused_case *c, bool round)
{
    struct fused_plan *plan = open_case(c);
    size_t wanted_count, count = 0;
    float *pixels = read_pixels(c), *wanted = read_floats(c->name, "out", &wanted_count);
    float *found = calloc(wanted_count, sizeof *found), *outputs[FUSED_PORTS_MAX];
    char error[300];
    for (int i = 0; i < plan->output_count; ++i) {
        outputs[i] = found + count;
        count += (size_t)plan->buffer[plan->output[i]].count;
        assert_true(count <= wanted_count);
    }
    assert_int_equal(count, wanted_count);
    assert_int_equal(fused_reference_run(plan, pixels, outputs, round, error, sizeof error), 0);
    double relative = difference(found, wanted, count);
    fused_plan_close(plan);
    free(pixels);
    free(wanted);
    free(found);
    return relative;
}

static void test_plans_compute_what_the_graphs_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < FUSED_CASES && have_graphs; ++i) {
        double relative = run_case(&fused_cases[i], false);
        if (!(relative < 1e-5))
            print_message("%s: relative error %g\n", fused_cases[i].name, relative);
        assert_true(relative < 1e-5);
    }
}

static void test_rounded_to_f16_they_are_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < FUSED_CASES && have_graphs; ++i) {
        if (strcmp(fused_cases[i].name, "v26") == 0)
            continue; /* close confidences may be in another order */
        double relative = run_case(&fused_cases[i], true);
        if (!(relative > 1e-7 && relative < 5e-3))
            print_message("%s: relative error %g\n", fused_cases[i].name, relative);
        assert_true(relative > 1e-7 && relative < 5e-3);
    }
}

static void test_concatenations_are_written_in_place(void **state)
{
    (void)state;
    if (!have_graphs)
        return;
    struct fused_plan *plan = open_case(&fused_cases[0]); /* v8: splits, and levels that meet */
    assert_int_equal(count_kind(plan, FUSED_COPY), 0);
    assert_int_equal(count_kind(plan, FUSED_SPPF), 1);
    assert_int_equal(count_kind(plan, FUSED_ADD), 0); /* shortcuts go with their convolutions */
    assert_int_equal(count_kind(plan, FUSED_HEAD), 4);
    assert_int_equal(count_kind(plan, FUSED_TAIL), 1);
    fused_plan_close(plan);
    plan = open_case(&fused_cases[1]); /* v5: cv1 and cv2 of each of two blocks are one */
    assert_int_equal(count_kind(plan, FUSED_COPY), 0);
    assert_int_equal(count_kind(plan, FUSED_CONV), 14);
    fused_plan_close(plan);
    plan = open_case(&fused_cases[2]); /* v26 */
    assert_int_equal(count_kind(plan, FUSED_COPY), 0);
    assert_int_equal(count_kind(plan, FUSED_ATTENTION), 1);
    assert_int_equal(count_kind(plan, FUSED_TOPK), 2);
    fused_plan_close(plan);
    plan = open_case(&fused_cases[3]); /* sums: former and latter are one, and so is their join */
    assert_int_equal(count_kind(plan, FUSED_CONV), 6);
    assert_int_equal(count_kind(plan, FUSED_COPY), 0);
    fused_plan_close(plan);
    plan = open_case(&fused_cases[4]); /* odd: turned around, and twice the same */
    assert_true(count_kind(plan, FUSED_COPY) > 0);
    assert_int_equal(count_kind(plan, FUSED_ADD), 2);
    fused_plan_close(plan);
}

/* Whatever the streams do: an operation begins when what it waits for is done, and that alone. */
static bool comes_before(const struct fused_plan *plan, int a, int b)
{
    for (int i = 0; i < plan->op[b].depend_count; ++i)
        if (plan->op[b].depends[i] == a || comes_before(plan, a, plan->op[b].depends[i]))
            return true;
    return false;
}

static bool shares_memory(const struct fused_buffer *a, const struct fused_buffer *b)
{
    return !a->outside && !b->outside && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

static void test_memory_is_shared_only_in_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < FUSED_CASES && have_graphs; ++i) {
        struct fused_plan *plan = open_case(&fused_cases[i]);
        size_t all = 0;
        for (int a = 0; a < plan->op_count; ++a)
            for (int b = 0; b < a; ++b) {
                const struct fused_op *late = &plan->op[a], *early = &plan->op[b];
                if (early->y.buffer < 0 || late->y.buffer < 0 || late->y.buffer == early->y.buffer)
                    continue;
                if (shares_memory(&plan->buffer[early->y.buffer], &plan->buffer[late->y.buffer]))
                    assert_true(comes_before(plan, b, a));
            }
        for (int b = 0; b < plan->buffer_count; ++b) {
            all += plan->buffer[b].outside ? 0 : plan->buffer[b].bytes;
            assert_true(plan->buffer[b].outside ||
                        plan->buffer[b].offset + plan->buffer[b].bytes <= plan->arena_bytes);
        }
        assert_true(plan->arena_bytes < all); /* some is */
        fused_plan_close(plan);
    }
}

static void test_heads_get_streams_of_their_own(void **state)
{
    (void)state;
    if (!have_graphs)
        return;
    struct fused_plan *plan = open_case(&fused_cases[0]);
    assert_true(plan->streams > 2);
    for (int i = 0; i < plan->op_count; ++i) {
        assert_true(plan->op[i].stream < plan->streams);
        for (int k = 0; k < plan->op[i].depend_count; ++k)
            assert_true(plan->op[i].depends[k] < i);
    }
    fused_plan_close(plan);
}

static void test_the_input_may_be_scaled(void **state)
{
    (void)state;
    if (!have_graphs)
        return;
    const struct fused_case *c = &fused_cases[1];
    char path[800], error[300];
    struct fused_plan *plan = NULL;
    size_t count, pixel_count = (size_t)c->height * (size_t)c->width * 3;
    float *pixels = read_pixels(c), *wanted = read_floats(c->name, "out", &count);
    float *found = calloc(count, sizeof *found), *outputs[] = {found};
    fused_path(path, sizeof path, c->name, "onnx");
    assert_int_equal(fused_plan_open(&plan, path, c->height, c->width, 0.25f, error, sizeof error),
                     0);
    for (size_t i = 0; i < pixel_count; ++i)
        pixels[i] *= 4;
    assert_int_equal(fused_reference_run(plan, pixels, outputs, false, error, sizeof error), 0);
    assert_true(difference(found, wanted, count) < 1e-5);
    fused_plan_close(plan);
    free(pixels);
    free(wanted);
    free(found);
}

static void test_unknown_graphs_are_refused_in_words(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"refuse_activation", "HardSwish"}, {"refuse_channels", "multiple of 8"},
        {"refuse_last", "not 1x1"},         {"refuse_input", "input"},
        {"refuse_groups", "Conv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases && have_graphs; ++i) {
        char path[800], error[300] = "";
        struct fused_plan *plan = NULL;
        fused_path(path, sizeof path, cases[i][0], "onnx");
        assert_true(fused_plan_open(&plan, path, 64, 64, 1, error, sizeof error) < 0);
        assert_null(plan);
        if (!strstr(error, cases[i][1]))
            print_message("%s: %s\n", cases[i][0], error);
        assert_non_null(strstr(error, cases[i][1]));
    }
}

static void test_the_bundled_model_is_known(void **state)
{
    (void)state;
    char path[600], error[300];
    struct fused_plan *plan = NULL;
    source_path(path, sizeof path, "models/person.onnx");
    assert_int_equal(fused_plan_open(&plan, path, 384, 640, 1, error, sizeof error), 0);
    assert_int_equal(plan->output_count, 1);
    assert_int_equal(plan->buffer[plan->output[0]].count, 5 * 5040);
    assert_int_equal(count_kind(plan, FUSED_COPY), 0);
    fused_plan_close(plan);
}

static void test_any_bytes_are_fine(void **state)
{
    (void)state;
    if (!have_graphs)
        return;
    char path[800], error[300];
    fused_path(path, sizeof path, "sums", "onnx");
    FILE *file = fopen(path, "rbe");
    static uint8_t bytes[1 << 20], changed[1 << 20];
    size_t count = fread(bytes, 1, sizeof bytes, file);
    unsigned seed = 1;
    int read = 0;
    fclose(file);
    assert_true(count > 1000 && count < sizeof bytes);
    for (int i = 0; i < 400; ++i) {
        struct fused_onnx graph;
        struct fused_plan *plan = NULL;
        size_t length = i % 2 ? count * (size_t)(i + 1) / 401 : count;
        memcpy(changed, bytes, count);
        for (int k = 0; k < 3 && i % 2 == 0; ++k) {
            seed = seed * 1664525u + 1013904223u;
            changed[(seed >> 4) % count] = (uint8_t)(seed >> 24);
        }
        if (fused_onnx_parse(&graph, changed, length, error, sizeof error) < 0)
            continue;
        ++read;
        if (fused_plan_open_graph(&plan, &graph, 64, 96, 1, error, sizeof error) == 0)
            fused_plan_close(plan);
    }
    assert_true(read > 0);
}

/* ---- choices and kept files ---- */

static void test_choices_are_found_and_kept(void **state)
{
    (void)state;
    struct fused_choices choices = {0}, again = {0};
    struct fused_conv conv = {.images = 4,
                              .in = 64,
                              .out = 128,
                              .height = 320,
                              .width = 320,
                              .window = {.kernel = {3, 3}, .stride = {2, 2}},
                              .activation = CUDA_ACTIVATION_SILU};
    char folder[512], path[600];
    scratch_folder(folder, sizeof folder, "fused_choices");
    snprintf(path, sizeof path, "%s/choices.txt", folder);
    unlink(path);
    assert_int_equal(fused_choices_find(&choices, &conv), FUSED_BY_HEURISTICS);
    assert_false(fused_choices_knows(&choices, &conv));
    assert_true(fused_choices_read(&choices, path) < 0);
    fused_choices_shipped(&choices, 80, 91900);
    assert_int_equal(choices.count, 0); /* nothing was measured there */
    fused_choices_shipped(&choices, 90, 91900);
    assert_true(choices.count > 100);
    assert_true(fused_choices_find(&choices, &conv) >= 0);
    int shipped = choices.count;
    assert_int_equal(fused_choices_set(&choices, &conv, 7, 0.5f), 0);
    assert_int_equal(fused_choices_find(&choices, &conv), 7);
    assert_int_equal(choices.count, shipped);
    conv.height = 322;
    assert_int_equal(fused_choices_set(&choices, &conv, FUSED_BY_HEURISTICS, 0.25f), 0);
    assert_int_equal(fused_choices_write(&choices, path), 0);
    FILE *file = fopen(path, "ae");
    fprintf(file, "nonsense\n4,64,64,320,320,3,2,1,0,999,0.1\n");
    fclose(file);
    assert_int_equal(fused_choices_read(&again, path), 0);
    assert_int_equal(again.count, choices.count);
    assert_true(fused_choices_knows(&again, &conv));
    assert_int_equal(fused_choices_find(&again, &conv), FUSED_BY_HEURISTICS);
    conv.height = 320;
    assert_int_equal(fused_choices_find(&again, &conv), 7);
    fused_choices_free(&choices);
    fused_choices_free(&again);
}

static void test_kept_files_are_whole_or_nothing(void **state)
{
    (void)state;
    char folder[512], path[700];
    size_t count = 0;
    static const char text[] = "some\0bytes";
    scratch_folder(folder, sizeof folder, "fused_kept");
    snprintf(path, sizeof path, "%s/fused-plans-%016x", folder, 5);
    unlink(path);
    assert_null(fused_keep_read(folder, "plans", 5, &count));
    assert_true(fused_keep_write("", "plans", 5, text, sizeof text) < 0);
    assert_null(fused_keep_read("", "plans", 5, &count));
    assert_int_equal(fused_keep_write(folder, "plans", 5, text, sizeof text), 0);
    uint8_t *read = fused_keep_read(folder, "plans", 5, &count);
    assert_non_null(read);
    assert_int_equal(count, sizeof text);
    assert_memory_equal(read, text, sizeof text);
    free(read);
    assert_null(fused_keep_read(folder, "plans", 6, &count));
    FILE *file = fopen(path, "r+be");
    assert_non_null(file);
    fseek(file, -3, SEEK_END);
    fputc('x', file);
    fclose(file);
    assert_null(fused_keep_read(folder, "plans", 5, &count));
    assert_int_equal(truncate(path, 20), 0);
    assert_null(fused_keep_read(folder, "plans", 5, &count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_compute_what_the_graphs_do),
        cmocka_unit_test(test_rounded_to_f16_they_are_close),
        cmocka_unit_test(test_concatenations_are_written_in_place),
        cmocka_unit_test(test_memory_is_shared_only_in_turn),
        cmocka_unit_test(test_heads_get_streams_of_their_own),
        cmocka_unit_test(test_the_input_may_be_scaled),
        cmocka_unit_test(test_unknown_graphs_are_refused_in_words),
        cmocka_unit_test(test_the_bundled_model_is_known),
        cmocka_unit_test(test_any_bytes_are_fine),
        cmocka_unit_test(test_choices_are_found_and_kept),
        cmocka_unit_test(test_kept_files_are_whole_or_nothing),
    };
    have_graphs = make_fused_graphs("fused_plan");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
