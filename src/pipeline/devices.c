/* The devices that the engine runs on, and the assignment of cameras to them.
 *
 * Each device has detector instances of its own, opened on a thread of its own. A camera stays on
 * its device while that works; after its device is lost, its next frame is assigned to another. */
#include "pipeline/devices.h"

#include "base/log.h"
#include "pipeline/pipeline_impl.h"
#include "pipeline/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- discovery ---- */

static bool probe_device(const struct sp_pipeline *p, int number, struct spoton_device *about)
{
    const struct spoton_engine_api *api = p->engine;
    *about = (struct spoton_device){.struct_bytes = sizeof *about};
    if (api->struct_bytes <= offsetof(struct spoton_engine_api, device) || !api->device)
        return number == 0;
    return api->device(number, sp_model_choice_backend_options(&p->choice), about) >= 0;
}

static int add_device(struct sp_pipeline *p, int number, struct sp_error *err)
{
    struct spoton_device about;
    int there = 0;
    if (p->device_count == SP_DEVICES_MAX)
        return sp_fail(err, SP_ERR_INVALID, "DEVICES: too many devices; list at most %d",
                       SP_DEVICES_MAX);
    if (!probe_device(p, number, &about)) {
        while (there < number && probe_device(p, there, &about))
            there++;
        return sp_fail(err, SP_ERR_INVALID,
                       "DEVICES: device %d does not exist; engine %s has %d, numbered from 0",
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
        int result = add_device(p, 0, err);
        while (result == SP_OK && p->device_count < SP_DEVICES_MAX &&
               probe_device(p, p->device_count, &about))
            result = add_device(p, p->device_count, err);
        return result;
    }
    while (*list) {
        char *end;
        long number = strtol(list, &end, 10);
        int result = add_device(p, (int)number, err);
        if (result < 0)
            return result;
        list = end + strspn(end, ", ");
    }
    return SP_OK;
}

/* Empty if the engine has one device only. */
void sp_device_words(const struct sp_device *device, char out[SP_DEVICE_WORDS_BYTES])
{
    out[0] = '\0';
    if (device->pipeline->device_count > 1)
        snprintf(out, SP_DEVICE_WORDS_BYTES, " on device %d%s%s%s", device->number,
                 device->about.name[0] ? " (" : "", device->about.name,
                 device->about.name[0] ? ")" : "");
}

/* ---- assignment ---- */

void sp_device_leave(struct sp_camera *camera)
{
    struct sp_device *device = camera->scheduling.device;
    if (!device)
        return;
    device->load -= camera->scheduling.load;
    atomic_fetch_sub(&device->cameras, 1);
    camera->scheduling.device = NULL;
    atomic_store(&camera->device_shown, -1);
}

void sp_device_join(struct sp_camera *camera, struct sp_device *device, double load)
{
    sp_device_leave(camera);
    camera->scheduling.device = device;
    camera->scheduling.load = load;
    device->load += load;
    atomic_fetch_add(&device->cameras, 1);
    atomic_store(&camera->device_shown, device->index);
}

struct sp_device *sp_device_choose(struct sp_camera *camera, const bool *usable, double load)
{
    struct sp_pipeline *p = camera->pipeline;
    struct sp_device *own = camera->scheduling.device;
    struct sp_device_capacity capacities[SP_DEVICES_MAX];
    int decoded_on = atomic_load(&camera->decoding.device);
    if (own && usable[own->index])
        return own;
    if (!own && decoded_on >= 0 && usable[decoded_on])
        return &p->devices[decoded_on];
    for (int i = 0; i < p->device_count; i++)
        capacities[i] = (struct sp_device_capacity){
            .usable = usable[i], .power = p->devices[i].about.power, .load = p->devices[i].load};
    int best = sp_placement_choose(capacities, p->device_count, load);
    return best < 0 ? NULL : &p->devices[best];
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
