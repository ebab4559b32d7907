/* spoton cluster: what the nodes of a site do, and draining one. */
#include "cluster/cluster.h"
#include "base/clock.h"
#include "base/log.h"
#include "command/cluster_demo.h"
#include "command/command.h"
#include "command/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t ANSWER_US = 5000000;

static const struct sp_command_usage usage = {
    .name = "cluster",
    .synopsis = "status | drain NODE | undrain NODE | demo",
    .about =
        "status prints the nodes of the cluster and who runs which camera. drain moves all\n"
        "cameras of a node to the others, for maintenance, until undrain. CLUSTER_URL and\n"
        "CLUSTER_SITE select the cluster. demo starts a NATS server and three nodes with "
        "simulated\n"
        "cameras on this machine, kills one, shows what happens, and ends; with --seconds N not\n"
        "before N seconds.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_SECONDS,
};

static bool wait_until_connected(struct sp_cluster *cluster, struct sp_cluster_status *status)
{
    int64_t limit_us = sp_clock_us() + ANSWER_US;
    do {
        usleep(50000);
        sp_cluster_status(cluster, status);
    } while (!status->connected && sp_clock_us() < limit_us);
    return status->connected;
}

static int print_status(struct sp_cluster *cluster)
{
    struct sp_cluster_node_report *nodes = malloc(SP_CLUSTER_NODES_MAX * sizeof *nodes);
    struct sp_cluster_camera_report *cameras = malloc(SP_CLUSTER_CAMERAS_MAX * sizeof *cameras);
    if (!nodes || !cameras) {
        free(nodes);
        free(cameras);
        fputs("spoton cluster: out of memory\n", stderr);
        return SP_EXIT_FAILED;
    }
    int node_count = sp_cluster_nodes(cluster, nodes);
    printf("%-20s %-9s %8s %8s  %s\n", "node", "state", "cameras", "capacity", "address");
    for (int i = 0; i < node_count; i++)
        printf("%-20s %-9s %8d %8g  %s\n", nodes[i].name,
               !nodes[i].alive ? "gone" : (nodes[i].draining ? "draining" : "alive"),
               nodes[i].cameras, nodes[i].capacity, nodes[i].http);
    int camera_count = sp_cluster_cameras(cluster, cameras);
    printf("\n%-20s %-12s %-20s %s\n", "camera", "state", "node", "epoch");
    for (int i = 0; i < camera_count; i++)
        printf("%-20s %-12s %-20s %llu\n", cameras[i].name, cameras[i].state,
               cameras[i].node[0] ? cameras[i].node : "-", (unsigned long long)cameras[i].epoch);
    free(nodes);
    free(cameras);
    return SP_EXIT_OK;
}

static bool has_node(struct sp_cluster *cluster, const char *name)
{
    struct sp_cluster_node_report *nodes = malloc(SP_CLUSTER_NODES_MAX * sizeof *nodes);
    int count = nodes ? sp_cluster_nodes(cluster, nodes) : 0;
    bool found = false;
    for (int i = 0; i < count; i++)
        found = found || strcmp(nodes[i].name, name) == 0;
    free(nodes);
    return found;
}

static int set_draining(struct sp_cluster *cluster, const char *name, bool drain)
{
    struct sp_error err = {0};
    struct sp_cluster_status status;
    if (!has_node(cluster, name)) {
        fprintf(stderr, "spoton cluster: node %s: not found; see `spoton cluster status`\n", name);
        return SP_EXIT_FAILED;
    }
    int result = sp_cluster_drain(cluster, name, drain, &err);
    int64_t limit_us = sp_clock_us() + ANSWER_US;
    do {
        usleep(50000);
        sp_cluster_status(cluster, &status);
    } while (result == SP_OK && status.pending > 0 && sp_clock_us() < limit_us);
    if (result < 0 || status.pending > 0) {
        fprintf(stderr, "spoton cluster: %s\n", result < 0 ? err.text : "NATS does not answer");
        return SP_EXIT_FAILED;
    }
    printf(drain ? "node %s: draining; its cameras move to the other nodes\n"
                 : "node %s: takes cameras again\n",
           name);
    return SP_EXIT_OK;
}

static int execute(const struct sp_options *options)
{
    struct sp_error err = {0};
    struct sp_cluster *cluster;
    struct sp_cluster_status status = {0};
    const struct sp_settings *settings = &options->settings;
    struct sp_cluster_options cluster_options = {.url = settings->cluster_url,
                                                 .ca_file = settings->cluster_ca_file,
                                                 .site = settings->cluster_site,
                                                 .node = "spoton-cluster",
                                                 .http = "",
                                                 .lease_ms = settings->cluster_lease_ms,
                                                 .observes = true};
    if (sp_cluster_open(&cluster, &cluster_options, &err) < 0) {
        fprintf(stderr, "spoton cluster: %s\n", err.text);
        return SP_EXIT_FAILED;
    }
    int code = SP_EXIT_FAILED;
    const char *word = options->input[0];
    if (!wait_until_connected(cluster, &status))
        fprintf(stderr, "spoton cluster: CLUSTER_URL: no answer within %.0f s%s%s\n",
                (double)ANSWER_US / 1e6, status.error[0] ? ": " : "", status.error);
    else if (strcmp(word, "status") == 0)
        code = print_status(cluster);
    else
        code = set_draining(cluster, options->input[1], strcmp(word, "drain") == 0);
    sp_cluster_close(cluster);
    return code;
}

static const char *find_fault(const struct sp_options *options)
{
    const char *word = options->input_count ? options->input[0] : "";
    bool drains = strcmp(word, "drain") == 0 || strcmp(word, "undrain") == 0;
    bool demo = strcmp(word, "demo") == 0;
    if (!drains && !demo && strcmp(word, "status") != 0)
        return "what to do is missing; use status, drain NODE, undrain NODE or demo";
    if (options->input_count != (drains ? 2 : 1))
        return drains ? "use drain NODE or undrain NODE" : "status and demo take no further words";
    if (options->seconds > 0 && !demo)
        return "--seconds: only for demo";
    if (!options->settings.cluster_url[0] && !demo)
        return "CLUSTER_URL: not set; use nats://HOST:4222";
    return NULL;
}

int sp_command_cluster_main(const struct sp_command_context *context)
{
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    const char *fault = find_fault(options);
    if (fault) {
        fprintf(stderr, "spoton cluster: %s\n", fault);
        exit_code = SP_EXIT_USAGE;
    } else {
        exit_code = strcmp(options->input[0], "demo") == 0 ? sp_cluster_demo(context, options)
                                                           : execute(options);
    }
    free(options);
    return exit_code;
}
