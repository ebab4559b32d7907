/* What a sim:// camera sees: the floor, the people, and the faults that change pixels. */
#include "capture/sim/sim.h"

#include <math.h>
#include <string.h>

enum {
    TILE_PX = 32,
    TILE_LEVELS = 48,     /* by so much the brightness of tiles differs */
    INFRARED_LEVELS = 90, /* and under infrared */
    SHAKE_PX = 4,
    FLICKER_LEVELS = 15,
    STREAKS = 60,
    STREAK_WIDTH_PX = 2,
    STREAK_LUMA = 190, /* below that of a person */
};

static const double PAN_WIDTHS_S = 0.25;                       /* widths of the frame per second */
static const double VISIT_S = 20, CROSSING_S = 8, FIRST_S = 3; /* of visitors */

/* An integer hash (one xorshift-multiply step), so that people and tiles differ. */
static uint32_t scatter(uint32_t value)
{
    value ^= value >> 16;
    value *= 0x7feb352dU;
    value ^= value >> 15;
    value *= 0x846ca68bU;
    return value ^ value >> 16;
}

struct sp_sim_box sp_sim_person(const struct sp_sim_plan *plan, int index, uint64_t number,
                                int width_px, int height_px)
{
    uint32_t dice = scatter(plan->seed * 64 + (uint32_t)index + 1);
    int people = plan->people > 0 ? plan->people : 1;
    /* Each walks in a band of its own, so that boxes do not overlap. */
    int instances = people < 3 ? people : 3, columns = (people + instances - 1) / instances;
    int band_px = height_px / instances, cell_px = width_px / columns;
    struct sp_sim_box box = {.height_px = band_px * 3 / 5};
    box.width_px = box.height_px / 2 < cell_px / 2 ? box.height_px / 2 : cell_px / 2;
    box.y_px = index % instances * band_px + band_px / 5;
    if (plan->pattern == SP_SIM_VISIT) {
        double since_s = (double)number / plan->fps - FIRST_S - index * VISIT_S / people;
        double part = since_s < 0 ? 1 : fmod(since_s, VISIT_S) / CROSSING_S;
        box.x_px = (int)lround(part * (width_px + box.width_px)) - box.width_px;
        box.width_px = part < 1 ? box.width_px : 0;
        return box;
    }
    double seconds = plan->pattern == SP_SIM_WALK ? (double)number / plan->fps : 0;
    /* Up to a tenth of the width per second, back and forth within its cell. */
    int room_px = cell_px - box.width_px - cell_px / 8;
    room_px = room_px > 1 ? room_px : 1;
    double speed_px = width_px * (0.05 + 0.05 * (dice % 1000) / 1000.0);
    double way_px = fmod(dice / 1000 % 1000 + seconds * speed_px, 2.0 * room_px);
    double x_px = way_px < room_px ? way_px : 2.0 * room_px - way_px;
    box.x_px = index / instances * cell_px + (int)x_px;
    return box;
}

struct offset {
    int x_px, y_px; /* of the camera's view */
};

static struct offset offset_of(const struct sp_sim_plan *plan, uint64_t number, int width_px)
{
    struct offset offset = {0};
    double left_s, time_s = (double)number / plan->fps;
    if (sp_sim_is_on(plan, SP_SIM_PAN, time_s, &left_s)) {
        double turned_s = fmin(left_s, plan->fault[SP_SIM_PAN].for_s - left_s);
        offset.x_px += (int)lround(turned_s * PAN_WIDTHS_S * width_px);
    }
    if (sp_sim_is_on(plan, SP_SIM_SHAKE, time_s, NULL)) {
        uint32_t dice = scatter((uint32_t)number + 7);
        offset.x_px += (int)(dice % (2 * SHAKE_PX + 1)) - SHAKE_PX;
        offset.y_px += (int)(dice / 64 % (2 * SHAKE_PX + 1)) - SHAKE_PX;
    }
    return offset;
}

