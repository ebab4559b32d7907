/* spoton cluster demo: a cluster on one machine, of which one node is killed.
 *
 * Data flow: a NATS server and three `spoton serve` as subprocesses in a temporary folder -> the
 * cluster's state in NATS, read as an observer -> lines on stdout. Subprocesses and folder are gone
 * when it returns; the subprocesses also end when this process is killed. One thread. */
#pragma once

#include "command/command.h"
#include "command/options.h"

/* Returns an exit code (enum sp_exit); errors are printed. */
int sp_cluster_demo(const struct sp_command_context *context, const struct sp_options *options);
