/* Hides secrets of the command line from other users of the machine. */
#pragma once

/* Copies argv, then replaces in place secrets in URLs and values of secret settings by "***", as
 * /proc/PID/cmdline and ps show them. Returns the copy, valid until the process ends; if out of
 * memory, argv itself, unchanged. Call once, before threads start. */
char **sp_arguments_take(int argc, char **argv);
