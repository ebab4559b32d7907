/* `spoton config`: the settings page, the JSON Schema of spoton.yaml, an .env file as YAML. */
#pragma once

/* argv[0] is "config". Returns the exit code. */
int sp_command_config_main(int argc, char **argv);
