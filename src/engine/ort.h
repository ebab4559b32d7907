/* ONNX Runtime's C API for the engines that stand on it: the library, model files, sessions.
 *
 * The library is opened at run time, because the one for CPUs and the one for GPUs have the same
 * name and come from different wheels: the file that $SPOTON_ONNXRUNTIME names; else the first
 * libonnxruntime.so.1* in LD_LIBRARY_PATH, in the folders of the plugin's RUNPATH (lib/spoton/gpu
 * and lib/spoton/onnxruntime when installed), in the system's. The API is versioned, so a library
 * of that version or any later one serves.
 *
 * Private to the plugins. Errors as in engine.h: 0 or -1 and a text. */
#pragma once

#include "spoton/engine.h"

#include <onnxruntime_c_api.h>
#include <stdbool.h>

struct ort {
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *cpu; /* ordinary memory */
    char version[64];
    char library[512]; /* its file */
};

/* One library a process and plugin: opened by the first call and kept. NULL with a text when there
 * is none. Any thread. */
const struct ort *ort_get(char *error, size_t error_bytes);

int ort_fail(char *error, size_t error_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 0 for NULL. Else "THING: what ONNX Runtime said", on one line, the status released, and -1. */
int ort_check(const struct ort *ort, OrtStatus *status, const char *thing, char *error,
              size_t error_bytes);

/* What a session needs that the CPU's kernels cannot run: its operations, another provider. 0, or
 * -1 and a text. */
typedef int ort_prepare_fn(const struct ort *ort, OrtSessionOptions *settings, char *error,
                           size_t error_bytes);

/* The file's tensors. Outputs whose shape the file leaves open are looked at in trial runs on black
 * images, which takes some ten milliseconds. prepare: for the session to look at, or NULL. */
int ort_inspect(const struct ort *ort, const char *path, ort_prepare_fn *prepare,
                struct spoton_model_info *info, char *error, size_t error_bytes);

/* Whether tools/cuda-model made the file: only the CUDA provider has kernels for its graph. */
bool ort_is_for_cuda(const char *path);

/* A session at one input shape, its tensors' names and what it gives. */
struct ort_session {
    OrtSession *session;
    struct spoton_model_info info; /* of the session: free dimensions that have a name are set */
    const char *input_name;        /* into info */
    const char *output_name[SPOTON_TENSORS_MAX];
};

/* Names the free dimensions of the input with the sizes wanted, so that the graph is built for
 * fixed shapes; refuses inputs that are no image of that size. */
int ort_fix_shape(const struct ort *ort, OrtSessionOptions *settings,
                  const struct spoton_engine_options *options, ort_prepare_fn *prepare,
                  struct spoton_model_info *info, char *error, size_t error_bytes);

/* On failure nothing is left open. */
int ort_session_open(const struct ort *ort, struct ort_session *session, const char *path,
                     const OrtSessionOptions *settings, char *error, size_t error_bytes);
void ort_session_close(const struct ort *ort, struct ort_session *session);

/* Once a GPU's context is broken, ONNX Runtime ends the process when a session lets go of memory,
 * and CUDA's errors of this kind reach the process's other devices, too. From this call on
 * sessions that are closed stay until the process's end, which is not far where that matters. */
void ort_keep_sessions(void);
bool ort_keeps_sessions(void);

size_t ort_element_bytes(enum spoton_element element); /* 0: not one of ours */
ONNXTensorElementDataType ort_element_type(enum spoton_element element);
