#include "render/draw.h"

#include "render/color.h"
#include "render/marks.h"
#include "render/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    FAR_PX = 1 << 20,   /* beyond any image; sums of it stay far below INT_MAX */
    PLACED_MAX = 128,   /* labels that later labels must not overlap */
    OUTLINE_KEEP = 120, /* of 256: how much luma remains beside a line and under the title */
    PLATE_KEEP = 84,
};

struct rect {
    int x0, y0, x1, y1; /* x1 and y1 are exclusive */
};

/* Everything that depends on the image's size. */
struct pen {
    struct sp_canvas *canvas;
    struct sp_marks *marks; /* NULL: the canvas is drawn on */
    struct sp_text *text;
    struct rect image;
    int line_px;    /* even, so that chroma ends where luma does */
    int outline_px; /* a darker outline keeps a line visible on a background of its own colour */
    int text_px;
    int pad_px;
    struct sp_yuv ink; /* of the text being drawn */
    struct rect placed[PLACED_MAX];
    int placed_count;
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int clamp_int(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static struct rect intersect(struct rect a, struct rect b)
{
    return (struct rect){max_int(a.x0, b.x0), max_int(a.y0, b.y0), min_int(a.x1, b.x1),
                         min_int(a.y1, b.y1)};
}

static bool is_empty(struct rect r)
{
    return r.x0 >= r.x1 || r.y0 >= r.y1;
}

static struct rect grown(struct rect r, int by)
{
    return (struct rect){r.x0 - by, r.y0 - by, r.x1 + by, r.y1 + by};
}

static void fill_plane(uint8_t *plane, int stride_bytes, struct rect r, uint8_t value)
{
    uint8_t *row = plane + (ptrdiff_t)r.y0 * stride_bytes + r.x0;
    size_t n = (size_t)(r.x1 - r.x0);
    for (int y = r.y0; y < r.y1; y++, row += stride_bytes)
        memset(row, value, n);
}

static struct spoton_mark mark_of(enum spoton_mark_kind kind, struct rect r, struct sp_yuv color,
                                  int keep)
{
    return (struct spoton_mark){.kind = kind,
                                .x0 = r.x0,
                                .y0 = r.y0,
                                .x1 = r.x1,
                                .y1 = r.y1,
                                .y = color.y,
                                .u = color.u,
                                .v = color.v,
                                .keep = (uint8_t)keep};
}

/* The chroma samples that a rectangle covers, also in part. */
static struct rect chroma_of(struct rect r)
{
    return (struct rect){r.x0 / 2, r.y0 / 2, (r.x1 + 1) / 2, (r.y1 + 1) / 2};
}

static void fill(const struct pen *pen, struct rect r, struct sp_yuv color)
{
    r = intersect(r, pen->image);
    if (is_empty(r))
        return;
    if (pen->marks) {
        sp_marks_add(pen->marks, mark_of(SPOTON_MARK_FILL, r, color, 0));
        return;
    }
    struct sp_canvas *canvas = pen->canvas;
    fill_plane(canvas->plane[0], canvas->stride_bytes[0], r, color.y);
    fill_plane(canvas->plane[1], canvas->stride_bytes[1], chroma_of(r), color.u);
    fill_plane(canvas->plane[2], canvas->stride_bytes[2], chroma_of(r), color.v);
}

/* Blends samples towards `to`, keeping keep/256 of the old value. */
static void fade_plane(uint8_t *plane, int stride_bytes, struct rect r, int keep, int to)
{
    int add = to * (256 - keep) + 128;
    for (int y = r.y0; y < r.y1; y++) {
        uint8_t *row = plane + (ptrdiff_t)y * stride_bytes;
        for (int x = r.x0; x < r.x1; x++)
            row[x] = (uint8_t)((row[x] * keep + add) >> 8);
    }
}

static int black_of(const struct sp_canvas *canvas)
{
    return canvas->full_range ? 0 : 16;
}

static void darken(const struct pen *pen, struct rect r, int keep)
{
    r = intersect(r, pen->image);
    int black = black_of(pen->canvas);
    if (is_empty(r))
        return;
    if (pen->marks)
        sp_marks_add(pen->marks,
                     mark_of(SPOTON_MARK_FADE_LUMA, r, (struct sp_yuv){.y = (uint8_t)black}, keep));
    else
        fade_plane(pen->canvas->plane[0], pen->canvas->stride_bytes[0], r, keep, black);
}

/* Towards grey. */
static void bleach(const struct pen *pen, struct rect r, int keep)
{
    struct sp_canvas *canvas = pen->canvas;
    if (pen->marks) {
        sp_marks_add(pen->marks, mark_of(SPOTON_MARK_FADE_CHROMA, r,
                                         (struct sp_yuv){.u = 128, .v = 128}, keep));
        return;
    }
    fade_plane(canvas->plane[1], canvas->stride_bytes[1], chroma_of(r), keep, 128);
    fade_plane(canvas->plane[2], canvas->stride_bytes[2], chroma_of(r), keep, 128);
}

/* The four sides of an outline of this width inside r, without overlap. */
static void sides_of(struct rect r, int width, struct rect side[4])
{
    int top = min_int(r.y0 + width, r.y1), bottom = max_int(r.y1 - width, top);
    int left = min_int(r.x0 + width, r.x1), right = max_int(r.x1 - width, left);
    side[0] = (struct rect){r.x0, r.y0, r.x1, top};
    side[1] = (struct rect){r.x0, bottom, r.x1, r.y1};
    side[2] = (struct rect){r.x0, top, left, bottom};
    side[3] = (struct rect){right, top, r.x1, bottom};
}

static void darken_frame(const struct pen *pen, struct rect r, int width)
{
    struct rect side[4];
    if (is_empty(r))
        return;
    sides_of(r, width, side);
    for (int i = 0; i < 4; i++)
        darken(pen, side[i], OUTLINE_KEEP);
}

static void solid_frame(const struct pen *pen, struct rect box, struct sp_yuv color)
{
    struct rect side[4];
    darken_frame(pen, grown(box, pen->outline_px), pen->outline_px);
    darken_frame(pen, grown(box, -pen->line_px), pen->outline_px);
    sides_of(box, pen->line_px, side);
    for (int i = 0; i < 4; i++)
        fill(pen, side[i], color);
}

/* Dashes start at the box's own corner, so that they move with it. Only those inside the image are
 * drawn: a box may be far larger. */
static void dash_side(const struct pen *pen, struct rect side, bool across, struct sp_yuv color)
{
    int dash = 4 * pen->line_px, period = 7 * pen->line_px / 2 * 2;
    int from = across ? side.x0 : side.y0, to = across ? side.x1 : side.y1;
    int last = min_int(to, across ? pen->image.x1 : pen->image.y1);
    int first = from < -period ? from + (-from / period) * period : from;
    for (int at = first; at < last; at += period) {
        int end = min_int(at + dash, to);
        struct rect piece = side;
        if (across)
            piece.x0 = at, piece.x1 = end;
        else
            piece.y0 = at, piece.y1 = end;
        darken(pen, grown(piece, pen->outline_px), OUTLINE_KEEP);
        fill(pen, piece, color);
    }
}

static void dashed_frame(const struct pen *pen, struct rect box, struct sp_yuv color)
{
    int line = pen->line_px;
    dash_side(pen, (struct rect){box.x0, box.y0, box.x1, box.y0 + line}, true, color);
    dash_side(pen, (struct rect){box.x0, box.y1 - line, box.x1, box.y1}, true, color);
    dash_side(pen, (struct rect){box.x0, box.y0, box.x0 + line, box.y1}, false, color);
    dash_side(pen, (struct rect){box.x1 - line, box.y0, box.x1, box.y1}, false, color);
}

/* The nearest even number, clamped far outside the image. */
static int even(double value)
{
    if (value <= -FAR_PX || value >= FAR_PX)
        return value < 0 ? -FAR_PX : FAR_PX;
    return 2 * (int)lround(value / 2);
}

/* False: invalid, or entirely outside. A box smaller than its own lines is drawn as a dot of their
 * width. */
static bool box_of(const struct pen *pen, const struct sp_track *track, struct rect *box)
{
    if (!(track->x1_px <= track->x2_px && track->y1_px <= track->y2_px)) /* also NaN */
        return false;
    *box = (struct rect){even(track->x1_px), even(track->y1_px), even(track->x2_px),
                         even(track->y2_px)};
    box->x1 = max_int(box->x1, box->x0 + 2 * pen->line_px);
    box->y1 = max_int(box->y1, box->y0 + 2 * pen->line_px);
    return !is_empty(intersect(*box, pen->image));
}

/* Linear sRGB of an OKLab colour (Ottosson 2020); false outside the gamut. */
static bool linear_of_oklab(double lightness, double a, double b, double linear[3])
{
    double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    double s = lightness - 0.0894841775 * a - 1.2914855480 * b;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    linear[0] = +4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
    linear[1] = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
    linear[2] = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s;
    for (int i = 0; i < 3; i++)
        if (linear[i] < 0 || linear[i] > 1)
            return false;
    return true;
}

/* The hue turns by the golden ratio from id to id, which separates any run of neighbours; three
 * tones alternate, because after 5, 8 and 13 ids the hue is nearly the same again. All are light
 * enough for a dark scene and as saturated as sRGB allows, for a bright one. */
void sp_draw_color(uint32_t id, uint8_t rgb[3])
{
    static const double tones[] = {0.72, 0.85, 0.64};
    double lightness = tones[id % 3];
    double turn = 0.08 + id * 0.6180339887498949;
    double hue = (turn - floor(turn)) * 2 * M_PI, a = cos(hue), b = sin(hue);
    double linear[3] = {0};
    double chroma = 0.32;
    while (!linear_of_oklab(lightness, chroma * a, chroma * b, linear))
        chroma -= 0.01;
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)lround(255 * (linear[i] <= 0.0031308
                                            ? 12.92 * linear[i]
                                            : 1.055 * pow(linear[i], 1 / 2.4) - 0.055));
}

static void blend_plane(uint8_t *plane, int stride_bytes, struct rect r, int x_px, int y_px,
                        const uint8_t *coverage, int coverage_stride, int to)
{
    for (int y = r.y0; y < r.y1; y++) {
        uint8_t *row = plane + (ptrdiff_t)y * stride_bytes;
        const uint8_t *from = coverage + (ptrdiff_t)(y - y_px) * coverage_stride - x_px;
        for (int x = r.x0; x < r.x1; x++) {
            int share = from[x] + (from[x] >> 7); /* 0..256 */
            row[x] = (uint8_t)(row[x] + (((to - row[x]) * share + 128) >> 8));
        }
    }
}

static void blend_glyph(void *user, int x_px, int y_px, int width_px, int height_px,
                        int stride_bytes, const uint8_t *coverage)
{
    const struct pen *pen = user;
    struct sp_canvas *canvas = pen->canvas;
    struct rect r =
        intersect((struct rect){x_px, y_px, x_px + width_px, y_px + height_px}, pen->image);
    if (is_empty(r))
        return;
    if (pen->marks) {
        sp_marks_add_glyph(pen->marks, mark_of(SPOTON_MARK_GLYPH, r, pen->ink, 0),
                           coverage + (ptrdiff_t)(r.y0 - y_px) * stride_bytes + r.x0 - x_px,
                           stride_bytes);
        return;
    }
    blend_plane(canvas->plane[0], canvas->stride_bytes[0], r, x_px, y_px, coverage, stride_bytes,
                pen->ink.y);

    /* A chroma sample uses the mean coverage of its four pixels. */
    struct rect c = chroma_of(r);
    for (int y = c.y0; y < c.y1; y++) {
        uint8_t *u = canvas->plane[1] + (ptrdiff_t)y * canvas->stride_bytes[1];
        uint8_t *v = canvas->plane[2] + (ptrdiff_t)y * canvas->stride_bytes[2];
        for (int x = c.x0; x < c.x1; x++) {
            int sum = 0;
            for (int py = max_int(2 * y, r.y0); py < min_int(2 * y + 2, r.y1); py++)
                for (int px = max_int(2 * x, r.x0); px < min_int(2 * x + 2, r.x1); px++)
                    sum += coverage[(ptrdiff_t)(py - y_px) * stride_bytes + px - x_px];
            u[x] = (uint8_t)(u[x] + (pen->ink.u - u[x]) * sum / (4 * 255));
            v[x] = (uint8_t)(v[x] + (pen->ink.v - v[x]) * sum / (4 * 255));
        }
    }
}

static void write_text(struct pen *pen, int x_px, int baseline_px, const char *string, uint8_t grey)
{
    const uint8_t rgb[3] = {grey, grey, grey};
    pen->ink = sp_color_from_rgb(rgb, pen->canvas->matrix, pen->canvas->full_range);
    sp_text_render(pen->text, pen->text_px, x_px, baseline_px, string, blend_glyph, pen);
}

static bool is_free(const struct pen *pen, struct rect r)
{
    for (int i = 0; i < pen->placed_count; i++)
        if (!is_empty(intersect(r, pen->placed[i])))
            return false;
    return true;
}

static void keep_clear(struct pen *pen, struct rect r)
{
    if (pen->placed_count < PLACED_MAX)
        pen->placed[pen->placed_count++] = r;
}

/* On the box's top edge if there is room, else at the next position within the image that overlaps
 * no earlier label; inside the box, where it hides the person, only as the last resort. A box that
 * begins at or above the image's top has its label just inside. */
static struct rect place_label(const struct pen *pen, struct rect box, int width, int height)
{
    const int above = box.y0 - height, inside = max_int(box.y0, 0), below = box.y1;
    const bool open_top = above < 0;
    const struct {
        int x, y;
    } places[] = {
        {box.x0, open_top ? inside : above},
        {box.x1 - width, open_top ? inside : above},
        {box.x0, below},
        {box.x1 - width, below},
        {box.x0, inside},
        {box.x0, box.y1 - height},
    };
    const int right = max_int(pen->image.x1 - width, 0);
    const int lowest = max_int(pen->image.y1 - height, 0);
    struct rect first = {0, 0, 0, 0};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int x = clamp_int(places[i].x, 0, right), y = clamp_int(places[i].y, 0, lowest);
        struct rect r = {x, y, x + width, y + height};
        if (y == places[i].y && is_free(pen, r))
            return r;
        if (i == 0)
            first = r;
    }
    return first;
}

