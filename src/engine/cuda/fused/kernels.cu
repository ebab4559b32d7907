#include "device.h"

#include "../act.h"

#include <cuda_fp16.h>

enum { THREADS = 256, PACK = 8 };

struct eight { /* channels */
    uint4 raw;
};

static __device__ __forceinline__ float activate(float x, const struct fused_after &after)
{
    if (after.activation == CUDA_ACTIVATION_SILU)
        return __fdividef(x, 1.0f + __expf(-x));
    return after.activation == CUDA_ACTIVATION_CLIP ? fminf(fmaxf(x, after.low), after.high) : x;
}

static __device__ __forceinline__ uint4 load8(const struct fused_pixels &p, size_t pixel, int c)
{
    return *(const uint4 *)((const __half *)p.data + pixel * (size_t)p.pitch + c);
}

static __device__ __forceinline__ void store8(const struct fused_pixels &p, size_t pixel, int c,
                                              uint4 v)
{
    *(uint4 *)((__half *)p.data + pixel * (size_t)p.pitch + c) = v;
}

static __device__ __forceinline__ void widen8(uint4 raw, float *to)
{
    const __half2 *pair = (const __half2 *)&raw;
    for (int i = 0; i < 4; ++i) {
        float2 f = __half22float2(pair[i]);
        to[2 * i] = f.x;
        to[2 * i + 1] = f.y;
    }
}

static __device__ __forceinline__ uint4 narrow8(const float *from)
{
    uint4 raw;
    __half2 *pair = (__half2 *)&raw;
    for (int i = 0; i < 4; ++i)
        pair[i] = __floats2half2_rn(from[2 * i], from[2 * i + 1]);
    return raw;
}

static __device__ __forceinline__ void mma(float *c, uint32_t a0, uint32_t a1, uint32_t a2,
                                           uint32_t a3, uint32_t b0, uint32_t b1)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    (void)c, (void)a0, (void)a1, (void)a2, (void)a3, (void)b0, (void)b1;
#endif
}

static unsigned blocks(size_t count)
{
    return (unsigned)((count + THREADS - 1) / THREADS);
}

/* ---- the first convolution ---- */

/* A pixel's 2 * NT channels that a thread has. */
template <int NT>
static __device__ __forceinline__ void store_stem(__half *to, const float sum[NT][4], int half,
                                                  const struct fused_after &after)
{
    uint32_t out[NT];
    for (int nt = 0; nt < NT; ++nt) {
        float v[2] = {sum[nt][2 * half], sum[nt][2 * half + 1]};
        for (int e = 0; e < 2; ++e)
            if (after.activation == CUDA_ACTIVATION_SILU) {
                float t;
                asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(v[e] * 0.5f));
                v[e] = 0.5f * v[e] * t + 0.5f * v[e];
            } else {
                v[e] = activate(v[e], after);
            }
        __half2 pair = __floats2half2_rn(v[0], v[1]);
        out[nt] = *(uint32_t *)&pair;
    }
    if (NT >= 4)
        for (int i = 0; i < NT / 4; ++i)
            ((uint4 *)to)[i] = ((uint4 *)out)[i];
    else
        for (int i = 0; i < NT; ++i)
            ((uint32_t *)to)[i] = out[i];
}

/* Rows of the input lie in shared memory as they are, three numbers a pixel; a window's row is then
 * a run of them, which begins one number early where it would begin at an odd place. Two rows of
 * output a block, 16 pixels a warp's step, 8 * NT channels a block. */
