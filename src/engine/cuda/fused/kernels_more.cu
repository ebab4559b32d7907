#include "device.h"

#include "../act.h"

#include <cuda_fp16.h>

enum { THREADS = 256, PACK = 8 };

static __device__ __forceinline__ uint4 load8(const struct fused_pixels &p, size_t pixel, int c)
{
    return *(const uint4 *)((const __half *)p.data + pixel * (size_t)p.pitch + c);
}

static __device__ __forceinline__ void store8(const struct fused_pixels &p, size_t pixel, int c,
                                              uint4 v)
{
    *(uint4 *)((__half *)p.data + pixel * (size_t)p.pitch + c) = v;
}

static __device__ __forceinline__ uint4 larger8(uint4 a, uint4 b)
{
    uint4 r;
    for (int i = 0; i < 4; ++i)
        ((__half2 *)&r)[i] = __hmax2(((const __half2 *)&a)[i], ((const __half2 *)&b)[i]);
    return r;
}

static unsigned blocks(size_t count)
{
    return (unsigned)((count + THREADS - 1) / THREADS);
}

/* Eight channels of a pixel a thread: which. False: beyond the last. */
static __device__ __forceinline__ bool my_pixel(const struct fused_pixels &y, int channels,
                                                size_t count, size_t *pixel, int *c, int *px,
                                                int *py, int *image)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const int packs = channels / PACK;
    if (i >= count)
        return false;
    *c = (int)(i % (size_t)packs) * PACK;
    *pixel = i / (size_t)packs;
    *px = (int)(*pixel % (size_t)y.width);
    *py = (int)(*pixel / (size_t)y.width % (size_t)y.height);
    *image = (int)(*pixel / (size_t)(y.width * y.height));
    return true;
}

static size_t packs_of(const struct fused_pixels &y, int channels, int images)
{
    return (size_t)images * (size_t)(y.width * y.height) * (size_t)(channels / PACK);
}

/* ---- moving ---- */

__global__ void __launch_bounds__(THREADS)
    upsample(struct fused_pixels x, struct fused_pixels y, int channels, size_t count)
{
    size_t pixel;
    int c, px, py, image;
    if (!my_pixel(x, channels, count, &pixel, &c, &px, &py, &image))
        return;
    uint4 v = load8(x, pixel, c);
    for (int d = 0; d < 4; ++d)
        store8(y,
               ((size_t)image * (size_t)y.height + (size_t)(2 * py + (d >> 1))) * (size_t)y.width +
                   (size_t)(2 * px + (d & 1)),
               c, v);
}

extern "C" int fused_upsample(struct fused_pixels x, struct fused_pixels y, int channels,
                              int images, cudaStream_t stream)
{
    size_t count = packs_of(x, channels, images);
    upsample<<<blocks(count), THREADS, 0, stream>>>(x, y, channels, count);
    return cudaGetLastError();
}

__global__ void __launch_bounds__(THREADS) add(struct fused_pixels x, struct fused_pixels y,
                                               struct fused_after after, int channels, size_t count)
{
    size_t pixel;
    int c, px, py, image;
    if (!my_pixel(y, channels, count, &pixel, &c, &px, &py, &image))
        return;
    uint4 v = load8(x, pixel, c);
    if (after.residual.data || after.activation != CUDA_ACTIVATION_NONE) {
        uint4 r = after.residual.data ? load8(after.residual, pixel, c) : make_uint4(0, 0, 0, 0);
        for (int i = 0; i < 4; ++i) {
            float2 a = __half22float2(((const __half2 *)&v)[i]);
            float2 b = __half22float2(((const __half2 *)&r)[i]);
            ((__half2 *)&v)[i] = __floats2half2_rn(
                cuda_activate(a.x + b.x, after.activation, after.low, after.high),
                cuda_activate(a.y + b.y, after.activation, after.low, after.high));
        }
    }
    store8(y, pixel, c, v);
}

extern "C" int fused_add(struct fused_pixels x, struct fused_pixels y, struct fused_after after,
                         int channels, int images, cudaStream_t stream)
{
    size_t count = packs_of(y, channels, images);
    add<<<blocks(count), THREADS, 0, stream>>>(x, y, after, channels, count);
    return cudaGetLastError();
}

