/* Images for stored events: of each track its best moment so far, as a JPEG with boxes.
 *
 * Data flow: sp_event_images_see (tracking workers) rates the boxes of a frame: confidence, size,
 * and whether the frame's edge cuts them -> where a track has no image, or would have a clearly
 * better one, the camera's newest frame is encoded on this module's thread (command/stills.h) ->
 * kept for the tracks that it shows best -> sp_event_images_event (the event log's listener) passes
 * the image of the event's track, or of its person, to `store`.
 *
 * Limits: of a camera at most one image a second is encoded, its number of images a minute is
 * stored, and SP_EVENT_IMAGES_MAX are kept; a track that is not seen for 30 s loses its image.
 * Cameras without a number a minute cost nothing. All functions are thread-safe. */
#pragma once

#include "command/stills.h"
#include "event.h"
#include "store/recorder.h"

enum { SP_EVENT_IMAGES_MAX = 32, SP_EVENT_IMAGE_WIDTH_PX = 640 };

struct sp_event_images;

struct sp_event_images_options {
    struct sp_stills *stills; /* outlives it */
    /* As sp_recorder_image; must not block. */
    bool (*store)(void *user, const struct sp_recorded_image *image, const uint8_t *jpeg);
    void *user;
};

int sp_event_images_open(struct sp_event_images **out,
                         const struct sp_event_images_options *options, struct sp_error *err);
/* Ends the thread; what is kept stays for events that follow. Before the encoder ends. NULL is
 * allowed, also below. */
void sp_event_images_stop(struct sp_event_images *event_images);
void sp_event_images_close(struct sp_event_images *event_images);

/* Images a minute of the camera with this index; 0: none. */
void sp_event_images_begin(struct sp_event_images *event_images, int camera, int per_minute);

void sp_event_images_see(struct sp_event_images *event_images, const struct sp_result *update);

/* Stores the image of the event, if there is one. */
void sp_event_images_event(struct sp_event_images *event_images, const struct sp_event *event);

/* How well the box shows its person in a frame of this size: 0 to 1. */
double sp_event_image_quality(const struct sp_track *track, int width_px, int height_px);