/* The id and the class, and the confidence beside them in a dimmer colour. */
static void draw_label(struct pen *pen, const struct sp_track *track, struct rect box,
                       const struct sp_draw_style *style, const uint8_t rgb[3], struct sp_yuv color)
{
    char id[SP_CLASS_NAME_BYTES + 20] = "", confidence[16] = "", number[16];
    if (style->ids)
        snprintf(id, sizeof id, "%u", track->id);
    if (style->names)
        snprintf(id + strlen(id), SP_CLASS_NAME_BYTES, "%s%s", style->ids ? " " : "",
                 sp_class_name(style->names, track->class_id, number));
    if (style->confidences)
        snprintf(confidence, sizeof confidence, "%.2f", track->confidence);

    int id_width, confidence_width, ascent, descent;
    sp_text_measure(pen->text, pen->text_px, id, &id_width, &ascent, &descent);
    sp_text_measure(pen->text, pen->text_px, confidence, &confidence_width, &ascent, &descent);
    int gap = id[0] && style->confidences ? pen->text_px / 2 : 0;
    int width = id_width + gap + confidence_width;
    int tab_width = (width + 2 * pen->pad_px + 1) & ~1, tab_height = (ascent + descent + 1) & ~1;
    struct rect tab = place_label(pen, box, tab_width, tab_height);
    keep_clear(pen, tab);
    darken_frame(pen, grown(tab, pen->outline_px), pen->outline_px);
    fill(pen, tab, color);

    bool light = 299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] > 120 * 1000;
    int x = tab.x0 + (tab_width - width) / 2, baseline = tab.y0 + ascent;
    write_text(pen, x, baseline, id, light ? 10 : 255);
    write_text(pen, x + id_width + gap, baseline, confidence, light ? 42 : 225);
}

