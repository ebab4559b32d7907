/* Checks whether a model without detections would have some with another input range, color order
 * or head type ("reading"): ONNX files do not record which of them a model needs.
 *
 * Data flow: tracking workers note each inferred frame -> while there is no detection, a few frames
 * are kept -> live: a thread tries other readings on them after one minute and again after four;
 * offline: the caller does at the end. The first detection ends it. */
#pragma once

#include "frame.h"
#include "pipeline/model_choice.h"

struct sp_reading;

enum { SP_READING_FRAMES = 4, SP_READING_TEXT_BYTES = 400 };

struct sp_reading_options {
    const struct sp_model_choice *choice; /* outlives it, as the settings do */
    const struct sp_settings *settings;
    bool watch;                  /* a thread of its own tries and logs a warning */
    int64_t first_us, second_us; /* after the start; 0: 60 s, 240 s */
};

/* SP_ERR_NO_MEMORY. */
int sp_reading_open(struct sp_reading **out, const struct sp_reading_options *options,
                    struct sp_error *err);
/* Waits for a compilation in progress. NULL is allowed. */
void sp_reading_close(struct sp_reading *reading);

/* Any thread; almost free after the first detection. NULL is allowed. */
void sp_reading_note(struct sp_reading *reading, struct sp_frame *frame, size_t detections);

/* True, at most once: there was no detection, and another reading has some; `text` names the
 * settings. Compiles the model several times. False for NULL. */
bool sp_reading_try(struct sp_reading *reading, char text[SP_READING_TEXT_BYTES]);

/* The number of frames with detections under this reading; -1: the model cannot be read like this.
 * *boxes: detections in all frames. */
int sp_reading_evaluate(const struct sp_model_choice *choice, const struct sp_settings *settings,
                        const struct sp_model_wish *wish, struct sp_frame *const *frames, int count,
                        int *boxes);
