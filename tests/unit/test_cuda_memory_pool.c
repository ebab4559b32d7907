/* The pools of the driver's memory, with fresh pages in the driver's place. */
#include "../../src/engine/cuda/memory_pool.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "unit.h"

enum { MIB = 1 << 20, THREADS = 4, ROUNDS = 2000, DEVICE = 3 };

static size_t pinned_bytes, most_at_once;
static int pins;
static bool stuck;
static struct {
    void *memory;
    size_t bytes;
} block[256];

static void *pin(int device, size_t bytes)
{
    assert_int_equal(device, DEVICE);
    if (most_at_once && bytes > most_at_once)
        return NULL;
    for (size_t i = 0; i < sizeof block / sizeof *block; ++i)
        if (!block[i].memory) {
            block[i].memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            assert_ptr_not_equal(block[i].memory, MAP_FAILED);
            block[i].bytes = bytes;
            pinned_bytes += bytes;
            ++pins;
            return block[i].memory;
        }
    return NULL;
}

static bool unpin(int device, void *memory)
{
    size_t i = 0;
    assert_int_equal(device, DEVICE);
    if (stuck)
        return false;
    while (block[i].memory != memory)
        ++i;
    munmap(memory, block[i].bytes);
    block[i].memory = NULL;
    pinned_bytes -= block[i].bytes;
    return true;
}

static struct cuda_pool pool = {pin, unpin, DEVICE, PTHREAD_MUTEX_INITIALIZER, NULL};

/* Each has its own memory, and driver calls are few: a quarter more at a time. */
static void test_many_for_few_calls(void **state)
{
    enum { COUNT = 600, BYTES = 100001 };
    static uint8_t *image[COUNT];
    (void)state;
    pins = 0;
    for (int i = 0; i < COUNT; ++i) {
        image[i] = cuda_pool_take(&pool, BYTES);
        assert_non_null(image[i]);
        assert_int_equal((uintptr_t)image[i] % 4096, 0);
        memset(image[i], i % 251, BYTES);
    }
    assert_in_range(pins, 1, 20);
    assert_true(pinned_bytes < (size_t)COUNT * BYTES * 3 / 2);
    for (int i = 0; i < COUNT; ++i)
        for (int k = 0; k < BYTES; k += 997)
            assert_int_equal(image[i][k], i % 251);
    int before = pins;
    for (int round = 0; round < 3; ++round) { /* as files that are played again */
        for (int i = round; i < COUNT; i += 3)
            cuda_pool_give(&pool, image[i]);
        for (int i = round; i < COUNT; i += 3)
            image[i] = cuda_pool_take(&pool, BYTES);
    }
    assert_int_equal(pins, before);
    for (int i = 0; i < COUNT; ++i)
        cuda_pool_give(&pool, image[i]);
    cuda_pool_give(&pool, NULL);
}

/* Sizes that come and go do not pile up; nor is anything unpinned that cannot be. */
static void test_what_lies_idle_has_a_limit(void **state)
{
    (void)state;
    for (int i = 1; i <= 40; ++i) {
        void *memory = cuda_pool_take(&pool, (size_t)i * 3 * MIB);
        assert_non_null(memory);
        cuda_pool_give(&pool, memory);
        assert_true(pinned_bytes <= (size_t)1024 * MIB + (size_t)i * 24 * MIB);
    }
    stuck = true;
    size_t before = pinned_bytes;
    void *memory = cuda_pool_take(&pool, (size_t)200 * MIB);
    assert_non_null(memory);
    cuda_pool_give(&pool, memory);
    assert_true(pinned_bytes > before);
    assert_ptr_equal(cuda_pool_take(&pool, (size_t)200 * MIB), memory);
    cuda_pool_give(&pool, memory);
    stuck = false;
    memory = cuda_pool_take(&pool, (size_t)5 * MIB + 1);
    cuda_pool_give(&pool, memory);
    assert_true(pinned_bytes <= (size_t)1024 * MIB);
}

static void test_little_memory(void **state)
{
    (void)state;
    most_at_once = (size_t)7 * MIB;
    assert_null(cuda_pool_take(&pool, (size_t)8 * MIB));
    assert_null(cuda_pool_take(&pool, SIZE_MAX));
    void *a = cuda_pool_take(&pool, (size_t)3 * MIB + 5), *b;
    assert_non_null(a);
    b = cuda_pool_take(&pool, (size_t)3 * MIB + 5);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    cuda_pool_give(&pool, a);
    cuda_pool_give(&pool, b);
    most_at_once = 0;
}

static void *take_and_give(void *argument)
{
    const uint8_t mark = *(const uint8_t *)argument;
    for (int i = 0; i < ROUNDS; ++i) {
        uint8_t *memory = cuda_pool_take(&pool, 5000);
        memset(memory, mark, 5000);
        for (int k = 0; k < 5000; k += 500)
            if (memory[k] != mark)
                return argument;
        cuda_pool_give(&pool, memory);
    }
    return NULL;
}

static void test_threads(void **state)
{
    static uint8_t mark[THREADS] = {1, 2, 3, 4};
    pthread_t thread[THREADS];
    void *wrong;
    (void)state;
    for (int i = 0; i < THREADS; ++i)
        assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, &mark[i]), 0);
    for (int i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_for_few_calls),
        cmocka_unit_test(test_what_lies_idle_has_a_limit),
        cmocka_unit_test(test_little_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
