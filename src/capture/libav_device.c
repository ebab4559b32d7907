#include "capture/libav_device.h"

#include <dlfcn.h>
#include <libavdevice/version.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAJOR AV_STRINGIFY(LIBAVDEVICE_VERSION_MAJOR)

static char problem[256]; /* of the loader; "" when the library is there */

static void load(void)
{
    void *handle = dlopen("libavdevice.so." MAJOR, RTLD_NOW | RTLD_LOCAL);
    void *symbol = handle ? dlsym(handle, "avdevice_register_all") : NULL;
    if (!symbol) {
        const char *reason = dlerror();
        snprintf(problem, sizeof problem, "%s", reason ? reason : "no function in it");
        return;
    }
    void (*register_all)(void);
    memcpy(&register_all, &symbol, sizeof symbol); /* ISO C has no cast for it */
    register_all();
}

int sp_libav_device(const AVInputFormat **out, const char *name, struct sp_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (problem[0])
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "%s: FFmpeg's library of video devices does not load (%s); install it "
                       "(Debian: libavdevice" MAJOR ")",
                       name, problem);
    *out = av_find_input_format("video4linux2");
    return *out ? SP_OK
                : sp_fail(err, SP_ERR_UNSUPPORTED,
                          "%s: this FFmpeg cannot read video devices; install libavdevice with "
                          "video4linux2",
                          name);
}
