/* Man pages from the tables of commands, options and settings. Called only by the build:
 * tools/man-pages.c writes the files. */
#pragma once

#include "command/command.h"

#include <stdio.h>

/* spoton(1): the commands, exit status, files. */
void sp_man_print_program(FILE *to);

/* spoton-COMMAND(1): synopsis, description, options. */
void sp_man_print_command(FILE *to, const struct sp_command *command);

/* spoton-settings(5): where settings are read from, and all of them. */
void sp_man_print_settings(FILE *to);
