/* What the files of the outbox share. */
#pragma once

#include "capacity.h"
#include "output/outbox.h"
#include "output/outbox_reader.h"
#include "output/segment.h"

#include <pthread.h>

enum { OUTBOX_SEGMENTS_MAX = 4096, OUTBOX_READERS_MAX = 16, SEGMENT_NAME_BYTES = 32 };

struct segment {
    uint64_t base, number; /* of the first record */
    uint64_t bytes;        /* with the header; of the newest one: what readers may read */
    int64_t clock_us;      /* of the outbox, when it was created */
};

struct buffer {
    uint8_t *data;
    size_t used;
    uint64_t next_number; /* after its last record */
};

struct sp_outbox {
    struct sp_outbox_options options;
    int folder; /* file descriptor; locks the folder too */
    uint64_t epoch;
    unsigned identity;
    size_t buffer_bytes;
    uint64_t segment_bytes;
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex;   /* guards the next members */
    pthread_cond_t appended; /* for the thread */
    pthread_cond_t readable; /* for readers */
    struct buffer buffer[2];
    int filling;
    uint64_t next_number;
    uint64_t written_number; /* after the last record that readers may read */
    struct {
        uint64_t epoch, sequence;
    } cameras[SP_CAMERAS_MAX + 1]; /* the last one is the program */
    const struct sp_class_names *classes;
    struct segment *segments; /* [OUTBOX_SEGMENTS_MAX], oldest first */
    int segment_count;
    struct sp_outbox_reader *readers[OUTBOX_READERS_MAX];
    struct sp_outbox_report report;
    bool stopping;
    void (*listener)(void *user, enum sp_outbox_state state, const char *text);
    void *listener_user;

    /* The thread's own. */
    int file;            /* of the newest segment; -1: none */
    size_t pending_done; /* bytes of the pending buffer that were written */
    bool pending, unsynced;
    int64_t opened_us, clock_before_us; /* the clock at the start */
    int64_t synced_us, clock_saved_us;
    struct sp_number_pair state; /* clock, epoch */
};

struct sp_outbox_reader {
    struct sp_outbox *outbox;
    int file; /* of the segment that is read; -1: none */
    uint64_t file_base;
    uint64_t position, number; /* of the next record */
    uint8_t *data;             /* the bytes from data_position on */
    uint64_t data_position;
    size_t data_bytes;
    bool warned;

    /* Guarded by the outbox's mutex. */
    struct sp_outbox_place committed;
    uint64_t lost;
    uint64_t saved_position;
    struct sp_number_pair cursor; /* written by the outbox's thread, and at the end */
};

void outbox_segment_name(uint64_t base, char out[SEGMENT_NAME_BYTES]);

/* Finds the segments in the folder, cuts an incomplete entry off the newest one, and sets
 * next_number. Unreadable segments are deleted with a warning. */
int outbox_recover(struct sp_outbox *outbox, struct sp_error *err);
