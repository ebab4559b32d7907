/* What the files of a delivering output share: delivery_open.c opens and closes, delivery.c is the
 * thread, delivery_shared.c is what both need. */
#pragma once

#include "capacity.h"
#include "output/delivery.h"
#include "output/dialect.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    DELIVERY_OPTIONS_BYTES = 1024,
    DELIVERY_DIALECTS = 2,
    DELIVERY_CAMERAS = 2 * SP_CAMERAS_MAX,
    DELIVERY_KINDS = 5,
    DELIVERY_ALL = 15, /* but images, which are sent only on demand */
    DELIVERY_SNAPSHOTS = 16,
};

/* "tracks", "events", "people", "health", "snapshots". */
extern const char *const delivery_kinds[DELIVERY_KINDS];

struct sp_delivery {
    const struct spoton_output_api *api;
    struct spoton_output *plugin;
    char name[64], options[DELIVERY_OPTIONS_BYTES], client_id[96], status_topic[256];
    char subscription[DELIVERY_DIALECTS][256];
    const char *subscriptions[DELIVERY_DIALECTS + 1];
    struct spoton_output_setup setup;
    struct sp_outbox *outbox;
    struct sp_outbox_reader *reader;
    struct sp_dialect *dialects[DELIVERY_DIALECTS];
    int dialect_count;
    unsigned send;       /* bits of delivery_kinds[] */
    int64_t interval_us; /* between tracks of one camera */
    struct sp_image_source image;
    int image_width_px;
    pthread_t thread;
    bool started;

    _Atomic int64_t stop_us; /* when the end was requested; 0: not yet */

    pthread_mutex_t mutex; /* guards the next members */
    pthread_cond_t ended;
    bool finished;
    int64_t call_since_us;  /* 0: not in the plugin */
    int64_t oldest_wall_us; /* of the messages in hand; 0: none */
    struct sp_delivery_report report;

    /* The thread's own. */
    struct sp_record record;
    struct sp_messages messages;
    size_t first; /* not delivered yet */
    bool tried;   /* the first one was sent before */
    bool asked[DELIVERY_DIALECTS];
    int64_t backoff_us, logged_us;
    unsigned seed;
    struct {
        char name[SP_RESULT_NAME_BYTES];
        int64_t pts_us;
    } cameras[DELIVERY_CAMERAS]; /* of `rate` */
    int next_camera;
    struct sp_snapshots snapshots;
    struct sp_messages images;
    int64_t no_image_until_us;
};

/* What the plugin calls, on the delivery's thread; stopping also by others. */
int delivery_is_stopping(void *user);
void delivery_receive(void *user, const char *topic, const void *payload, size_t payload_bytes);

void delivery_release(struct sp_delivery *delivery);