__global__ void __launch_bounds__(THREADS)
    dense(struct fused_pixels x, float *y, int channels, int area, size_t count)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    size_t p = i % (size_t)area, c = i / (size_t)area % (size_t)channels;
    size_t image = i / ((size_t)area * (size_t)channels);
    y[i] = __half2float(((const __half *)x.data)[(image * (size_t)area + p) * (size_t)x.pitch + c]);
}

extern "C" int fused_dense(struct fused_pixels x, float *y, int channels, int images,
                           cudaStream_t stream)
{
    int area = x.height * x.width;
    size_t count = (size_t)images * (size_t)area * (size_t)channels;
    dense<<<blocks(count), THREADS, 0, stream>>>(x, y, channels, area, count);
    return cudaGetLastError();
}

/* ---- poolings ---- */

struct window {
    int kernel[2], stride[2], before[2];
};

__global__ void __launch_bounds__(THREADS)
    pool(struct fused_pixels x, struct fused_pixels y, struct window w, int channels, size_t count)
{
    size_t pixel;
    int c, px, py, image;
    if (!my_pixel(y, channels, count, &pixel, &c, &px, &py, &image))
        return;
    const uint32_t least = 0xfc00fc00u; /* minus infinity, twice */
    uint4 best = make_uint4(least, least, least, least);
    for (int ky = 0; ky < w.kernel[0]; ++ky)
        for (int kx = 0; kx < w.kernel[1]; ++kx) {
            int iy = py * w.stride[0] + ky - w.before[0], ix = px * w.stride[1] + kx - w.before[1];
            if (iy >= 0 && iy < x.height && ix >= 0 && ix < x.width)
                best = larger8(
                    best, load8(x,
                                ((size_t)image * (size_t)x.height + (size_t)iy) * (size_t)x.width +
                                    (size_t)ix,
                                c));
        }
    store8(y, pixel, c, best);
}

extern "C" int fused_pool(struct fused_pixels x, struct fused_pixels y, const int kernel[2],
                          const int stride[2], const int before[2], int channels, int images,
                          cudaStream_t stream)
{
    size_t count = packs_of(y, channels, images);
    struct window w = {{kernel[0], kernel[1]}, {stride[0], stride[1]}, {before[0], before[1]}};
    pool<<<blocks(count), THREADS, 0, stream>>>(x, y, w, channels, count);
    return cudaGetLastError();
}

/* Eight channels of an image a block, which lie in its shared memory: rows, then columns. */
__global__ void __launch_bounds__(1024) sppf(struct fused_pixels x, struct fused_pixels y,
                                             struct fused_pixels y2, struct fused_pixels y3)
{
    extern __shared__ uint4 plane[];
    const int area = x.width * x.height, c = (int)blockIdx.x * PACK;
    const size_t first = (size_t)blockIdx.y * (size_t)area;
    uint4 *a = plane, *b = plane + area;
    for (int i = (int)threadIdx.x; i < area; i += (int)blockDim.x)
        a[i] = load8(x, first + (size_t)i, c);
    for (int k = 0; k < 3; ++k) {
        __syncthreads();
        for (int i = (int)threadIdx.x; i < area; i += (int)blockDim.x) {
            int px = i % x.width;
            uint4 best = a[i];
            for (int d = -2; d <= 2; ++d)
                if (d != 0 && px + d >= 0 && px + d < x.width)
                    best = larger8(best, a[i + d]);
            b[i] = best;
        }
        __syncthreads();
        for (int i = (int)threadIdx.x; i < area; i += (int)blockDim.x) {
            int py = i / x.width;
            uint4 best = b[i];
            for (int d = -2; d <= 2; ++d)
                if (d != 0 && py + d >= 0 && py + d < x.height)
                    best = larger8(best, b[i + d * x.width]);
            a[i] = best;
            store8(k == 0 ? y : k == 1 ? y2 : y3, first + (size_t)i, c, best);
        }
    }
}

extern "C" int fused_sppf(struct fused_pixels x, struct fused_pixels y, struct fused_pixels y2,
                          struct fused_pixels y3, int channels, int images, cudaStream_t stream)
{
    size_t bytes = (size_t)(x.width * x.height) * 2 * sizeof(uint4);
    dim3 grid((unsigned)(channels / PACK), (unsigned)images);
    int threads = (x.width * x.height + 31) / 32 * 32;
    sppf<<<grid, (unsigned)(threads < 1024 ? threads : 1024), bytes, stream>>>(x, y, y2, y3);
    return cudaGetLastError();
}

