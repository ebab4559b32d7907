#include "space/ground.h"

#include <math.h>

/* A tracked box's lower edge: a fixed part and a part of its height. */
static const double NOISE_PX = 1.5, NOISE_PART_Y = 0.02, NOISE_PART_X = 0.02;
static const double CUT_PART = 0.25, HIDDEN_PART = 0.12;
static const double EDGE_PX = 3;
static const double DEVIATION_MAX_M = 6;

/* The part of the lower quarter of `box` that is covered by boxes nearer to the camera. */
static double hidden_part(const struct sp_track *tracks, size_t count, const struct sp_track *box)
{
    double top = box->y2_px - 0.25 * (box->y2_px - box->y1_px);
    double area = (box->x2_px - box->x1_px) * (box->y2_px - top), worst = 0;
    for (size_t i = 0; i < count && area > 0; i++) {
        const struct sp_track *other = &tracks[i];
        if (other == box || other->y2_px <= box->y2_px)
            continue;
        double width = fmin(box->x2_px, other->x2_px) - fmax(box->x1_px, other->x1_px);
        double height = box->y2_px - fmax(top, other->y1_px);
        if (width > 0 && height > 0)
            worst = fmax(worst, width * height / area);
    }
    return worst > 1 ? 1 : worst;
}

static struct sp_foot foot_of(const struct sp_ground *g, const struct sp_track *tracks,
                              size_t count, const struct sp_track *box, double sx, double sy,
                              double frame_height_px, double noise)
{
    struct sp_foot foot = {0};
    double height = (box->y2_px - box->y1_px) * sy, width = (box->x2_px - box->x1_px) * sx;
    bool cut = box->y2_px >= frame_height_px - EDGE_PX;
    double hidden = hidden_part(tracks, count, box);
    struct sp_point image = {0.5 * (box->x1_px + box->x2_px) * sx, box->y2_px * sy}, map;
    double j[4];
    if (!sp_homography_to_map(&g->homography, image, &map) ||
        !sp_homography_jacobian(&g->homography, image, j))
        return foot;
    double dx = NOISE_PX + NOISE_PART_X * fmax(width, height / 3);
    double dy = NOISE_PX + NOISE_PART_Y * height;
    double vx = dx * dx * noise, vy = dy * dy * noise;
    vy += pow(HIDDEN_PART * hidden * height, 2);
    if (cut)
        vy += pow(CUT_PART * height, 2);
    double m2 = g->units_per_m * g->units_per_m, floor2 = g->floor_m * g->floor_m;
    foot.spot = (struct sp_spot){
        .x = map.x / g->units_per_m,
        .y = map.y / g->units_per_m,
        .xx = (j[0] * j[0] * vx + j[1] * j[1] * vy) / m2 + floor2,
        .xy = (j[0] * j[2] * vx + j[1] * j[3] * vy) / m2,
        .yy = (j[2] * j[2] * vx + j[3] * j[3] * vy) / m2 + floor2,
    };
    double largest = foot.spot.xx + foot.spot.yy;
    foot.valid = isfinite(largest) && largest < DEVIATION_MAX_M * DEVIATION_MAX_M;
    foot.sure = !cut && hidden < 0.3;
    return foot;
}

void sp_ground_feet(const struct sp_ground *ground, const struct sp_track *tracks, size_t count,
                    int width_px, int height_px, double noise, struct sp_foot *feet)
{
    double sx = ground->width_px / width_px, sy = ground->height_px / height_px;
    for (size_t i = 0; i < count; i++)
        feet[i] = foot_of(ground, tracks, count, &tracks[i], sx, sy, height_px, noise);
}

/* The farthest visible point of the image column x: below the horizon and within reach. The outline
 * runs up one side, over the top and down the other. */
static bool column_point(const struct sp_ground *g, double x, struct sp_point from, double reach,
                         struct sp_point *out)
{
    bool found = false;
    double low = 0, high = g->height_px; /* image rows: visible at high, not above low */
    for (int i = 0; i < 24; i++) {
        double y = i == 0 ? 0 : 0.5 * (low + high);
        struct sp_point at;
        bool seen = sp_homography_to_map(&g->homography, (struct sp_point){x, y}, &at) &&
                    hypot(at.x - from.x, at.y - from.y) <= reach;
        if (seen) {
            *out = at;
            found = true;
            high = y;
            if (i == 0)
                break;
        } else {
            low = y;
        }
    }
    return found;
}

int sp_ground_view(const struct sp_ground *ground, double reach_m,
                   struct sp_point corners[SP_VIEW_CORNERS])
{
    enum { COLUMNS = 17 };
    struct sp_point from, at;
    double w = ground->width_px, h = ground->height_px, reach = reach_m * ground->units_per_m;
    int count = 0;
    if (!sp_homography_to_map(&ground->homography, (struct sp_point){w / 2, h}, &from))
        return 0;
    for (int i = 0; i < 5; i++) /* the lower edge, from right to left */
        if (sp_homography_to_map(&ground->homography, (struct sp_point){w - w * i / 4, h}, &at) &&
            hypot(at.x - from.x, at.y - from.y) <= reach)
            corners[count++] = at;
    for (int i = 0; i < COLUMNS; i++)
        if (column_point(ground, w * i / (COLUMNS - 1), from, reach, &at))
            corners[count++] = at;
    return count >= 3 ? count : 0;
}
