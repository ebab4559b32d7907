#include "capture/camera_health.h"

#include <string.h>

enum {
    ROWS_LOOKED_AT = 64,
    ROW_STEP_PX = 4,        /* every fourth pixel of a row is compared with black */
    BRIGHT_SHARE = 200,     /* one in so many pixels may be bright: an overlay, a defective pixel */
    DARK_LUMA_LIMITED = 32, /* 16 is black; encoders ring around it */
    DARK_LUMA_FULL = 18,
};

static int row_step(const struct sp_frame *frame)
{
    int step = frame->height_px / ROWS_LOOKED_AT;
    return step > 0 ? step : 1;
}

uint64_t sp_luma_hash(const struct sp_frame *frame)
{
    /* Multiply and fold, eight bytes a step: detects changes; not a cryptographic hash. */
    uint64_t hash = (uint64_t)frame->width_px << 32 | (uint64_t)frame->height_px;
    size_t width = (size_t)frame->width_px;
    for (int y = 0; y < frame->height_px; y += row_step(frame)) {
        const uint8_t *row = frame->plane[0] + (ptrdiff_t)y * frame->stride_bytes[0];
        for (size_t x = 0; x < width; x += 8) {
            uint64_t word = 0;
            memcpy(&word, row + x, width - x < 8 ? width - x : 8);
            hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
            hash ^= hash >> 29;
        }
    }
    return hash;
}

bool sp_luma_is_black(const struct sp_frame *frame)
{
    int limit = frame->full_range ? DARK_LUMA_FULL : DARK_LUMA_LIMITED;
    size_t points = 0, bright = 0;
    for (int y = 0; y < frame->height_px; y += row_step(frame)) {
        const uint8_t *row = frame->plane[0] + (ptrdiff_t)y * frame->stride_bytes[0];
        for (int x = 0; x < frame->width_px; x += ROW_STEP_PX) {
            points++;
            bright += row[x] > limit;
        }
    }
    return bright * BRIGHT_SHARE <= points;
}

enum sp_camera_health sp_health_observe(struct sp_health_watch *watch, const struct sp_frame *frame)
{
    int64_t now_us = frame->received_us;
    uint64_t hash = sp_luma_hash(frame);
    if (!watch->any || hash != watch->hash)
        watch->same_since_us = now_us;
    if (!sp_luma_is_black(frame))
        watch->black_since_us = -1;
    else if (!watch->any || watch->black_since_us < 0)
        watch->black_since_us = now_us;
    watch->any = true;
    watch->hash = hash;
    if (watch->black_since_us >= 0 && now_us - watch->black_since_us >= watch->black_after_us)
        return SP_HEALTH_BLACK;
    return now_us - watch->same_since_us >= watch->frozen_after_us ? SP_HEALTH_FROZEN
                                                                   : SP_HEALTH_LIVE;
}

void sp_health_restart(struct sp_health_watch *watch)
{
    watch->any = false;
}
