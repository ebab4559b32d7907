/* The words of the command line, without what other users of the machine should not read. */
#pragma once

/* Copies argv, then overwrites in place what /proc/PID/cmdline and ps show of it: secrets in URLs
 * and values of secret settings become "***". Returns the copy, which lasts for the program's life;
 * without memory argv itself, unchanged. Once, before threads start. */
char **sp_arguments_take(int argc, char **argv);
