#include "ort.h"

#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ort opened;

int ort_fail(char *error, size_t error_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* False positive: the analyzer does not recognize va_start() with these headers. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return -1;
}

/* Skips the source position at the start of a message. */
static const char *without_position(const char *text)
{
    const char *close = strchr(text, ' ');
    bool position = *text == '/' && close && memchr(text, ':', (size_t)(close - text));
    return position ? close + 1 : text;
}

int ort_check(const struct ort *ort, OrtStatus *status, const char *thing, char *error,
              size_t error_bytes)
{
    if (!status)
        return 0;
    ort_fail(error, error_bytes, "%s: %s", thing,
             without_position(ort->api->GetErrorMessage(status)));
    for (char *c = error; *c; ++c)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    ort->api->ReleaseStatus(status);
    return -1;
}

static void *open_library(const char *path, char *error, size_t error_bytes)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        ort_fail(error, error_bytes, "ONNX Runtime: the library does not load: %s", dlerror());
    return library;
}

/* Opens the newest libonnxruntime.so.1* of a folder by its path: a bare name would return the
 * library that another plugin has loaded. */
static void *open_newest(const char *folder, char *error, size_t error_bytes)
{
    char pattern[1024];
    glob_t found = {0};
    void *library = NULL;
    snprintf(pattern, sizeof pattern, "%s/libonnxruntime.so.1*", folder);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = found.gl_pathc; !library && i > 0; --i)
            library = open_library(found.gl_pathv[i - 1], error, error_bytes);
    globfree(&found);
    return library;
}

/* Searches the folders of the dynamic loader for this plugin: LD_LIBRARY_PATH, the plugin's RUNPATH
 * (set by engines/meson.build), the system's. */
static void *search_folders(char *error, size_t error_bytes)
{
    Dl_info self;
    Dl_serinfo size, *list = NULL;
    void *library = NULL, *handle = NULL;
    if (dladdr(&opened, &self) && self.dli_fname)
        handle = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        handle = dlopen(NULL, RTLD_LAZY); /* linked into a program */
    if (handle && dlinfo(handle, RTLD_DI_SERINFOSIZE, &size) == 0)
        list = malloc(size.dls_size);
    if (list && dlinfo(handle, RTLD_DI_SERINFOSIZE, list) == 0 &&
        dlinfo(handle, RTLD_DI_SERINFO, list) == 0)
        for (unsigned i = 0; !library && i < list->dls_cnt; ++i)
            library = open_newest(list->dls_serpath[i].dls_name, error, error_bytes);
    free(list);
    if (handle)
        dlclose(handle);
    return library;
}

static void *find_library(char *error, size_t error_bytes)
{
    const char *chosen = getenv("SPOTON_ONNXRUNTIME");
    if (chosen && *chosen) /* no fallback: the user asked for this library */
        return open_library(chosen, error, error_bytes);
    void *library = search_folders(error, error_bytes);
    return library ? library : open_library("libonnxruntime.so.1", error, error_bytes);
}

static int start(struct ort *ort, void *library, char *error, size_t error_bytes)
{
    /* Object and function pointers have one size on every POSIX system; ISO C has no cast for it.*/
    union {
        void *symbol;
        const OrtApiBase *(*get)(void);
    } found = {.symbol = dlsym(library, "OrtGetApiBase")};
    Dl_info where = {0};
    if (!found.symbol)
        return ort_fail(error, error_bytes,
                        "ONNX Runtime: the library has no OrtGetApiBase; use another one");
    const OrtApiBase *base = found.get();
    if (dladdr(found.symbol, &where) && where.dli_fname)
        snprintf(ort->library, sizeof ort->library, "%s", where.dli_fname);
    snprintf(ort->version, sizeof ort->version, "%s", base->GetVersionString());
    ort->api = base->GetApi(ORT_API_VERSION);
    if (!ort->api)
        return ort_fail(error, error_bytes,
                        "ONNX Runtime %s in %s: too old; API version %d or later is required",
                        ort->version, ort->library, ORT_API_VERSION);
    /* Errors are returned to the caller, so ONNX Runtime's own log is off by default. 0: verbose.
     */
    const char *level = getenv("SPOTON_ONNXRUNTIME_LOG");
    OrtLoggingLevel severity = level && *level >= '0' && *level <= '3'
                                   ? (OrtLoggingLevel)(*level - '0')
                                   : ORT_LOGGING_LEVEL_FATAL;
    if (ort_check(ort, ort->api->CreateEnv(severity, "spoton", &ort->env),
                  "ONNX Runtime does not start", error, error_bytes) < 0)
        return -1;
    return ort_check(
        ort, ort->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &ort->cpu),
        "ONNX Runtime does not start", error, error_bytes);
}

const struct ort *ort_get(char *error, size_t error_bytes)
{
    pthread_mutex_lock(&lock);
    if (!opened.cpu) {
        struct ort ort = {0};
        void *library = find_library(error, error_bytes);
        if (library && start(&ort, library, error, error_bytes) == 0)
            opened = ort;
    }
    const struct ort *ort = opened.cpu ? &opened : NULL;
    pthread_mutex_unlock(&lock);
    return ort;
}

size_t ort_element_bytes(enum spoton_element element)
{
    switch (element) {
    case SPOTON_ELEMENT_F32:
    case SPOTON_ELEMENT_I32:
        return 4;
    case SPOTON_ELEMENT_F16:
    case SPOTON_ELEMENT_BF16:
        return 2;
    case SPOTON_ELEMENT_U8:
    case SPOTON_ELEMENT_I8:
        return 1;
    case SPOTON_ELEMENT_I64:
        return 8;
    case SPOTON_ELEMENT_OTHER:
        break;
    }
    return 0;
}

ONNXTensorElementDataType ort_element_type(enum spoton_element element)
{
    switch (element) {
    case SPOTON_ELEMENT_F32:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case SPOTON_ELEMENT_F16:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case SPOTON_ELEMENT_BF16:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    case SPOTON_ELEMENT_U8:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    case SPOTON_ELEMENT_I8:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case SPOTON_ELEMENT_I32:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case SPOTON_ELEMENT_I64:
        return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case SPOTON_ELEMENT_OTHER:
        break;
    }
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}
