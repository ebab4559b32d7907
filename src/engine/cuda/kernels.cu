#include "act.h"
#include "pixel.h"

#include <cuda_fp16.h>

enum { THREADS = 256, FOURS = 128, SORT_THREADS = 1024, SHARED_KEYS = 4096, TILE = 32 };

static_assert(SORT_THREADS == TILE * TILE, "a warp for each candidate of a tile");

/* ---- images into the input ---- */

__device__ void put(const struct cuda_input &input, int image_index, int color, int x, int y, float value)
{
    int place = input.swap_red_blue ? 2 - color : color;
    size_t pixels = (size_t)input.width * (size_t)input.height;
    size_t pixel = (size_t)y * (size_t)input.width + (size_t)x;
    size_t at = (size_t)image_index * pixels * 3 +
                (input.nhwc ? pixel * 3 + (size_t)place : (size_t)place * pixels + pixel);
    value = value / input.scale;
    if (input.bytes)
        ((uint8_t *)input.data)[at] = (uint8_t)rintf(value);
    else if (input.half)
        ((__half *)input.data)[at] = __float2half_rn(value);
    else
        ((float *)input.data)[at] = value;
}

__global__ void letterbox(const struct cuda_image *images, struct cuda_input input)
{
    int image_index = (int)blockIdx.z;
    const struct cuda_image &image = images[image_index];
    /* A thread has four pixels that share their chroma, also where the image begins at an odd
     * place. */
    int x = 2 * (int)(blockIdx.x * blockDim.x + threadIdx.x) - (image.left & 1);
    int y = 2 * (int)blockIdx.y - (image.top & 1);
    if (x >= input.width || y >= input.height)
        return;
    float color[4][3];
    cuda_four_of_input(&image, x, y, color);
    for (int i = 0; i < 4; ++i) {
        int px = x + (i & 1), py = y + (i >> 1);
        for (int c = 0; c < 3 && px >= 0 && py >= 0 && px < input.width && py < input.height; ++c)
            put(input, image_index, c, px, py, color[i][c]);
    }
}

__global__ void convert(const uint8_t *rgb, int interleaved, struct cuda_input input)
{
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)blockIdx.y;
    int image_index = (int)blockIdx.z;
    if (x >= input.width)
        return;
    size_t pixels = (size_t)input.width * (size_t)input.height;
    size_t pixel = (size_t)y * (size_t)input.width + (size_t)x;
    const uint8_t *from = rgb + (size_t)image_index * pixels * 3;
    for (int c = 0; c < 3; ++c)
        put(input, image_index, c, x, y,
            from[interleaved ? pixel * 3 + (size_t)c : (size_t)c * pixels + pixel]);
}

static dim3 grid_of(const struct cuda_input *input, int image_count)
{
    return dim3((unsigned)(input->width + THREADS - 1) / THREADS, (unsigned)input->height,
                (unsigned)image_count);
}

int cuda_letterbox(const struct cuda_image *images, int image_count, const struct cuda_input *input,
                   cudaStream_t stream)
{
    /* One more each way than halves there are: the first may begin outside. */
    dim3 grid((unsigned)(input->width / 2 + 1 + FOURS) / FOURS, (unsigned)input->height / 2 + 1,
              (unsigned)image_count);
    letterbox<<<grid, FOURS, 0, stream>>>(images, *input);
    return (int)cudaGetLastError();
}

int cuda_convert(const uint8_t *rgb, int interleaved, int image_count, const struct cuda_input *input,
                 cudaStream_t stream)
{
    convert<<<grid_of(input, image_count), THREADS, 0, stream>>>(rgb, interleaved, *input);
    return (int)cudaGetLastError();
}

__global__ void widen(float *to, const __half *from, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        to[i] = __half2float(from[i]);
}

