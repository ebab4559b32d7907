#include "command/command.h"

const struct sp_command sp_commands[] = {
    {"serve", "run live cameras; dashboard, API and metrics", sp_command_serve_main},
    {"init", "find ONVIF cameras on the network and write spoton.yaml", sp_command_init_main},
    {"run", "track people in files, every frame, and write the results", sp_command_run_main},
    {"track", "run the tracker alone on stored detections", sp_command_track_main},
    {"count", "count crossings and visits in stored tracks", sp_command_count_main},
    {"store", "check, compact, erase or export stored tracks", sp_command_store_main},
    {"eval", "measure a model or tracks against ground truth", sp_command_eval_main},
    {"bench", "measure the pipeline against the engine alone", sp_command_bench_main},
    {"tune", "find the settings that serve the most cameras on this machine", sp_command_tune_main},
    {"export", "compile a model into a bundle; quantize it to INT8", sp_command_export_main},
    {"outputs", "check the outputs: connect to each and send a message", sp_command_outputs_main},
    {"cluster", "show the nodes of a cluster; drain one; a demo", sp_command_cluster_main},
    {"doctor", "report what this machine has; check models and sources", sp_command_doctor_main},
};

const size_t sp_command_count = sizeof sp_commands / sizeof sp_commands[0];