template <int K, int P, int NT>
__global__ void __launch_bounds__(THREADS)
    stem(const __half *__restrict__ x, int height, int width, const __half *__restrict__ weights,
         const float *__restrict__ bias, struct fused_pixels y, struct fused_after after)
{
    constexpr int LEAD = P & 1, RUN = 3 * K + LEAD, ALL = K * RUN, STEPS = (ALL + 15) / 16;
    constexpr int LEFT = 8;
    extern __shared__ __align__(16) __half rows[];
    const int pitch = width * 3 + 120, chunks = width * 3 / 8;
    const int top = (int)blockIdx.x * 2, image = (int)blockIdx.y, first = (int)blockIdx.z * NT * 8;
    const int lane = (int)threadIdx.x & 31, g = lane >> 2, q = lane & 3;
    const __half *from = x + (size_t)image * (size_t)(height * width) * 3;
    for (int i = (int)threadIdx.x; i < (K + 2) * (chunks + 15); i += THREADS) {
        int r = i / (chunks + 15), c = i % (chunks + 15) - 1, iy = top * 2 - P + r;
        uint4 v = make_uint4(0, 0, 0, 0);
        if (iy >= 0 && iy < height && c >= 0 && c < chunks)
            v = *(const uint4 *)(from + (size_t)iy * (size_t)(width * 3) + c * 8);
        *(uint4 *)&rows[r * pitch + LEFT + c * 8] = v;
    }
    uint32_t b[NT][STEPS][2];
    for (int nt = 0; nt < NT; ++nt) {
        int channel = first + (g >> 1) * 2 * NT + nt * 2 + (g & 1);
        for (int k = 0; k < STEPS; ++k) {
            const __half *w = weights + channel * STEPS * 16 + k * 16 + q * 2;
            b[nt][k][0] = *(const uint32_t *)w;
            b[nt][k][1] = *(const uint32_t *)(w + 8);
        }
    }
    int off[2 * STEPS];
    for (int i = 0; i < 2 * STEPS; ++i) {
        int k = q * 2 + 8 * i;
        off[i] = LEFT - 3 * P - LEAD + (k < ALL ? k / RUN * pitch + k % RUN : 0);
    }
    float add[NT][2];
    for (int nt = 0; nt < NT; ++nt) {
        add[nt][0] = bias[first + q * 2 * NT + nt * 2];
        add[nt][1] = bias[first + q * 2 * NT + nt * 2 + 1];
    }
    __syncthreads();
    const int groups = (y.width + 15) / 16;
    for (int step = (int)threadIdx.x / 32; step < 2 * groups; step += THREADS / 32) {
        int row = step / groups, p0 = step % groups * 16;
        if (top + row >= y.height)
            break;
        const __half *window = rows + row * 2 * pitch + 6 * p0;
        float sum[NT][4];
        for (int nt = 0; nt < NT; ++nt) {
            sum[nt][0] = sum[nt][2] = add[nt][0];
            sum[nt][1] = sum[nt][3] = add[nt][1];
        }
#pragma unroll
        for (int k = 0; k < STEPS; ++k) {
            uint32_t a0 = *(const uint32_t *)(window + off[2 * k] + 6 * g);
            uint32_t a1 = *(const uint32_t *)(window + off[2 * k] + 6 * (g + 8));
            uint32_t a2 = *(const uint32_t *)(window + off[2 * k + 1] + 6 * g);
            uint32_t a3 = *(const uint32_t *)(window + off[2 * k + 1] + 6 * (g + 8));
            for (int nt = 0; nt < NT; ++nt)
                mma(sum[nt], a0, a1, a2, a3, b[nt][k][0], b[nt][k][1]);
        }
        for (int half = 0; half < 2; ++half)
            if (p0 + g + 8 * half < y.width) {
                size_t pixel =
                    ((size_t)image * (size_t)y.height + (size_t)(top + row)) * (size_t)y.width +
                    (size_t)(p0 + g + 8 * half);
                store_stem<NT>((__half *)y.data + pixel * (size_t)y.pitch + first + q * 2 * NT, sum,
                               half, after);
            }
    }
}

extern "C" int fused_stem_columns(int kernel)
{
    return kernel == 3 ? 32 : kernel == 6 ? 112 : 0;
}

extern "C" void fused_stem_pack(int kernel, int channels, const float *weights, float *packed)
{
    int lead = kernel == 3 ? 1 : 0, run = 3 * kernel + lead, columns = fused_stem_columns(kernel);
    for (int c = 0; c < channels; ++c)
        for (int i = 0; i < columns; ++i) {
            int r = i / run, k = i % run - lead;
            packed[c * columns + i] =
                r < kernel && k >= 0 ? weights[(c * kernel + r) * kernel * 3 + k] : 0;
        }
}

