/* ONNX Runtime's C API for the engines based on it: the library, model files, sessions.
 *
 * The library is opened at run time, because those for CPUs and GPUs have the same name and come
 * from different wheels: $SPOTON_ONNXRUNTIME if set; else the newest libonnxruntime.so.1* in
 * LD_LIBRARY_PATH, in the plugin's RUNPATH (lib/spoton/gpu and lib/spoton/onnxruntime when
 * installed), or in the system's folders. The API is versioned: a library with ORT_API_VERSION or
 * later is accepted.
 *
 * Private to the plugins. Errors as in engine.h: 0 or -1 and a text. */
#pragma once

#include "spoton/engine.h"

#include <onnxruntime_c_api.h>
#include <stdbool.h>

struct ort {
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *cpu; /* host memory */
    char version[64];
    char library[512]; /* its file */
};

/* The library, opened by the first call and never closed; one per plugin. NULL, with a message: not
 * found. Any thread. */
const struct ort *ort_get(char *error, size_t error_bytes);

int ort_fail(char *error, size_t error_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns 0 if status is NULL. Else writes "THING: ONNX Runtime's message" on one line, releases
 * the status and returns -1. */
int ort_check(const struct ort *ort, OrtStatus *status, const char *thing, char *error,
              size_t error_bytes);

/* Adds custom operations or execution providers to a session's options. Returns 0, or -1 with a
 * message. */
typedef int ort_prepare_fn(const struct ort *ort, OrtSessionOptions *settings, char *error,
                           size_t error_bytes);

/* Reads the file's tensors. Outputs with dynamic shapes are determined by trial runs on black
 * images, which take tens of milliseconds. prepare: for the trial session, or NULL. */
int ort_inspect(const struct ort *ort, const char *path, ort_prepare_fn *prepare,
                struct spoton_model_info *info, char *error, size_t error_bytes);

/* Whether the file is an output of tools/cuda-model, which only the CUDA provider can run. */
bool ort_is_for_cuda(const char *path);

/* A session at one input shape, with its tensors. */
struct ort_session {
    OrtSession *session;
    struct spoton_model_info info; /* of the session: named dynamic dimensions are fixed */
    const char *input_name;        /* into info */
    const char *output_name[SPOTON_TENSORS_MAX];
};

/* Sets the input's dynamic dimensions to the sizes in the options, so that the graph is built for
 * fixed shapes. Fails if the input is not an image of that size. */
int ort_fix_shape(const struct ort *ort, OrtSessionOptions *settings,
                  const struct spoton_engine_options *options, ort_prepare_fn *prepare,
                  struct spoton_model_info *info, char *error, size_t error_bytes);

/* On failure the session is closed. */
int ort_session_open(const struct ort *ort, struct ort_session *session, const char *path,
                     const OrtSessionOptions *settings, char *error, size_t error_bytes);
void ort_session_close(const struct ort *ort, struct ort_session *session);

/* With a lost GPU context ONNX Runtime aborts the process when a session frees memory, and CUDA's
 * sticky errors affect the process's other devices, too. After this call ort_session_close() leaks
 * sessions instead; the process is about to end. */
void ort_keep_sessions(void);
bool ort_keeps_sessions(void);

size_t ort_element_bytes(enum spoton_element element); /* 0: no element type of engine.h */
ONNXTensorElementDataType ort_element_type(enum spoton_element element);
