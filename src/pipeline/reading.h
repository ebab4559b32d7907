/* Whether a model that finds nothing would find something if its input or its outputs were read in
 * another way: files do not say what values of pixels and what order of colours a model wants.
 *
 * Data flow: tracking workers note each inferred frame -> while nothing was found at all, a few
 * frames are kept -> live: a thread tries other readings on them a minute after the first, and once
 * more later; offline: the caller does at the end. The first detection ends it all. */
#pragma once

#include "frame.h"
#include "pipeline/model_choice.h"

struct sp_reading;

enum { SP_READING_FRAMES = 4, SP_READING_TEXT_BYTES = 400 };

struct sp_reading_options {
    const struct sp_model_choice *choice; /* outlives it, as do the settings */
    const struct sp_settings *settings;
    bool watch;                  /* a thread of its own tries, and warns in the log */
    int64_t first_us, second_us; /* after the start; 0: 60 s, 240 s */
};

/* SP_ERR_NO_MEMORY. */
int sp_reading_open(struct sp_reading **out, const struct sp_reading_options *options,
                    struct sp_error *err);
/* Waits for the compilation that is under way. NULL is fine. */
void sp_reading_close(struct sp_reading *reading);

/* Any thread; next to nothing once something was found. NULL is fine. */
void sp_reading_note(struct sp_reading *reading, struct sp_frame *frame, size_t detections);

/* True: nothing was found, and another reading finds something; `text` says what to set. At most
 * once. Compiles the model several times. NULL is false. */
bool sp_reading_try(struct sp_reading *reading, char text[SP_READING_TEXT_BYTES]);

/* In how many of the frames the model finds something when it is read like this; -1: it cannot be.
 * *boxes: how many in all. */
int sp_reading_look(const struct sp_model_choice *choice, const struct sp_settings *settings,
                    const struct sp_model_wish *wish, struct sp_frame *const *frames, int count,
                    int *boxes);