template <int K, int P, int NT>
static int launch_stem(const void *input, int height, int width, const void *weights,
                       const float *bias, struct fused_pixels y, int channels,
                       const struct fused_after &after, int images, cudaStream_t stream)
{
    int bytes = (K + 2) * (width * 3 + 120) * 2;
    dim3 grid((unsigned)(y.height + 1) / 2, (unsigned)images, (unsigned)(channels / (8 * NT)));
    if (bytes > 48 * 1024) {
        cudaError_t status = cudaFuncSetAttribute(
            stem<K, P, NT>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        if (status != cudaSuccess)
            return status;
    }
    stem<K, P, NT><<<grid, THREADS, (size_t)bytes, stream>>>(
        (const __half *)input, height, width, (const __half *)weights, bias, y, after);
    return cudaGetLastError();
}

extern "C" int fused_stem(const void *input, int height, int width, int kernel, const void *weights,
                          const float *bias, struct fused_pixels y, int channels,
                          struct fused_after after, int images, cudaStream_t stream)
{
    if (kernel == 6)
        return channels % 16 == 0 ? launch_stem<6, 2, 2>(input, height, width, weights, bias, y,
                                                         channels, after, images, stream)
                                  : launch_stem<6, 2, 1>(input, height, width, weights, bias, y,
                                                         channels, after, images, stream);
    if (channels % 64 == 0)
        return launch_stem<3, 1, 8>(input, height, width, weights, bias, y, channels, after, images,
                                    stream);
    if (channels % 32 == 0)
        return launch_stem<3, 1, 4>(input, height, width, weights, bias, y, channels, after, images,
                                    stream);
    return channels % 16 == 0 ? launch_stem<3, 1, 2>(input, height, width, weights, bias, y,
                                                     channels, after, images, stream)
                              : launch_stem<3, 1, 1>(input, height, width, weights, bias, y,
                                                     channels, after, images, stream);
}

/* ---- each channel by itself ---- */

/* Eight channels and PX pixels of a row a thread; blocks of 256 threads over channels and pixels of
 * a row, rows and images. */
template <int K, int PX>
__global__ void __launch_bounds__(THREADS, PX > 1 ? 3 : 2)
    depthwise(struct fused_depthwise d, int packs, int steps)
{
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    const int c = i % packs * PACK, x0 = i / packs * PX, oy = (int)blockIdx.y;
    if (i >= packs * steps)
        return;
    const int from = d.group_stride > 0
                         ? c / d.group_width * d.group_stride + d.group_offset + c % d.group_width
                         : c;
    const __half *x = (const __half *)d.x.data +
                      (size_t)blockIdx.z * (size_t)(d.x.height * d.x.width) * (size_t)d.x.pitch +
                      from;
    float sum[PX][8];
    {
        const float4 *bias = (const float4 *)(d.bias + c);
        float4 low = bias[0], high = bias[1];
        for (int p = 0; p < PX; ++p) {
            *(float4 *)&sum[p][0] = low;
            *(float4 *)&sum[p][4] = high;
        }
    }
#pragma unroll
    for (int ky = 0; ky < K; ++ky) {
        int iy = oy * d.stride + ky - d.before;
        if (iy < 0 || iy >= d.x.height)
            continue;
        uint4 w[K], v[PX + K - 1];
        const int first = x0 * (PX > 1 ? 1 : d.stride) - d.before;
#pragma unroll
        for (int j = 0; j < PX + K - 1; ++j) { /* all under way before the first is used */
            int ix = first + j;
            v[j] = make_uint4(0, 0, 0, 0);
            if (ix >= 0 && ix < d.x.width)
                v[j] = *(const uint4 *)(x + (size_t)(iy * d.x.width + ix) * (size_t)d.x.pitch);
        }
#pragma unroll
        for (int kx = 0; kx < K; ++kx)
            w[kx] = *(const uint4 *)((const __half *)d.weights +
                                     (size_t)(ky * K + kx) * (size_t)d.channels + c);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            float2 f[K];
#pragma unroll
            for (int kx = 0; kx < K; ++kx)
                f[kx] = __half22float2(((const __half2 *)&w[kx])[k]);
#pragma unroll
            for (int j = 0; j < PX + K - 1; ++j) {
                float2 a = __half22float2(((const __half2 *)&v[j])[k]);
#pragma unroll
                for (int kx = 0; kx < K; ++kx)
                    if (j - kx >= 0 && j - kx < PX) {
                        sum[j - kx][2 * k] += a.x * f[kx].x;
                        sum[j - kx][2 * k + 1] += a.y * f[kx].y;
                    }
            }
        }
    }
#pragma unroll
    for (int p = 0; p < PX; ++p) {
        if (x0 + p >= d.y.width)
            break;
        size_t pixel = ((size_t)blockIdx.z * (size_t)d.y.height + (size_t)oy) * (size_t)d.y.width +
                       (size_t)(x0 + p);
        for (int k = 0; k < 8; ++k)
            sum[p][k] = activate(sum[p][k], d.after);
        if (d.after.residual.data) {
            float r[8];
            widen8(load8(d.after.residual, pixel, c), r);
            for (int k = 0; k < 8; ++k)
                sum[p][k] += r[k];
        }
        store8(d.y, pixel, c, narrow8(sum[p]));
    }
}