int cuda_widen(float *to, const void *half, size_t count, cudaStream_t stream)
{
    widen<<<(unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, stream>>>(
        to, (const __half *)half, count);
    return (int)cudaGetLastError();
}

/* ---- images for viewers ---- */

enum { DRAW_X = 32, DRAW_Y = 8, DRAW_WARPS = DRAW_X * DRAW_Y / 32 };

/* A thread has two by two pixels. A block finds, 256 at a time, the marks that are on its pixels,
 * and each of its threads draws those, in their order. */
__global__ void draw(struct cuda_overlay p)
{
    __shared__ unsigned found[DRAW_WARPS];
    int thread = (int)(threadIdx.y * DRAW_X + threadIdx.x);
    int left = (int)blockIdx.x * 2 * DRAW_X, top = (int)blockIdx.y * 2 * DRAW_Y;
    int x = left + 2 * (int)threadIdx.x, y = top + 2 * (int)threadIdx.y;
    bool inside = x < p.width && y < p.height;
    struct cuda_four four = {{0, 0, 0, 0}, 0, 0};
    if (inside)
        cuda_load_four(&p, x, y, &four);
    for (int first = 0; first < p.mark_count; first += 32 * DRAW_WARPS) {
        int own = first + thread;
        bool on = own < p.mark_count &&
                  cuda_mark_is_on(&p.marks[own], left, top, 2 * DRAW_X, 2 * DRAW_Y);
        unsigned warp = __ballot_sync(0xffffffffu, on);
        if (thread % 32 == 0)
            found[thread / 32] = warp;
        __syncthreads();
        for (int w = 0; w < DRAW_WARPS; ++w)
            for (unsigned bits = found[w]; bits; bits &= bits - 1)
                cuda_draw_mark(&p.marks[first + 32 * w + __ffs((int)bits) - 1], p.coverage, x, y,
                               &four);
        __syncthreads();
    }
    if (inside)
        cuda_store_four(&p, x, y, &four);
}

int cuda_draw(const struct cuda_overlay *overlay, cudaStream_t stream)
{
    dim3 grid((unsigned)(overlay->width + 2 * DRAW_X - 1) / (2 * DRAW_X),
              (unsigned)(overlay->height + 2 * DRAW_Y - 1) / (2 * DRAW_Y));
    draw<<<grid, dim3(DRAW_X, DRAW_Y), 0, stream>>>(*overlay);
    return (int)cudaGetLastError();
}

/* ---- after convolutions ---- */

/* Eight numbers in a row: 16 bytes of f16, which is what a thread moves at once. */
enum { PACK = 8 };

template <typename T> struct alignas(sizeof(T) * PACK) pack {
    T number[PACK];
};

__device__ float wide(__half value) { return __half2float(value); }
__device__ float wide(float value) { return value; }
__device__ void narrow(__half *to, float value) { *to = __float2half_rn(value); }
__device__ void narrow(float *to, float value) { *to = value; }

template <typename T>
__device__ void add_pack(float sum[PACK], const void *from, size_t at)
{
    pack<T> p = ((const pack<T> *)from)[at];
    for (int i = 0; i < PACK; ++i)
        sum[i] += wide(p.number[i]);
}

template <typename In, typename Out> __global__ void bias_act_packs(struct cuda_bias_act work)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= work.count / PACK)
        return;
    unsigned channel = (unsigned)(at % (unsigned)(work.channels / PACK)) * PACK;
    float sum[PACK] = {0};
    add_pack<In>(sum, work.x, at);
    add_pack<float>(sum, work.bias, channel / PACK);
#pragma unroll
    for (int k = 0; k < CUDA_SUMMANDS_MAX; ++k)
        if (k < work.before_count)
            add_pack<In>(sum, work.before[k], at);
    for (int i = 0; i < PACK; ++i)
        sum[i] = cuda_activate(sum[i], work.activation, work.low, work.high);
    if (work.after)
        add_pack<In>(sum, work.after, at);
    pack<Out> y;
    for (int i = 0; i < PACK; ++i)
        narrow(&y.number[i], sum[i]);
    ((pack<Out> *)work.y)[at] = y;
}

template <typename In, typename Out> __global__ void bias_act_numbers(struct cuda_bias_act work)
{
    size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= work.count)
        return;
    float sum = wide(((const In *)work.x)[at]) + work.bias[at % (unsigned)work.channels];
#pragma unroll
    for (int k = 0; k < CUDA_SUMMANDS_MAX; ++k)
        if (k < work.before_count)
            sum += wide(((const In *)work.before[k])[at]);
    sum = cuda_activate(sum, work.activation, work.low, work.high);
    if (work.after)
        sum += wide(((const In *)work.after)[at]);
    narrow(&((Out *)work.y)[at], sum);
}

template <typename In, typename Out>
static void launch_bias_act(const struct cuda_bias_act *work, cudaStream_t stream)
{
    bool packs = work->channels % PACK == 0;
    size_t threads = packs ? work->count / PACK : work->count;
    unsigned blocks = (unsigned)((threads + THREADS - 1) / THREADS);
    if (packs)
        bias_act_packs<In, Out><<<blocks, THREADS, 0, stream>>>(*work);
    else
        bias_act_numbers<In, Out><<<blocks, THREADS, 0, stream>>>(*work);
}

int cuda_bias_act(const struct cuda_bias_act *work, cudaStream_t stream)
{
    if (work->count == 0)
        return 0;
    if (work->half && work->half_out)
        launch_bias_act<__half, __half>(work, stream);
    else if (work->half)
        launch_bias_act<__half, float>(work, stream);
    else if (work->half_out)
        return (int)cudaErrorInvalidValue; /* nothing asks for it */
    else
        launch_bias_act<float, float>(work, stream);
    return (int)cudaGetLastError();
}