/* A translucent plate with the name and, beside or under it, the clock. */
static void draw_title(struct pen *pen, const struct sp_draw_style *style)
{
    const char *title = style->title ? style->title : "", *clock = style->clock ? style->clock : "";
    int title_width, clock_width, ascent, descent;
    sp_text_measure(pen->text, pen->text_px, title, &title_width, &ascent, &descent);
    sp_text_measure(pen->text, pen->text_px, clock, &clock_width, &ascent, &descent);
    if (title_width + clock_width == 0)
        return;
    int line = ascent + descent, gap = title_width && clock_width ? pen->text_px : 0;
    int width = title_width + gap + clock_width + 4 * pen->pad_px;
    bool two_lines = gap && width > pen->image.x1;
    if (two_lines)
        width = max_int(title_width, clock_width) + 4 * pen->pad_px;
    int height = (two_lines ? 2 : 1) * line + pen->pad_px;
    struct rect plate =
        intersect((struct rect){0, 0, (width + 1) & ~1, (height + 1) & ~1}, pen->image);
    keep_clear(pen, plate);
    if (is_empty(plate))
        return;
    darken(pen, plate, PLATE_KEEP);
    bleach(pen, plate, PLATE_KEEP);
    int baseline = pen->pad_px / 2 + ascent, x = 2 * pen->pad_px;
    write_text(pen, x, baseline, title, 255);
    write_text(pen, two_lines ? x : x + title_width + gap, two_lines ? baseline + line : baseline,
               clock, 205);
}

