#include "device.h"

#include <stdint.h>

/* The largest of some ten thousand numbers, in order, by one block an image.
 *
 * Each thread's largest number is found first, and of those the best-th largest by halving: at
 * least so many numbers of all are as large. Few are more than that, as a rule, and fit the list
 * that is sorted. Where they do not (many equal numbers), the limit is found exactly. */

enum { THREADS = 1024, ITEMS = 32, BEST_MAX = 512, LIST = 1024 };

static __device__ __forceinline__ uint32_t ordered(float x)
{
    uint32_t bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ float unordered(uint32_t key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* Larger keys first, of equal ones those that stand first. */
static __device__ __forceinline__ unsigned long long entry_of(uint32_t key, int at)
{
    return (unsigned long long)key << 32 | (uint32_t)~at;
}

/* The largest limit that at least `best` threads' numbers reach. */
static __device__ uint32_t limit_of_threads(uint32_t mine, int best)
{
    uint32_t limit = 0;
    for (int bit = 31; bit >= 0; --bit) {
        uint32_t higher = limit | 1u << bit;
        if (__syncthreads_count(mine >= higher) >= best)
            limit = higher;
    }
    return limit;
}

/* How many numbers of all reach a limit. */
template <int N> static __device__ int count_from(const uint32_t *key, uint32_t limit)
{
    __shared__ int sum;
    int own = 0;
#pragma unroll
    for (int i = 0; i < N; ++i)
        own += key[i] >= limit;
    own = (int)__reduce_add_sync(~0u, (unsigned)own);
    if (threadIdx.x == 0)
        sum = 0;
    __syncthreads();
    if ((threadIdx.x & 31) == 0)
        atomicAdd(&sum, own);
    __syncthreads();
    own = sum;
    __syncthreads();
    return own;
}

template <int N>
__global__ void __launch_bounds__(THREADS)
    topk(const float *all, int count, int best, float *values, float *places)
{
    __shared__ unsigned long long list[LIST];
    __shared__ int used, warps[32];
    const float *x = all + (size_t)blockIdx.x * (size_t)count;
    const int t = (int)threadIdx.x, lane = t & 31;
    uint32_t key[N], most = 0;
#pragma unroll
    for (int i = 0; i < N; ++i)
        key[i] = i * THREADS + t < count ? ordered(x[i * THREADS + t]) : 0;
#pragma unroll
    for (int i = 0; i < N; ++i)
        most = max(most, key[i]);
    uint32_t limit = limit_of_threads(most, best);
    int above = count_from<N>(key, limit), equals = LIST, larger = 0;
    if (above > LIST) { /* exactly then: all larger ones, and of the equal the first */
        larger = limit == ~0u ? 0 : count_from<N>(key, limit + 1);
        for (int bit = 31; larger >= best && bit >= 0; --bit) {
            uint32_t higher = (bit == 31 ? 0 : limit) | 1u << bit;
            limit = bit == 31 ? 0 : limit;
            if (count_from<N>(key, higher) >= best)
                limit = higher;
            if (bit == 0)
                larger = limit == ~0u ? 0 : count_from<N>(key, limit + 1);
        }
        equals = best - larger;
    }
    if (t == 0)
        used = 0;
    list[t] = 0;
    __syncthreads();
    if (equals == LIST) {
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (key[i] >= limit && i * THREADS + t < count)
                list[atomicAdd(&used, 1)] = entry_of(key[i], i * THREADS + t);
    }
    for (int i = 0, taken = 0; equals < LIST && i < N && (larger > 0 || taken < equals); ++i) {
        int at = i * THREADS + t;
        uint32_t mine = at < count ? ordered(x[at]) : 0;
        bool equal = at < count && mine == limit;
        if (at < count && mine > limit)
            list[atomicAdd(&used, 1)] = entry_of(mine, at);
        if (!__syncthreads_or(equal && taken < equals))
            continue;
        unsigned mask = __ballot_sync(~0u, equal);
        if (lane == 0)
            warps[t / 32] = __popc(mask);
        __syncthreads();
        int rank = taken + __popc(mask & ((1u << lane) - 1));
        for (int w = 0; w < 32; ++w) {
            rank += w < t / 32 ? warps[w] : 0;
            taken += warps[w];
        }
        if (equal && rank < equals)
            list[LIST - 1 - rank] = entry_of(mine, at); /* the others fill it from the front */
        __syncthreads();
    }
    for (int size = 2; size <= LIST; size *= 2)
        for (int step = size / 2; step > 0; step /= 2) {
            __syncthreads();
            int a = 2 * t - (t & (step - 1)), b = a + step;
            if (t >= LIST / 2)
                continue;
            bool falling = (a & size) == 0;
            unsigned long long p = list[a], q = list[b];
            if (falling ? p < q : p > q) {
                list[a] = q;
                list[b] = p;
            }
        }
    __syncthreads();
    if (t < best) {
        size_t to = (size_t)blockIdx.x * (size_t)best + (size_t)t;
        if (values)
            values[to] = unordered((uint32_t)(list[t] >> 32));
        if (places)
            places[to] = (float)(uint32_t)~list[t];
    }
}

extern "C" int fused_topk(const float *x, int count, int best, float *values, float *places,
                          int images, cudaStream_t stream)
{
    if (best < 1 || best > BEST_MAX || best > count || count > THREADS * ITEMS)
        return cudaErrorInvalidValue;
    if (count <= THREADS * 9)
        topk<9><<<(unsigned)images, THREADS, 0, stream>>>(x, count, best, values, places);
    else if (count <= THREADS * 24)
        topk<24><<<(unsigned)images, THREADS, 0, stream>>>(x, count, best, values, places);
    else
        topk<ITEMS><<<(unsigned)images, THREADS, 0, stream>>>(x, count, best, values, places);
    return cudaGetLastError();
}
