#include "pipeline/device_health.h"

#include "base/log.h"
#include "pipeline/devices.h"
#include "pipeline/lifecycle.h"
#include "pipeline/pipeline_impl.h"

/* After this many failed batches in a row the device is at fault, not the batches. */
enum { FAILURES_MAX = 3 };

/* ---- failures ---- */

void sp_device_lose(struct sp_device *device, const struct sp_error *why)
{
    struct sp_pipeline *p = device->pipeline;
    char words[SP_DEVICE_WORDS_BYTES];
    int left = -1;
    pthread_mutex_lock(&p->mutex);
    for (int i = 0; i < p->device_count; i++)
        left += !atomic_load(&p->devices[i].lost);
    /* The last device is never lost: without another one, single frames fail. */
    bool lost = left > 0 && !atomic_load(&device->lost);
    if (lost) {
        device->error = *why;
        atomic_store(&device->lost, true);
    }
    pthread_mutex_unlock(&p->mutex);
    if (!lost)
        return;
    sp_device_words(device, words);
    sp_log(SP_LOG_ERROR, "inference%s has failed: %s; its cameras move to %s", words, why->text,
           left > 1 ? "the other devices" : "the other device");
}

void sp_device_note(struct sp_device *device, int result, const struct sp_error *why)
{
    struct sp_pipeline *p = device->pipeline;
    if (result == SP_OK)
        atomic_store(&device->failures, 0);
    else if (atomic_fetch_add(&device->failures, 1) + 1 >= FAILURES_MAX || result == SP_ERR_DEVICE)
        sp_device_lose(device, why);
    if (result == SP_ERR_DEVICE && p->options.live && !atomic_load(&device->lost)) {
        /* The last device, and a process cannot recover it: end, so that the process is restarted.
         */
        struct sp_error gone;
        sp_fail(&gone, SP_ERR_DEVICE, "%s; no device is left: restart spoton", why->text);
        sp_pipeline_fail(p, &gone);
    }
}

bool sp_device_retries(struct sp_device *device, int result)
{
    return result == SP_ERR_DEVICE && !device->pipeline->options.live && atomic_load(&device->lost);
}