/* ---- attention ---- */

enum { TILE = 64, WARPS = 2, KEY_PITCH = FUSED_KEY + 8, VALUE_PITCH = FUSED_VALUE + 8 };
enum {
    TILE_NUMBERS = TILE * (KEY_PITCH + VALUE_PITCH),
    RESIDENT_MAX = 14,
    FEW_BLOCKS = 264
}; /* 200 KB */

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

static __device__ __forceinline__ void mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void load_turned(uint32_t *r, const __half *from)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(from);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

static __device__ __forceinline__ uint32_t pair_of(float a, float b)
{
    __half2 h = __floats2half2_rn(a, b);
    return *(uint32_t *)&h;
}

/* The running softmax of two rows of queries: new maxima, sums and weights. */
static __device__ __forceinline__ void weigh(float s[TILE / 8][4], float o[FUSED_VALUE / 8][4],
                                             float *most, float *total)
{
    for (int h = 0; h < 2; ++h) {
        float top = most[h], sum = 0;
        for (int t = 0; t < TILE / 8; ++t)
            top = fmaxf(top, fmaxf(s[t][2 * h], s[t][2 * h + 1]));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
        float keep = exp2f(most[h] - top);
        for (int t = 0; t < TILE / 8; ++t)
            for (int e = 2 * h; e < 2 * h + 2; ++e)
                sum += s[t][e] = exp2f(s[t][e] - top);
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        total[h] = total[h] * keep + sum;
        most[h] = top;
        for (int t = 0; t < FUSED_VALUE / 8; ++t) {
            o[t][2 * h] *= keep;
            o[t][2 * h + 1] *= keep;
        }
    }
}

/* Keys and values of a tile on their way to shared memory; zeros behind the last. */
static __device__ __forceinline__ void bring_tile(const __half *base, size_t image, int k0,
                                                  int count, int pitch, __half *keys)
{
    __half *values = keys + TILE * KEY_PITCH;
    for (int i = (int)threadIdx.x; i < TILE * 12; i += WARPS * 32) {
        int key = i / 12, part = i % 12 * 8, there = k0 + key < count ? 16 : 0;
        int row = there ? k0 + key : 0;
        const __half *from = base + (image + (size_t)row) * (size_t)pitch + FUSED_KEY + part;
        __half *to = part < FUSED_KEY ? keys + key * KEY_PITCH + part
                                      : values + key * VALUE_PITCH + part - FUSED_KEY;
        asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(
                         (uint32_t)__cvta_generic_to_shared(to)),
                     "l"(from), "r"(there));
    }
}

#endif

