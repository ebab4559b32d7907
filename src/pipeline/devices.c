/* The devices that the engine runs on: which there are, which camera is on which, and what happens
 * when one fails.
 *
 * Each has engines of its own, opened on a thread of its own. A camera stays on its device while it
 * works. Of a device that is lost, the frames that are on it are failed ones, or offline inferred
 * elsewhere by its collector; the next frame of each of its cameras finds another device. */
#include "pipeline/internal.h"

#include "base/log.h"
#include "pipeline/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many batches that failed one after the other: it is not the batches. */
enum { FAILURES_MAX = 3 };

/* ---- which there are ---- */

static bool look_at(const struct sp_pipeline *p, int number, struct spoton_device *about)
{
    const struct spoton_engine_api *api = p->engine;
    *about = (struct spoton_device){.struct_bytes = sizeof *about};
    if (api->struct_bytes <= offsetof(struct spoton_engine_api, device) || !api->device)
        return number == 0;
    return api->device(number, sp_model_choice_backend_options(&p->choice), about) >= 0;
}

static int add(struct sp_pipeline *p, int number, struct sp_error *err)
{
    struct spoton_device about;
    int there = 0;
    if (p->device_count == SP_DEVICES_MAX)
        return sp_fail(err, SP_ERR_INVALID, "DEVICES: at most %d are used by one process",
                       SP_DEVICES_MAX);
    if (!look_at(p, number, &about)) {
        while (there < number && look_at(p, there, &about))
            there++;
        return sp_fail(err, SP_ERR_INVALID,
                       "DEVICES: there is no device %d: engine %s has %d, numbered from 0 on",
                       number, p->engine->name, there);
    }
    struct sp_device *device = &p->devices[p->device_count];
    device->pipeline = p;
    device->index = p->device_count++;
    device->number = number;
    device->about = about;
    return SP_OK;
}

int sp_devices_open(struct sp_pipeline *p, struct sp_error *err)
{
    const char *list = p->settings->devices;
    struct spoton_device about;
    if (strcmp(list, "auto") == 0) {
        int result = add(p, 0, err);
        while (result == SP_OK && p->device_count < SP_DEVICES_MAX &&
               look_at(p, p->device_count, &about))
            result = add(p, p->device_count, err);
        return result;
    }
    while (*list) {
        char *end;
        long number = strtol(list, &end, 10);
        int result = add(p, (int)number, err);
        if (result < 0)
            return result;
        list = end + strspn(end, ", ");
    }
    return SP_OK;
}

/* "", where there is one alone: nothing is to be told apart. */
void sp_device_words(const struct sp_device *device, char out[SP_DEVICE_WORDS_BYTES])
{
    out[0] = '\0';
    if (device->pipeline->device_count > 1)
        snprintf(out, SP_DEVICE_WORDS_BYTES, " on device %d%s%s%s", device->number,
                 device->about.name[0] ? " (" : "", device->about.name,
                 device->about.name[0] ? ")" : "");
}

/* ---- which camera is on which ---- */

void sp_device_leave(struct sp_camera *camera)
{
    struct sp_device *device = camera->device;
    if (!device)
        return;
    device->load -= camera->load;
    atomic_fetch_sub(&device->cameras, 1);
    camera->device = NULL;
    atomic_store(&camera->device_shown, -1);
}

void sp_device_join(struct sp_camera *camera, struct sp_device *device, double load)
{
    sp_device_leave(camera);
    camera->device = device;
    camera->load = load;
    device->load += load;
    atomic_fetch_add(&device->cameras, 1);
    atomic_store(&camera->device_shown, device->index);
}

