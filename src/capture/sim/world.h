/* A made world: people who walk about in a plan, and cameras that see them. Ground health for
 * everything that is done with the map of several cameras.
 *
 * The plan, 56 m x 16 m, has a hall that four cameras see from its corners (0, 1, 2, 3), and two
 * rooms with one camera each (4, 5); between them lie passages that nobody sees. People walk to
 * places by chance, stand there, give way to each other. The camera is a pinhole; a person is
 * upright; who stands behind another is hidden. Same seed, same world. One thread at a time. */
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
    bool roam;  /* people go from room to room; else each stays in one: as many as fit its area */
    bool hall;  /* all stay in the hall */
    bool dense; /* twelve of 20 in the hall instead of nine, and they pass each other nearer */
};

struct sp_world_person {
    double x, y; /* m */
    double vx, vy;
    double height_m, speed;
    double to_x, to_y;
    int room; /* where it is going to */
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

/* Takes it to a time; back is from the beginning again. */
void sp_world_go(struct sp_world *world, double time_s);

/* Where a camera of width x height pixels sees a person: the whole box, which may reach over the
 * frame. */
struct sp_world_observation {
    int person;
    double x1_px, y1_px, x2_px, y2_px;
    double distance_m;
    double visible; /* 0..1: the part that is in the frame and not behind others */
};

/* Everyone in front of the camera, nearest first. Returns the count. */
int sp_world_see(const struct sp_world *world, int camera, int width_px, int height_px,
                 struct sp_world_observation observations[SP_WORLD_PEOPLE_MAX]);

/* The floor's homography: map units to pixels, [3][3]. */
void sp_world_floor(int camera, int width_px, int height_px, double map_to_image[9]);

/* Four marks on the floor that the camera sees well: on the map and in the frame. */
void sp_world_marks(int camera, int width_px, int height_px, double map[4][2], double image[4][2]);