template <int K, int PX>
static int launch_depthwise(const struct fused_depthwise *work, int images, cudaStream_t stream)
{
    int packs = work->channels / PACK, steps = (work->y.width + PX - 1) / PX;
    dim3 grid(blocks((size_t)packs * (size_t)steps), (unsigned)work->y.height, (unsigned)images);
    depthwise<K, PX><<<grid, THREADS, 0, stream>>>(*work, packs, steps);
    return cudaGetLastError();
}

extern "C" int fused_depthwise(const struct fused_depthwise *work, int images, cudaStream_t stream)
{
    if (work->kernel == 3 && work->stride == 1)
        return launch_depthwise<3, 4>(work, images, stream);
    if (work->kernel == 3)
        return launch_depthwise<3, 1>(work, images, stream);
    if (work->kernel == 5)
        return launch_depthwise<5, 1>(work, images, stream);
    return work->kernel == 7 ? launch_depthwise<7, 1>(work, images, stream)
                             : (int)cudaErrorNotSupported;
}

/* ---- the last convolutions ---- */

/* A step is 16 channels; two steps of the block's pixels and weights are in shared memory while the
 * two behind them are on their way. Rows there begin at different banks. */
enum { HEAD_STEPS = 2, HEAD_ROW = HEAD_STEPS * 16 + PACK };

template <int TILES, int M, int WARPS> struct head_stage {
    __half row[WARPS * M * 16][HEAD_ROW];
    uint4 weight[TILES][HEAD_STEPS * 32];
};

static __device__ __forceinline__ void copy16(void *to, const void *from, int there)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile(
        "cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
        "l"(from), "r"(there));
#else
    (void)to, (void)from, (void)there;
#endif
}

/* From step k on: zeros where there is none. */
template <int TILES, int M, int WARPS>
static __device__ __forceinline__ void
bring(head_stage<TILES, M, WARPS> *stage, const struct fused_pixels &x, int p0, int all, int in,
      const uint4 *packed, int first, int tiles, int steps, int k)
{
    const int threads = WARPS * 32, packs = HEAD_STEPS * 2;
    for (int i = (int)threadIdx.x; i < WARPS * M * 16 * packs; i += threads) {
        int p = i / packs, c = k * 16 + i % packs * PACK;
        bool there = p0 + p < all && c < in;
        copy16(&stage->row[p][i % packs * PACK],
               (const __half *)x.data + (there ? (size_t)(p0 + p) * (size_t)x.pitch + c : 0),
               there ? 16 : 0);
    }
    for (int i = (int)threadIdx.x; i < TILES * HEAD_STEPS * 32; i += threads) {
        int t = i / (HEAD_STEPS * 32), at = i % (HEAD_STEPS * 32);
        bool there = t < tiles && k + at / 32 < steps;
        copy16(&stage->weight[t][at],
               packed + (there ? (size_t)((first + t) * steps + k) * 32 + (size_t)at : 0),
               there ? 16 : 0);
    }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;");
#endif
}

/* A warp: 16 * M pixels and 8 * TILES outputs. Weights are two f16 each, whose sum has 22 bits: two
 * products a step. */
