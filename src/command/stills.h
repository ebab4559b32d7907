/* Images of cameras for outputs: the newest frame, encoded as for a viewer.
 *
 * Data flow: an output's thread -> sp_stills_take, or that of event_images.h -> sp_stills_image ->
 * a stream of the encoder, which is left once its first image is there. The hub and the encoder
 * outlive the outputs. */
#pragma once

#include "output/snapshots.h"
#include "publish/encoder.h"

struct sp_stills {
    struct sp_hub *hub;                   /* set before the encoder */
    _Atomic(struct sp_encoder *) encoder; /* NULL: no images yet */
};

enum { SP_STILL_QUALITY = 80 };

/* Waits for two seconds at most, or until stopping(). The caller releases the image, before the
 * encoder is closed. NULL: none. */
struct sp_image *sp_stills_image(struct sp_stills *stills, const struct sp_stream_options *options,
                                 bool (*stopping)(void *), void *stopping_user);

/* `take` of struct sp_image_source; `user`: struct sp_stills. */
bool sp_stills_take(void *user, const char *camera, int width_px, bool (*stopping)(void *),
                    void *stopping_user, struct sp_still *out);