static void draw_floor(const struct sp_sim_plan *plan, uint64_t number, struct offset offset,
                       int width_px, int height_px, uint8_t *luma)
{
    bool infrared = sp_sim_is_on(plan, SP_SIM_INFRARED, (double)number / plan->fps, NULL);
    /* The change distinguishes a working camera of a still scene from a frozen one. */
    int floor_luma = SP_SIM_FLOOR_LUMA + (int)(number % 3);
    if (!plan->tiles && !infrared) {
        memset(luma, floor_luma, (size_t)width_px * (size_t)height_px);
        return;
    }
    uint32_t seed = plan->seed + (infrared ? 1000003U : 0);
    uint32_t levels = infrared ? INFRARED_LEVELS : TILE_LEVELS;
    for (int y = 0; y < height_px; y++) {
        uint8_t *row = luma + (size_t)y * (size_t)width_px;
        /* Tiles before the first one have numbers too: the view is shifted by 64 of them. */
        uint32_t down = (uint32_t)(y + offset.y_px + 64 * TILE_PX) / TILE_PX;
        for (int x = 0; x < width_px; x++) {
            uint32_t across = (uint32_t)(x + offset.x_px + 64 * TILE_PX) / TILE_PX;
            row[x] = (uint8_t)((uint32_t)floor_luma +
                               scatter(across * 8191 + down * 131071 + seed) % levels);
        }
    }
}

void sp_sim_draw(const struct sp_sim_plan *plan, uint64_t number, int width_px, int height_px,
                 uint8_t *luma)
{
    struct offset offset = offset_of(plan, number, width_px);
    draw_floor(plan, number, offset, width_px, height_px, luma);
    bool people = plan->pattern == SP_SIM_WALK || plan->pattern == SP_SIM_STILL ||
                  plan->pattern == SP_SIM_VISIT;
    for (int i = 0; i < plan->people && people; i++) {
        struct sp_sim_box box = sp_sim_person(plan, i, number, width_px, height_px);
        int left = box.x_px - offset.x_px, right = left + box.width_px;
        int top = box.y_px - offset.y_px, bottom = top + box.height_px;
        left = left > 0 ? left : 0;
        right = right < width_px ? right : width_px;
        bottom = bottom < height_px ? bottom : height_px;
        for (int y = top > 0 ? top : 0; y < bottom && left < right; y++)
            memset(luma + (size_t)y * (size_t)width_px + left, SP_SIM_PERSON_LUMA,
                   (size_t)(right - left));
    }
}

static void rain(uint64_t number, int width_px, int height_px, uint8_t *luma)
{
    int length_px = height_px / 12;
    for (uint32_t i = 0; i < STREAKS; i++) {
        uint32_t dice = scatter((uint32_t)number * STREAKS + i + 1);
        int x = (int)(dice % (uint32_t)(width_px - STREAK_WIDTH_PX));
        int top = (int)(scatter(dice) % (uint32_t)(height_px - length_px));
        for (int y = top; y < top + length_px; y++)
            memset(luma + (size_t)y * (size_t)width_px + x, STREAK_LUMA, STREAK_WIDTH_PX);
    }
}

static void flicker(int width_px, int height_px, uint8_t *luma)
{
    for (int y = 0; y < height_px; y++)
        for (int x = 0; x < width_px / 2; x++) {
            uint8_t *pixel = luma + (size_t)y * (size_t)width_px + x;
            *pixel = (uint8_t)(*pixel < 255 - FLICKER_LEVELS ? *pixel + FLICKER_LEVELS : 255);
        }
}

void sp_sim_disturb(const struct sp_sim_plan *plan, uint64_t number, int width_px, int height_px,
                    uint8_t *luma)
{
    double time_s = (double)number / plan->fps;
    if (sp_sim_is_on(plan, SP_SIM_RAIN, time_s, NULL))
        rain(number, width_px, height_px, luma);
    if (number % 2 == 1 && sp_sim_is_on(plan, SP_SIM_FLICKER, time_s, NULL))
        flicker(width_px, height_px, luma);
}