/* ---- the output into boxes ---- */

__device__ float number(const struct cuda_head &head, size_t at)
{
    return head.half ? __half2float(((const __half *)head.data)[at])
                     : ((const float *)head.data)[at];
}

/* Comparisons with NaN are false, so NaN never passes. */
__device__ bool best_class(const struct cuda_head &head, size_t start, size_t step, float *confidence,
                           int *class_id)
{
    float best = -1;
    int at = 0;
    for (int c = 0; c < head.classes; ++c) {
        if (head.class_wanted && !head.class_wanted[c])
            continue;
        float value = number(head, start + (size_t)(4 + c) * step);
        if (value > best) {
            best = value;
            at = c;
        }
    }
    *confidence = best;
    *class_id = at;
    return best >= head.threshold;
}

__device__ bool read_centers(const struct cuda_head &head, int image_index, int anchor,
                             struct spoton_box *box)
{
    size_t values = (size_t)head.classes + 4, anchors = (size_t)head.anchors;
    size_t step = head.rows_first ? 1 : anchors;
    size_t start = (size_t)image_index * values * anchors +
                   (head.rows_first ? (size_t)anchor * values : (size_t)anchor);
    if (!best_class(head, start, step, &box->confidence, &box->class_id))
        return false;
    float x = number(head, start) * head.unit_x, y = number(head, start + step) * head.unit_y;
    float half_width = number(head, start + 2 * step) * head.unit_x / 2;
    float half_height = number(head, start + 3 * step) * head.unit_y / 2;
    box->x1 = x - half_width;
    box->y1 = y - half_height;
    box->x2 = x + half_width;
    box->y2 = y + half_height;
    return true;
}

__device__ bool read_corners(const struct cuda_head &head, int image_index, int anchor,
                             struct spoton_box *box)
{
    size_t start = ((size_t)image_index * (size_t)head.anchors + (size_t)anchor) * 6;
    float confidence = number(head, start + 4), class_id = number(head, start + 5);
    if (!(confidence >= head.threshold) || !(class_id > -0.5f) ||
        !(class_id < (float)head.classes - 0.5f))
        return false;
    box->class_id = (int)lrintf(class_id);
    if (head.class_wanted && !head.class_wanted[box->class_id])
        return false;
    box->confidence = confidence;
    box->x1 = number(head, start) * head.unit_x;
    box->y1 = number(head, start + 1) * head.unit_y;
    box->x2 = number(head, start + 2) * head.unit_x;
    box->y2 = number(head, start + 3) * head.unit_y;
    return true;
}

/* Boxes over the threshold, and a key for each that sorts by falling confidence, then by anchor: so the
 * order in which they come does not matter. */
__global__ void scan(struct cuda_head head)
{
    int anchor = (int)(blockIdx.x * blockDim.x + threadIdx.x), image_index = (int)blockIdx.y;
    struct spoton_box box;
    if (anchor >= head.anchors || !(head.corners ? read_corners(head, image_index, anchor, &box)
                                                 : read_centers(head, image_index, anchor, &box)))
        return;
    if (!isfinite(box.x1) || !isfinite(box.y1) || !isfinite(box.x2) || !isfinite(box.y2) ||
        !isfinite(box.confidence) || !(box.x2 > box.x1) || !(box.y2 > box.y1))
        return;
    box.confidence = fminf(box.confidence, 1.0f);
    head.candidate[(size_t)image_index * (size_t)head.anchors + (size_t)anchor] = box;
    int at = atomicAdd(&head.candidate_count[image_index], 1);
    unsigned long long order = 0xffffffffu - __float_as_uint(box.confidence);
    head.keys[(size_t)image_index * (size_t)head.keys_stride + (size_t)at] =
        order << 32 | (unsigned)anchor;
}

/* Bitonic, ascending; `padded` is a power of two. */
__device__ void sort_keys(unsigned long long *keys, int padded)
{
    for (int size = 2; size <= padded; size *= 2)
        for (int step = size / 2; step > 0; step /= 2) {
            __syncthreads();
            for (int i = (int)threadIdx.x; i < padded; i += (int)blockDim.x) {
                int other = i ^ step;
                if (other <= i)
                    continue;
                unsigned long long a = keys[i], b = keys[other];
                if ((a > b) == ((i & size) == 0)) {
                    keys[i] = b;
                    keys[other] = a;
                }
            }
        }
    __syncthreads();
}

__device__ double area(const struct spoton_box &box)
{
    return ((double)box.x2 - box.x1) * ((double)box.y2 - box.y1);
}

