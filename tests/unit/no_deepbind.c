/* Sanitizers end the process when a library is opened with RTLD_DEEPBIND, as OpenVINO's thread
 * library does with its helper. For sanitized tests the flag does not matter: leave it out. */
#include <dlfcn.h>

__attribute__((visibility("default"))) void *dlopen(const char *path, int mode)
{
    union {
        void *symbol;
        void *(*function)(const char *path, int mode);
    } next = {.symbol = dlsym(RTLD_NEXT, "dlopen")};
    return next.function(path, mode & ~RTLD_DEEPBIND);
}