__global__ void __launch_bounds__(WARPS * 32)
    attention(struct fused_pixels x, struct fused_pixels y, float scale, int resident)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    extern __shared__ __align__(16) __half tiles[]; /* keys and values: of all, or of two turns */
    const int count = x.height * x.width, lane = (int)threadIdx.x & 31, g = lane >> 2, q = lane & 3;
    const int row0 = (int)blockIdx.x * 16 * WARPS + (int)threadIdx.x / 32 * 16;
    const int first = (int)blockIdx.y * (2 * FUSED_KEY + FUSED_VALUE);
    const size_t image = (size_t)blockIdx.z * (size_t)count;
    const __half *base = (const __half *)x.data + first;
    uint32_t query[2][4];
    for (int k = 0; k < 2; ++k)
        for (int e = 0; e < 4; ++e) {
            int row = row0 + g + (e & 1) * 8;
            row = row < count ? row : count - 1;
            query[k][e] = *(const uint32_t *)(base + (image + (size_t)row) * (size_t)x.pitch +
                                              k * 16 + (e >> 1) * 8 + 2 * q);
        }
    float o[FUSED_VALUE / 8][4] = {}, most[2] = {-1e30f, -1e30f}, total[2] = {0, 0};
    for (int k0 = 0; k0 < (resident ? count : TILE); k0 += TILE)
        bring_tile(base, image, k0, count, x.pitch, tiles + k0 / TILE * TILE_NUMBERS);
    for (int k0 = 0, turn = 0; k0 < count; k0 += TILE, turn = resident ? turn + 1 : turn ^ 1) {
        const __half *keys = tiles + turn * TILE_NUMBERS, *values = keys + TILE * KEY_PITCH;
        if (!resident || k0 == 0) {
            asm volatile("cp.async.wait_all;");
            __syncthreads(); /* this part is loaded, and no thread still reads the last one */
        }
        if (!resident && k0 + TILE < count)
            bring_tile(base, image, k0 + TILE, count, x.pitch, tiles + (turn ^ 1) * TILE_NUMBERS);
        float s[TILE / 8][4];
#pragma unroll
        for (int t = 0; t < TILE / 8; ++t) {
            for (int e = 0; e < 4; ++e)
                s[t][e] = 0;
            for (int k = 0; k < 2; ++k) {
                const __half *key = &keys[(t * 8 + g) * KEY_PITCH + k * 16 + 2 * q];
                mma(s[t], query[k], *(const uint32_t *)key, *(const uint32_t *)(key + 8));
            }
            for (int e = 0; e < 4; ++e)
                s[t][e] = k0 + t * 8 + 2 * q + (e & 1) < count ? s[t][e] * scale : -1e30f;
        }
        weigh(s, o, most, total);
#pragma unroll
        for (int j = 0; j < TILE / 16; ++j) {
            uint32_t p[4] = {pair_of(s[2 * j][0], s[2 * j][1]), pair_of(s[2 * j][2], s[2 * j][3]),
                             pair_of(s[2 * j + 1][0], s[2 * j + 1][1]),
                             pair_of(s[2 * j + 1][2], s[2 * j + 1][3])};
            for (int n = 0; n < FUSED_VALUE / 16; ++n) {
                uint32_t b[4];
                load_turned(
                    b, &values[(j * 16 + (lane & 15)) * VALUE_PITCH + n * 16 + (lane >> 4) * 8]);
                mma(o[2 * n], p, b[0], b[1]);
                mma(o[2 * n + 1], p, b[2], b[3]);
            }
        }
    }
    for (int h = 0; h < 2; ++h) {
        int row = row0 + g + 8 * h;
        if (row >= count)
            continue;
        __half *to = (__half *)y.data + (image + (size_t)row) * (size_t)y.pitch +
                     (int)blockIdx.y * FUSED_VALUE;
        for (int t = 0; t < FUSED_VALUE / 8; ++t)
            *(uint32_t *)(to + t * 8 + 2 * q) =
                pair_of(o[t][2 * h] / total[h], o[t][2 * h + 1] / total[h]);
    }
#endif
}

extern "C" int fused_attention(struct fused_pixels x, struct fused_pixels y, int heads, float scale,
                               int images, cudaStream_t stream)
{
    int count = x.height * x.width, tiles = (count + TILE - 1) / TILE, device = 0, most = 0;
    dim3 grid((unsigned)(count + 16 * WARPS - 1) / (16 * WARPS), (unsigned)heads, (unsigned)images);
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    /* All of it at once where blocks are few: then waiting is what takes the time. */
    bool few = grid.x * grid.y * grid.z <= FEW_BLOCKS;
    int resident = few && tiles <= RESIDENT_MAX && tiles * TILE_NUMBERS * 2 <= most;
    int bytes = (resident ? tiles : 2) * TILE_NUMBERS * 2;
    if (status == cudaSuccess && bytes > 48 * 1024)
        status =
            cudaFuncSetAttribute(attention, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (status != cudaSuccess)
        return status;
    attention<<<grid, WARPS * 32, (size_t)bytes, stream>>>(x, y, scale * 1.44269504f, resident);
    return cudaGetLastError();
}

__global__ void __launch_bounds__(THREADS)
    largest(struct fused_pixels x, int channels, size_t count, unsigned *found)
{
    size_t pixel;
    int c, px, py, image;
    if (!my_pixel(x, channels, count, &pixel, &c, &px, &py, &image))
        return;
    uint4 v = load8(x, pixel, c);
    unsigned most = 0;
    for (int i = 0; i < 8; ++i) {
        unsigned bits = __float_as_uint(__half2float(((const __half *)&v)[i])) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    atomicMax(found, most);
}

extern "C" int fused_largest(struct fused_pixels x, int channels, int images, unsigned *found,
                             cudaStream_t stream)
{
    size_t count = packs_of(x, channels, images);
    largest<<<blocks(count), THREADS, 0, stream>>>(x, channels, count, found);
    return cudaGetLastError();
}
