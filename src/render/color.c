#include "render/color.h"

#include <libyuv.h>
#include <math.h>
#include <string.h>

/* The row functions below are plain loops written to be vectorised; gcc does so fully only from -O3
 * on. Where the loader supports it, a second version of each uses AVX2; not under TSan, as the
 * loader resolves the versions before TSan has started. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__) &&   \
    !defined(__SANITIZE_THREAD__)
#define SP_VECTORISED __attribute__((optimize("O3"), target_clones("avx2", "default")))
#elif defined(__GNUC__) && !defined(__clang__)
#define SP_VECTORISED __attribute__((optimize("O3")))
#else
#define SP_VECTORISED
#endif

enum {
    SEGMENT = 512, /* chroma samples converted at a time: all temporaries stay in the L1 cache */
    FRACTION_BITS = 5,
    HALF = 1 << (FRACTION_BITS - 1),
    CHROMA_ADD = (128 << FRACTION_BITS) + HALF,
};

/* Weights of red and blue in luma: ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4. */
static const struct {
    double red, blue;
} weights[] = {
    [SP_MATRIX_BT601] = {0.299, 0.114},
    [SP_MATRIX_BT709] = {0.2126, 0.0722},
    [SP_MATRIX_BT2020] = {0.2627, 0.0593},
};

static uint8_t to_byte(double value)
{
    return (uint8_t)(value <= 0 ? 0 : value >= 255 ? 255 : lround(value));
}

struct sp_yuv sp_color_from_rgb(const uint8_t rgb[3], enum sp_color_matrix matrix, bool full_range)
{
    double kr = weights[matrix].red, kb = weights[matrix].blue;
    double y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2];
    double u = (rgb[2] - y) / (2 * (1 - kb));
    double v = (rgb[0] - y) / (2 * (1 - kr));
    if (full_range)
        return (struct sp_yuv){to_byte(y), to_byte(u + 128), to_byte(v + 128)};
    return (struct sp_yuv){to_byte(y * 219 / 255 + 16), to_byte(u * 224 / 255 + 128),
                           to_byte(v * 224 / 255 + 128)};
}

bool sp_color_is_jfif(enum sp_color_matrix matrix, bool full_range)
{
    return full_range && matrix == SP_MATRIX_BT601;
}

/* out = (y * y_in + y_add + [yu yv] * chroma, [uu uv; vu vv] * chroma + 128); each factor is scaled
 * so that the high half of a 16x16-bit product has FRACTION_BITS fraction bits; so have the
 * addends, which include the half that makes the final shift round. */
struct map {
    int16_t y, y_add, yu, yv, uu, uv, vu, vv;
    bool mixes; /* the matrix changes, not only the range */
};

static struct map map_to_jfif(enum sp_color_matrix matrix, bool full_range)
{
    double kr = weights[matrix].red, kb = weights[matrix].blue, kg = 1 - kr - kb;
    double kr1 = weights[SP_MATRIX_BT601].red, kb1 = weights[SP_MATRIX_BT601].blue;
    double kg1 = 1 - kr1 - kb1;
    double luma = full_range ? 1 : 255.0 / 219, chroma = full_range ? 1 : 255.0 / 224;

    /* RGB of a unit of U and of V, without luma */
    double ur = 0, ug = -2 * kb * (1 - kb) / kg, ub = 2 * (1 - kb);
    double vr = 2 * (1 - kr), vg = -2 * kr * (1 - kr) / kg, vb = 0;
    double yu = kr1 * ur + kg1 * ug + kb1 * ub, yv = kr1 * vr + kg1 * vg + kb1 * vb;
    const double unit = 1 << FRACTION_BITS, c = chroma * 256 * unit; /* 256: see centred() */
    return (struct map){
        .y = (int16_t)lround(luma * 256 * unit),
        .y_add = (int16_t)lround((128 - (full_range ? 0 : 16)) * luma * unit + HALF),
        .yu = (int16_t)lround(yu * c),
        .yv = (int16_t)lround(yv * c),
        .uu = (int16_t)lround((ub - yu) / (2 * (1 - kb1)) * c),
        .uv = (int16_t)lround((vb - yv) / (2 * (1 - kb1)) * c),
        .vu = (int16_t)lround((ur - yu) / (2 * (1 - kr1)) * c),
        .vv = (int16_t)lround((vr - yv) / (2 * (1 - kr1)) * c),
        .mixes = matrix != SP_MATRIX_BT601,
    };
}

static inline int16_t high(int16_t a, int16_t b)
{
    return (int16_t)(((int32_t)a * b) >> 16);
}

