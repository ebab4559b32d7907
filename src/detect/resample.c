#include "detect/resample.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    GROUP = 8,
    GROUP_BYTES = 16,
    GROUPS_AT_ONCE = SP_RESAMPLE_WRITES / GROUP,
    WEIGHT_BITS = 7,
    ONE = 1 << WEIGHT_BITS,
};

void sp_resample_position(int from, int to, int i, int *first, int *weight)
{
    int64_t step = ((int64_t)from << 16) / to;
    int64_t at = (step >> 1) - 32768 + i * step;
    *first = (int)(at >> 16);
    *weight = (int)(at & 0xffff);
}

void sp_resampler_release(struct sp_resampler *resampler)
{
    free(resampler->offset);
    free(resampler->index);
    free(resampler->weight);
    *resampler = (struct sp_resampler){0};
}

static bool reserve(struct sp_resampler *resampler, int groups)
{
    if (groups <= resampler->capacity)
        return true;
    sp_resampler_release(resampler);
    size_t count = (size_t)groups;
    resampler->offset = calloc(count, sizeof *resampler->offset);
    resampler->index = calloc(count, GROUP_BYTES);
    resampler->weight = calloc(count, GROUP_BYTES);
    if (!resampler->offset || !resampler->index || !resampler->weight) {
        sp_resampler_release(resampler);
        return false;
    }
    resampler->capacity = groups;
    return true;
}

int sp_resampler_set(struct sp_resampler *resampler, int from, int to, struct sp_error *err)
{
    assert(to >= 1 && to <= from && from <= 2 * to);
    if (resampler->from == from && resampler->to == to)
        return SP_OK;
    int groups = (to + SP_RESAMPLE_WRITES - 1) / SP_RESAMPLE_WRITES * GROUPS_AT_ONCE;
    if (!reserve(resampler, groups))
        return sp_fail(err, SP_ERR_NO_MEMORY, "letterbox: out of memory");
    resampler->from = from;
    resampler->to = to;
    resampler->groups = groups;
    for (int i = 0; i < groups * GROUP; ++i) {
        int first, weight, group = i / GROUP;
        /* Output past the end repeats the last pixel. */
        sp_resample_position(from, to, i < to ? i : to - 1, &first, &weight);
        weight >>= 16 - WEIGHT_BITS;
        if (i % GROUP == 0)
            resampler->offset[group] = first;
        resampler->index[2 * i] = (uint8_t)(first - resampler->offset[group]);
        resampler->index[2 * i + 1] = (uint8_t)(first - resampler->offset[group] + 1);
        resampler->weight[2 * i] = (uint8_t)(ONE - weight);
        resampler->weight[2 * i + 1] = (uint8_t)weight;
        /* Seven steps of at most two, plus one neighbor, fit into 16 bytes. */
        assert(resampler->index[2 * i + 1] < GROUP_BYTES);
    }
    return SP_OK;
}

void sp_resample_row_plain(const struct sp_resampler *resampler, uint8_t *out, const uint8_t *in)
{
    for (int i = 0; i < resampler->groups * GROUP; ++i) {
        const uint8_t *from = in + resampler->offset[i / GROUP];
        const uint8_t *index = resampler->index + (size_t)2 * (size_t)i;
        const uint8_t *weight = resampler->weight + (size_t)2 * (size_t)i;
        int sum = from[index[0]] * weight[0] + from[index[1]] * weight[1];
        out[i] = (uint8_t)((sum + ONE / 2) >> WEIGHT_BITS);
    }
}

#if defined(__x86_64__)
/* Two groups, one in each half of the register; 16-bit results centered on 0. */
__attribute__((target("avx2"))) static inline __m256i
two_groups(const struct sp_resampler *resampler, size_t group, const uint8_t *in)
{
    const __m128i *low = (const __m128i *)(in + resampler->offset[group]);
    const __m128i *high = (const __m128i *)(in + resampler->offset[group + 1]);
    const __m256i *index = (const __m256i *)(resampler->index + group * GROUP_BYTES);
    const __m256i *weight = (const __m256i *)(resampler->weight + group * GROUP_BYTES);
    __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                            _mm_loadu_si128(high), 1);
    __m256i pairs = _mm256_shuffle_epi8(bytes, _mm256_loadu_si256(index));
    /* maddubs multiplies unsigned by signed bytes; a weight can be 128, so the pixels are the
     * signed ones. */
    pairs = _mm256_xor_si256(pairs, _mm256_set1_epi8((char)0x80));
    __m256i sums = _mm256_maddubs_epi16(_mm256_loadu_si256(weight), pairs);
    return _mm256_srai_epi16(_mm256_add_epi16(sums, _mm256_set1_epi16(ONE / 2)), WEIGHT_BITS);
}

__attribute__((target("avx2"))) static void resample_row_avx2(const struct sp_resampler *resampler,
                                                              uint8_t *out, const uint8_t *in)
{
    for (size_t group = 0; group < (size_t)resampler->groups; group += GROUPS_AT_ONCE) {
        __m256i bytes = _mm256_packs_epi16(two_groups(resampler, group, in),
                                           two_groups(resampler, group + 2, in));
        bytes = _mm256_permute4x64_epi64(bytes, 0xD8); /* packs works on each half */
        bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80));
        _mm256_storeu_si256((__m256i *)(out + group * GROUP), bytes);
    }
}
#endif

void sp_resample_row(const struct sp_resampler *resampler, uint8_t *out, const uint8_t *in)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        resample_row_avx2(resampler, out, in);
        return;
    }
#endif
    sp_resample_row_plain(resampler, out, in);
}