__device__ double overlap(const struct spoton_box &a, const struct spoton_box &b)
{
    double left = fmax(a.x1, b.x1), right = fmin(a.x2, b.x2);
    double top = fmax(a.y1, b.y1), bottom = fmin(a.y2, b.y2);
    if (left >= right || top >= bottom)
        return 0;
    double both = (right - left) * (bottom - top);
    return both / (area(a) + area(b) - both);
}

__device__ bool goes(const struct cuda_head &head, const struct spoton_box &better,
                     const struct spoton_box &box)
{
    return better.class_id == box.class_id && overlap(better, box) > head.nms_iou;
}

/* Greedy suppression, a warp's number of candidates at a time: first which of them overlap those
 * kept before, and which each other, all pairs at once; then, in order, who stays. */
struct suppression {
    struct spoton_box kept[CUDA_BOXES_MAX];
    struct spoton_box tile[TILE];
    unsigned beaten[TILE]; /* by one that was kept before */
    unsigned above[TILE];  /* a bit for each better one of the tile that overlaps it */
};

/* All threads of the block call it; returns how many are kept now. */
__device__ int keep_tile(const struct cuda_head &head, struct suppression &s, int here, int found)
{
    int i = (int)threadIdx.x / TILE, k = (int)threadIdx.x % TILE;
    bool beaten = false, above = false;
    if (!head.corners && i < here) {
        above = k < i && goes(head, s.tile[k], s.tile[i]);
        for (int old = k; old < found; old += TILE)
            beaten |= goes(head, s.kept[old], s.tile[i]);
    }
    unsigned any_beaten = __ballot_sync(~0u, beaten), all_above = __ballot_sync(~0u, above);
    if (k == 0) {
        s.beaten[i] = any_beaten;
        s.above[i] = all_above;
    }
    __syncthreads();
    unsigned stays = 0;
    for (int at = 0; at < here; ++at)
        if (!s.beaten[at] && !(s.above[at] & stays))
            stays |= 1u << at;
    int own = (int)threadIdx.x;
    if (own < here && (stays >> own & 1)) {
        int place = found + __popc(stays & ((1u << own) - 1));
        if (place < head.boxes_max)
            s.kept[place] = s.tile[own];
    }
    return min(found + __popc(stays), head.boxes_max);
}

/* One block an image: sorts its candidates, keeps greedily. */
__global__ void keep(struct cuda_head head)
{
    __shared__ unsigned long long shared_keys[SHARED_KEYS];
    __shared__ struct suppression s;
    int image_index = (int)blockIdx.x;
    int count = min(head.candidate_count[image_index], head.anchors);
    unsigned long long *keys = head.keys + (size_t)image_index * (size_t)head.keys_stride;
    const struct spoton_box *candidate = head.candidate + (size_t)image_index * (size_t)head.anchors;
    int padded = 1;
    while (padded < count)
        padded *= 2;
    if (padded <= SHARED_KEYS) {
        for (int i = (int)threadIdx.x; i < padded; i += (int)blockDim.x)
            shared_keys[i] = i < count ? keys[i] : ~0ull;
        keys = shared_keys;
    } else {
        for (int i = count + (int)threadIdx.x; i < padded; i += (int)blockDim.x)
            keys[i] = ~0ull;
    }
    sort_keys(keys, padded);
    count = min(count, head.candidates_max);
    int found = 0;
    for (int first = 0; first < count && found < head.boxes_max; first += TILE) {
        int here = min(TILE, count - first);
        if ((int)threadIdx.x < here)
            s.tile[threadIdx.x] = candidate[keys[first + (int)threadIdx.x] & 0xffffffffu];
        __syncthreads();
        found = keep_tile(head, s, here, found);
        __syncthreads();
    }
    for (int k = (int)threadIdx.x; k < found; k += (int)blockDim.x)
        head.boxes[(size_t)image_index * (size_t)head.boxes_max + (size_t)k] = s.kept[k];
    if (threadIdx.x == 0)
        head.box_count[image_index] = found;
}

int cuda_head(const struct cuda_head *head, int image_count, cudaStream_t stream)
{
    int result = (int)cudaMemsetAsync(head->candidate_count, 0,
                                      (size_t)image_count * sizeof *head->candidate_count, stream);
    if (result != 0)
        return result;
    dim3 grid((unsigned)(head->anchors + THREADS - 1) / THREADS, (unsigned)image_count);
    scan<<<grid, THREADS, 0, stream>>>(*head);
    keep<<<(unsigned)image_count, SORT_THREADS, 0, stream>>>(*head);
    return (int)cudaGetLastError();
}

__global__ void trap(void)
{
    __trap();
}

int cuda_break(cudaStream_t stream)
{
    trap<<<1, 1, 0, stream>>>();
    return (int)cudaGetLastError();
}
