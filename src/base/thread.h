/* Named threads, so that `top -H`, gdb and perf show the stage. */
#pragma once

#include "base/error.h"

#include <pthread.h>

/* Starts run(argument) on a thread named `name` (truncated to 15 characters), with the caller's log
 * sink. SP_ERR_NO_MEMORY. */
int sp_thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument,
                    struct sp_error *err);