static struct pen pen_for(struct sp_canvas *canvas, struct sp_marks *marks, struct sp_text *text)
{
    int height = canvas->height_px;
    int line = max_int(2, 2 * (int)(height / 480.0 + 0.4));
    int text_px = max_int(11, (int)lround(height / 45.0));
    return (struct pen){
        .canvas = canvas,
        .marks = marks,
        .text = text,
        .image = {0, 0, (canvas->width_px + 1) & ~1, (height + 1) & ~1},
        .line_px = line,
        .outline_px = max_int(1, line / 4),
        .text_px = text_px,
        .pad_px = max_int(3, text_px * 3 / 10),
    };
}

static void draw_all(struct pen *pen, const struct sp_track *tracks, size_t track_count,
                     const struct sp_draw_style *style)
{
    const struct sp_canvas *canvas = pen->canvas;
    struct rect box;
    uint8_t rgb[3];
    for (size_t i = 0; i < track_count; i++) {
        if (!box_of(pen, &tracks[i], &box))
            continue;
        sp_draw_color(tracks[i].id, rgb);
        struct sp_yuv color = sp_color_from_rgb(rgb, canvas->matrix, canvas->full_range);
        if (style->predicted)
            dashed_frame(pen, box, color);
        else
            solid_frame(pen, box, color);
    }
    if (!pen->text)
        return;
    draw_title(pen, style);
    /* After all boxes, so that no line crosses a label. */
    for (size_t i = 0; (style->ids || style->confidences || style->names) && i < track_count; i++) {
        if (!box_of(pen, &tracks[i], &box))
            continue;
        sp_draw_color(tracks[i].id, rgb);
        draw_label(pen, &tracks[i], box, style, rgb,
                   sp_color_from_rgb(rgb, canvas->matrix, canvas->full_range));
    }
}

void sp_draw_tracks(struct sp_canvas *canvas, struct sp_text *text, const struct sp_track *tracks,
                    size_t track_count, const struct sp_draw_style *style)
{
    if (!canvas->memory)
        return;
    struct pen pen = pen_for(canvas, NULL, text);
    draw_all(&pen, tracks, track_count, style);
}

int sp_draw_marks(struct sp_marks *marks, int width_px, int height_px, struct sp_text *text,
                  const struct sp_track *tracks, size_t track_count,
                  const struct sp_draw_style *style, struct sp_error *err)
{
    struct sp_canvas size = {.width_px = width_px,
                             .height_px = height_px,
                             .matrix = SP_MATRIX_BT601,
                             .full_range = true};
    struct pen pen = pen_for(&size, marks, text);
    marks->count = marks->coverage_bytes = 0;
    marks->incomplete = false;
    draw_all(&pen, tracks, track_count, style);
    return marks->incomplete ? sp_fail(err, SP_ERR_NO_MEMORY, "overlay: out of memory") : SP_OK;
}
