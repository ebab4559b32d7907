/* Lines and zones where they are: in pixels of the frame, or in metres on the map. */
#include "analytics/internal.h"

#include <math.h>

static void measure_shapes(struct scope *scope)
{
    for (int i = 0; i < scope->config->line_count; i++) {
        const struct sp_planar *line = scope->line[i];
        double dx = line[1].x - line[0].x, dy = line[1].y - line[0].y;
        double length = sqrt(dx * dx + dy * dy);
        scope->normal[i] = (struct sp_planar){-dy / length, dx / length};
    }
    for (int i = 0; i < scope->config->zone_count; i++) {
        struct extent *e = &scope->extent[i];
        *e = (struct extent){scope->corner[i][0], scope->corner[i][0]};
        for (int k = 1; k < scope->config->zones[i].count; k++) {
            struct sp_planar p = scope->corner[i][k];
            e->low = (struct sp_planar){fmin(e->low.x, p.x), fmin(e->low.y, p.y)};
            e->high = (struct sp_planar){fmax(e->high.x, p.x), fmax(e->high.y, p.y)};
        }
    }
}

void sp_counting_set_map(struct scope *scope, double flip)
{
    const struct sp_scope_config *config = scope->config;
    for (int i = 0; i < config->line_count; i++)
        for (int k = 0; k < 2; k++)
            scope->line[i][k] = (struct sp_planar){config->lines[i].points[k].x,
                                                   flip * config->lines[i].points[k].y};
    for (int i = 0; i < config->zone_count; i++)
        for (int k = 0; k < config->zones[i].count; k++)
            scope->corner[i][k] = (struct sp_planar){config->zones[i].corners[k].x,
                                                     flip * config->zones[i].corners[k].y};
    measure_shapes(scope);
}

void sp_counting_set_size(struct scope *scope, int width_px, int height_px)
{
    const struct sp_scope_config *config = scope->config;
    scope->width_px = width_px;
    scope->height_px = height_px;
    for (int i = 0; i < config->line_count; i++) {
        bool px = config->lines[i].unit == SP_UNIT_PIXEL;
        for (int k = 0; k < 2; k++)
            scope->line[i][k] =
                (struct sp_planar){config->lines[i].points[k].x * (px ? 1 : width_px),
                                   config->lines[i].points[k].y * (px ? 1 : height_px)};
    }
    for (int i = 0; i < config->zone_count; i++) {
        const struct sp_zone_config *zone = &config->zones[i];
        bool px = zone->unit == SP_UNIT_PIXEL;
        for (int k = 0; k < zone->count; k++)
            scope->corner[i][k] = (struct sp_planar){zone->corners[k].x * (px ? 1 : width_px),
                                                     zone->corners[k].y * (px ? 1 : height_px)};
        for (int k = 0; k < zone->count; k++) {
            struct sp_planar p = scope->corner[i][k], q = scope->corner[i][(k + 1) % zone->count];
            scope->open[i][k] = (p.x <= 0 && q.x <= 0) || (p.y <= 0 && q.y <= 0) ||
                                (p.x >= width_px && q.x >= width_px) ||
                                (p.y >= height_px && q.y >= height_px);
        }
    }
    measure_shapes(scope);
}