template <int TILES, int M, int WARPS>
__global__ void __launch_bounds__(WARPS * 32)
    head(struct fused_pixels x, int in, int out, const uint4 *__restrict__ packed,
         const float *__restrict__ bias, float *__restrict__ y, int area, int all)
{
    extern __shared__ __align__(16) uint8_t memory[];
    head_stage<TILES, M, WARPS> *stage = (head_stage<TILES, M, WARPS> *)memory;
    const int lane = (int)threadIdx.x & 31, g = lane >> 2, q = lane & 3, steps = (in + 15) / 16;
    const int block = (int)blockIdx.x * WARPS * M * 16, row0 = (int)threadIdx.x / 32 * M * 16;
    const int first = (int)blockIdx.y * TILES, tiles = min((out + 7) / 8 - first, TILES);
    float sum[M][TILES][4] = {};
    bring(&stage[0], x, block, all, in, packed, first, tiles, steps, 0);
    for (int k = 0, turn = 0; k < steps; k += HEAD_STEPS, turn ^= 1) {
        const head_stage<TILES, M, WARPS> &now = stage[turn];
        if (k + HEAD_STEPS < steps)
            bring(&stage[turn ^ 1], x, block, all, in, packed, first, tiles, steps, k + HEAD_STEPS);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        if (k + HEAD_STEPS < steps)
            asm volatile("cp.async.wait_group 1;");
        else
            asm volatile("cp.async.wait_group 0;");
#endif
        __syncthreads();
#pragma unroll
        for (int s = 0; s < HEAD_STEPS; ++s) {
            uint32_t a[M][4] = {};
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#pragma unroll
            for (int m = 0; m < M; ++m)
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                             : "=r"(a[m][0]), "=r"(a[m][1]), "=r"(a[m][2]), "=r"(a[m][3])
                             : "r"((uint32_t)__cvta_generic_to_shared(
                                 &now.row[row0 + m * 16 + (lane & 15)][s * 16 + (lane >> 4) * 8])));
#endif
#pragma unroll
            for (int t = 0; t < TILES; ++t) {
                uint4 b = now.weight[t][s * 32 + lane];
#pragma unroll
                for (int m = 0; m < M; ++m) {
                    mma(sum[m][t], a[m][0], a[m][1], a[m][2], a[m][3], b.x, b.y);
                    mma(sum[m][t], a[m][0], a[m][1], a[m][2], a[m][3], b.z, b.w);
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int t = 0; t < TILES; ++t)
            for (int e = 0; e < 4; ++e) {
                int c = (first + t) * 8 + 2 * q + (e & 1);
                int p = block + row0 + m * 16 + g + 8 * (e >> 1);
                if (t < tiles && c < out && p < all)
                    y[((size_t)(p / area) * (size_t)out + (size_t)c) * (size_t)area +
                      (size_t)(p % area)] = sum[m][t][e] + bias[c];
            }
}

template <int TILES, int M, int WARPS>
static int launch_head(struct fused_pixels x, int in, int out, const void *packed,
                       const float *bias, float *y, int images, cudaStream_t stream)
{
    int area = x.height * x.width, all = images * area, span = WARPS * M * 16;
    size_t bytes = 2 * sizeof(head_stage<TILES, M, WARPS>);
    dim3 grid((unsigned)((all + span - 1) / span), (unsigned)((out + 8 * TILES - 1) / (8 * TILES)));
    if (bytes > 48 * 1024) {
        cudaError_t status = cudaFuncSetAttribute(
            head<TILES, M, WARPS>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
        if (status != cudaSuccess)
            return status;
    }
    head<TILES, M, WARPS><<<grid, WARPS * 32, bytes, stream>>>(x, in, out, (const uint4 *)packed,
                                                               bias, y, area, all);
    return cudaGetLastError();
}

extern "C" size_t fused_head_packed(int in, int out)
{
    return (size_t)((out + 7) / 8) * (size_t)((in + 15) / 16) * 32 * 8;
}

extern "C" uint16_t fused_to_half(float x)
{
    return __half_as_ushort(__float2half_rn(x));
}

extern "C" void fused_head_pack(int in, int out, const float *weights, uint16_t *packed)
{
    int tiles = (out + 7) / 8, steps = (in + 15) / 16;
    for (int t = 0; t < tiles; ++t)
        for (int k = 0; k < steps; ++k)
            for (int lane = 0; lane < 32; ++lane)
                for (int e = 0; e < 8; ++e) {
                    int c = t * 8 + lane / 4;
                    int i = k * 16 + lane % 4 * 2 + (e & 1) + (e & 2 ? 8 : 0);
                    float w = c < out && i < in ? weights[c * in + i] : 0;
                    float high = __half2float(__float2half_rn(w));
                    packed[((size_t)(t * steps + k) * 32 + (size_t)lane) * 8 + (size_t)e] =
                        fused_to_half(e < 4 ? high : w - high);
                }
}

extern "C" int fused_head(struct fused_pixels x, int in, int out, const void *packed,
                          const float *bias, float *y, int images, cudaStream_t stream)
{
    enum { MANY = 20000 }; /* pixels that fill a device with 128 a block */
    bool many = images * x.height * x.width > MANY;
    if (out <= 8)
        return launch_head<1, 1, 4>(x, in, out, packed, bias, y, images, stream);
    return many ? launch_head<10, 1, 8>(x, in, out, packed, bias, y, images, stream)
                : launch_head<3, 1, 4>(x, in, out, packed, bias, y, images, stream);
}