struct sp_device *sp_device_choose(struct sp_camera *camera, const bool *usable, double load)
{
    struct sp_pipeline *p = camera->pipeline;
    struct sp_device *own = camera->device;
    struct sp_device_capacity rooms[SP_DEVICES_MAX];
    int decoded_on = atomic_load(&camera->decoded_on);
    if (own && usable[own->index])
        return own;
    if (!own && decoded_on >= 0 && usable[decoded_on])
        return &p->devices[decoded_on];
    for (int i = 0; i < p->device_count; i++)
        rooms[i] = (struct sp_device_capacity){
            .usable = usable[i], .power = p->devices[i].about.power, .load = p->devices[i].load};
    int best = sp_placement_choose(rooms, p->device_count, load);
    return best < 0 ? NULL : &p->devices[best];
}

/* ---- what becomes of them ---- */

void sp_device_lose(struct sp_device *device, const struct sp_error *why)
{
    struct sp_pipeline *p = device->pipeline;
    char words[SP_DEVICE_WORDS_BYTES];
    int left = -1;
    pthread_mutex_lock(&p->mutex);
    for (int i = 0; i < p->device_count; i++)
        left += !atomic_load(&p->devices[i].lost);
    /* The last one stays: where nothing else is, frames fail one by one as ever. */
    bool lost = left > 0 && !atomic_load(&device->lost);
    if (lost) {
        device->error = *why;
        atomic_store(&device->lost, true);
    }
    pthread_mutex_unlock(&p->mutex);
    if (!lost)
        return;
    sp_device_words(device, words);
    sp_log(SP_LOG_ERROR, "inference%s has failed: %s; its cameras go on on %s", words, why->text,
           left > 1 ? "the others" : "the other");
}

void sp_device_note(struct sp_device *device, int result, const struct sp_error *why)
{
    struct sp_pipeline *p = device->pipeline;
    if (result == SP_OK)
        atomic_store(&device->failures, 0);
    else if (atomic_fetch_add(&device->failures, 1) + 1 >= FAILURES_MAX || result == SP_ERR_DEVICE)
        sp_device_lose(device, why);
    if (result == SP_ERR_DEVICE && p->options.live && !atomic_load(&device->lost)) {
        /* It was the last, and a process does not get it back: whoever started it shall again. */
        struct sp_error gone;
        sp_fail(&gone, SP_ERR_DEVICE, "%s; no device is left: spoton has to be started again",
                why->text);
        sp_pipeline_fail(p, &gone);
    }
}

bool sp_device_retries(struct sp_device *device, int result)
{
    return result == SP_ERR_DEVICE && !device->pipeline->options.live && atomic_load(&device->lost);
}

void sp_device_count(struct sp_device *device, const struct sp_detector_request *request)
{
    int64_t begin_us = request->submitted_us > device->busy_until_us ? request->submitted_us
                                                                     : device->busy_until_us;
    if (request->finished_us > begin_us) {
        atomic_fetch_add(&device->busy_us, (uint64_t)(request->finished_us - begin_us));
        device->busy_until_us = request->finished_us;
    }
    atomic_fetch_add(&device->flight_us, (uint64_t)(request->finished_us - request->submitted_us));
    atomic_fetch_add(&device->batches, 1);
    atomic_fetch_add(&device->images, (uint64_t)request->images);
}

int sp_pipeline_devices(struct sp_pipeline *pipeline,
                        struct sp_device_report reports[SP_DEVICES_MAX])
{
    for (int i = 0; i < pipeline->device_count; i++) {
        struct sp_device *device = &pipeline->devices[i];
        struct sp_device_report *report = &reports[i];
        *report = (struct sp_device_report){
            .number = device->number,
            .cameras = atomic_load(&device->cameras),
            .batches = atomic_load(&device->batches),
            .images = atomic_load(&device->images),
            .decoded = atomic_load(&device->decoded),
            .busy_us = (int64_t)atomic_load(&device->busy_us),
            .flight_us = (int64_t)atomic_load(&device->flight_us),
        };
        memcpy(report->name, device->about.name, sizeof report->name);
        pthread_mutex_lock(&pipeline->mutex);
        report->lost = atomic_load(&device->lost);
        report->error = device->error;
        pthread_mutex_unlock(&pipeline->mutex);
    }
    return pipeline->device_count;
}
