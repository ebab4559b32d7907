/* Failures of devices. A device that is lost gets no more frames; its cameras move to the others.
 */
#pragma once

#include "pipeline/device.h"

/* The result of a batch. A device whose batches fail is lost. Any thread. */
void sp_device_note(struct sp_device *device, int result, const struct sp_error *why);

/* Marks the device as lost and logs it, unless it is the last one. Any thread. */
void sp_device_lose(struct sp_device *device, const struct sp_error *why);

/* Whether frames that failed on the device with this result are inferred again: offline, if the
 * device is lost and another one is not. */
bool sp_device_retries(struct sp_device *device, int result);
