/* A synthetic scene: people who walk on a floor plan, and cameras that see them. Its ground truth
 * is for evaluating cross-camera association.
 *
 * The plan, 56 m x 16 m, has a hall with four cameras in its corners (0, 1, 2, 3), and two rooms
 * with one camera each (4, 5), connected by passages without a camera. People walk to random
 * places, pause there, and give way to each other. Cameras are pinhole cameras; a person is
 * upright, and people hide those behind them. The same seed gives the same scene. One thread at a
 * time. */
#pragma once

#include "base/error.h"
#include "detection.h"

#include <stdbool.h>
#include <stdint.h>

enum { SP_WORLD_CAMERAS = 6, SP_WORLD_PEOPLE_MAX = 64, SP_WORLD_ROOMS = 3 };

#define SP_WORLD_WIDTH_M 56.0
#define SP_WORLD_HEIGHT_M 16.0
#define SP_WORLD_UNITS_PER_M 100.0 /* of the map */

struct sp_world_options {
    uint32_t seed;
    int people;
    bool
        roam; /* people walk from room to room; else each stays in one, in proportion to its area */
    bool hall;  /* all stay in the hall */
    bool dense; /* twelve of 20 in the hall instead of nine, passing each other at less distance */
};

struct sp_world_person {
    double x, y; /* m */
    double vx, vy;
    double height_m, speed;
    double to_x, to_y;
    int room; /* destination */
    double stands_s;
};

struct sp_world {
    struct sp_world_options options;
    int people;
    uint64_t dice;
    int64_t step; /* SP_WORLD_STEP_S each */
    struct sp_world_person person[SP_WORLD_PEOPLE_MAX];
};

#define SP_WORLD_STEP_S 0.02

void sp_world_init(struct sp_world *world, const struct sp_world_options *options);

/* Advances to a time; an earlier time starts again from the beginning. */
void sp_world_go(struct sp_world *world, double time_s);

/* A person as a camera of width x height pixels sees it: the whole box, which may extend beyond the
 * frame. */
struct sp_world_observation {
    int person;
    double x1_px, y1_px, x2_px, y2_px;
    double distance_m;
    double visible; /* 0..1: the part within the frame and not hidden by others */
};

/* Everyone in front of the camera, nearest first. Returns the count. */
int sp_world_see(const struct sp_world *world, int camera, int width_px, int height_px,
                 struct sp_world_observation observations[SP_WORLD_PEOPLE_MAX]);

/* The floor's homography: map units to pixels, [3][3]. */
void sp_world_floor(int camera, int width_px, int height_px, double map_to_image[9]);

/* Four marks on the floor well within the camera's view: on the map and in the frame. */
void sp_world_marks(int camera, int width_px, int height_px, double map[4][2], double image[4][2]);