/* Luma too is taken relative to 128: a signed product's high half is one instruction. */
static inline int16_t centred(uint8_t value)
{
    return (int16_t)((value - 128) * 256);
}

static inline uint8_t rounded(int16_t fixed)
{
    int16_t value = (int16_t)(fixed >> FRACTION_BITS);
    value = (int16_t)(value < 0 ? 0 : value);
    return (uint8_t)(value > 255 ? 255 : value);
}

SP_VECTORISED static void scale_row(uint8_t *restrict out, const uint8_t *restrict in, int n,
                                    int16_t factor, int16_t add)
{
    for (int i = 0; i < n; i++)
        out[i] = rounded((int16_t)(high(centred(in[i]), factor) + add));
}

SP_VECTORISED static void mix_chroma(uint8_t *restrict out, const uint8_t *restrict u,
                                     const uint8_t *restrict v, int n, int16_t fu, int16_t fv)
{
    for (int i = 0; i < n; i++)
        out[i] = rounded((int16_t)(high(centred(u[i]), fu) + high(centred(v[i]), fv) + CHROMA_ADD));
}

/* The addend for each of the two luma samples over a chroma sample. */
SP_VECTORISED static void luma_share(int16_t *restrict share, const uint8_t *restrict u,
                                     const uint8_t *restrict v, int n, int16_t fu, int16_t fv,
                                     int16_t add)
{
    for (int i = 0; i < n; i++) {
        int16_t sum = (int16_t)(high(centred(u[i]), fu) + high(centred(v[i]), fv) + add);
        share[2 * i] = sum;
        share[2 * i + 1] = sum;
    }
}

SP_VECTORISED static void mix_luma(uint8_t *restrict out, const uint8_t *restrict in,
                                   const int16_t *restrict share, int n, int16_t factor)
{
    for (int i = 0; i < n; i++)
        out[i] = rounded((int16_t)(high(centred(in[i]), factor) + share[i]));
}

/* One row of chroma with the one or two rows of luma over it, one segment at a time. */
static void convert_rows(const struct map *map, const struct sp_planes_in *from,
                         uint8_t *const plane[3], const int stride_bytes[3], int width_px,
                         int chroma_row, int luma_rows)
{
    uint8_t split[2][SEGMENT];
    int16_t share[2 * SEGMENT];
    const int *stride = from->stride_bytes;
    int chroma_width = (width_px + 1) / 2;
    for (int x = 0; x < chroma_width; x += SEGMENT) {
        int n = chroma_width - x < SEGMENT ? chroma_width - x : SEGMENT;
        int luma_n = width_px - 2 * x < 2 * n ? width_px - 2 * x : 2 * n;
        const uint8_t *u = from->plane[1] + (ptrdiff_t)chroma_row * stride[1] + x, *v;
        if (from->format == SP_PIXEL_NV12) {
            SplitUVPlane(u + x, 0, split[0], 0, split[1], 0, n, 1);
            u = split[0];
            v = split[1];
        } else {
            v = from->plane[2] + (ptrdiff_t)chroma_row * stride[2] + x;
        }
        uint8_t *u_out = plane[1] + (ptrdiff_t)chroma_row * stride_bytes[1] + x;
        uint8_t *v_out = plane[2] + (ptrdiff_t)chroma_row * stride_bytes[2] + x;
        if (map->mixes) {
            mix_chroma(u_out, u, v, n, map->uu, map->uv);
            mix_chroma(v_out, u, v, n, map->vu, map->vv);
            luma_share(share, u, v, n, map->yu, map->yv, map->y_add);
        } else {
            scale_row(u_out, u, n, map->uu, CHROMA_ADD);
            scale_row(v_out, v, n, map->vv, CHROMA_ADD);
        }
        for (int row = 2 * chroma_row; row < 2 * chroma_row + luma_rows; row++) {
            const uint8_t *in = from->plane[0] + (ptrdiff_t)row * stride[0] + 2 * x;
            uint8_t *out = plane[0] + (ptrdiff_t)row * stride_bytes[0] + 2 * x;
            if (map->mixes)
                mix_luma(out, in, share, luma_n, map->y);
            else
                scale_row(out, in, luma_n, map->y, map->y_add);
        }
    }
}

void sp_color_to_jfif(const struct sp_planes_in *from, uint8_t *const plane[3],
                      const int stride_bytes[3], int width_px, int height_px)
{
    struct map map = map_to_jfif(from->matrix, from->full_range);
    for (int row = 0; row < (height_px + 1) / 2; row++)
        convert_rows(&map, from, plane, stride_bytes, width_px, row,
                     height_px - 2 * row < 2 ? 1 : 2);
}
