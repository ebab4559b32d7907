#include "store/libpq.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static struct sp_libpq library;
static bool loaded;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static bool load(void)
{
    void *handle = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return false;
        /* Object and function pointers have one size on every POSIX system; ISO C has no cast for
         * it.*/
#define X(type, name, arguments)                                                                   \
    {                                                                                              \
        void *symbol = dlsym(handle, #name);                                                       \
        if (!symbol)                                                                               \
            return false;                                                                          \
        memcpy(&library.name, &symbol, sizeof symbol);                                             \
    }
    SP_LIBPQ(X)
#undef X
    return true;
}

const struct sp_libpq *sp_libpq_load(struct sp_error *err)
{
    pthread_mutex_lock(&mutex);
    if (!loaded)
        loaded = load();
    bool found = loaded;
    pthread_mutex_unlock(&mutex);
    if (found)
        return &library;
    sp_fail(err, SP_ERR_UNSUPPORTED,
            "STORE: PostgreSQL's library libpq.so.5 is not installed; install it (Debian: libpq5), "
            "or use a folder");
    return NULL;
}
