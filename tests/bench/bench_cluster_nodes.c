/* Placement and leases alone: N nodes as processes without cameras, over a real NATS server.
 *
 * Usage: bench_cluster_nodes NATS_URL [NODES [CAMERAS [SECONDS [NATS_PID]]]]
 * Prints how long it takes until all cameras are owned, evenly, and again after a node was killed.
 * The load of NATS and of the nodes is that of their CPU time meanwhile; placement alone is
 * measured at the end. */
#include "base/clock.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "cluster/placement.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEASE_MS = 2500 };

static int start(void *user, const char *camera, const char *setting, struct sp_error *err)
{
    (void)user, (void)camera, (void)setting, (void)err;
    return SP_OK;
}

static void stop(void *user, const char *camera)
{
    (void)user, (void)camera;
}

static bool is_live(void *user, const char *camera, const char **state)
{
    (void)user, (void)camera;
    *state = "live";
    return true;
}

static void publish(void *user, const char *camera, uint64_t epoch)
{
    (void)user, (void)camera, (void)epoch;
}

static struct sp_cluster *open_node(const char *url, int index)
{
    struct sp_error err = {0};
    struct sp_cluster *cluster;
    char name[32];
    snprintf(name, sizeof name, index < 0 ? "observer" : "node%d", index);
    struct sp_cluster_options options = {
        .url = url,
        .site = "bench",
        .node = name,
        .http = "",
        .capacity = 1,
        .lease_ms = LEASE_MS,
        .observes = index < 0,
        .runner = {.start = start, .stop = stop, .is_live = is_live, .publish = publish}};
    if (sp_cluster_open(&cluster, &options, &err) < 0) {
        fprintf(stderr, "bench_cluster_nodes: %s\n", err.text);
        exit(1);
    }
    return cluster;
}

static pid_t start_node(const char *url, int index)
{
    pid_t process = fork();
    if (process)
        return process;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    open_node(url, index);
    for (;;)
        pause();
}

static struct sp_cluster_camera_report cameras[SP_CLUSTER_CAMERAS_MAX];
static struct sp_cluster_node_report nodes[SP_CLUSTER_NODES_MAX];

/* Seconds until all cameras have an owner that is alive, evenly, for the nodes but `without`. */
static double wait_until_owned(struct sp_cluster *observer, int camera_count, int node_count,
                               const char *without)
{
    int64_t begin_us = sp_clock_us();
    for (;;) {
        usleep(20000);
        int most = 0, owned = 0;
        int count = sp_cluster_cameras(observer, cameras);
        for (int i = 0; i < count; i++)
            owned += cameras[i].node[0] && strcmp(cameras[i].node, without) != 0;
        count = sp_cluster_nodes(observer, nodes);
        for (int i = 0; i < count; i++)
            most = nodes[i].cameras > most ? nodes[i].cameras : most;
        double took_s = (double)(sp_clock_us() - begin_us) / 1e6;
        if (owned == camera_count && most <= camera_count / node_count + 1)
            return took_s;
        if (took_s > 300) {
            fprintf(stderr, "bench_cluster_nodes: %d of %d owned after 300 s\n", owned,
                    camera_count);
            exit(1);
        }
    }
}

static double placement_ms(int node_count, int camera_count)
{
    enum { ROUNDS = 20, NAME_BYTES = 16 };
    struct sp_placement_node *node = calloc((size_t)node_count, sizeof *node);
    struct sp_placement_camera *camera = calloc((size_t)camera_count, sizeof *camera);
    int *node_of = calloc((size_t)camera_count, sizeof *node_of);
    char(*names)[NAME_BYTES] = calloc((size_t)node_count + (size_t)camera_count, sizeof *names);
    if (!node || !camera || !node_of || !names)
        exit(1);
    for (int i = 0; i < node_count; i++) {
        snprintf(names[i], NAME_BYTES, "node%d", i);
        node[i] = (struct sp_placement_node){names[i], 1, false};
    }
    for (int i = 0; i < camera_count; i++) {
        snprintf(names[node_count + i], NAME_BYTES, "camera%d", i);
        camera[i] = (struct sp_placement_camera){names[node_count + i], 1, -1};
    }
    int64_t begin_us = sp_clock_us();
    for (int i = 0; i < ROUNDS; i++)
        sp_placement(node, node_count, camera, camera_count, node_of);
    double each_ms = (double)(sp_clock_us() - begin_us) / 1e3 / ROUNDS;
    free(node);
    free(camera);
    free(node_of);
    free(names);
    return each_ms;
}

static double cpu_s(pid_t process)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "re");
    if (file && fgets(text, sizeof text, file))
        sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system);
    if (file)
        fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr,
                "usage: bench_cluster_nodes NATS_URL [NODES [CAMERAS [SECONDS [NATS_PID]]]]\n");
        return 2;
    }
    sp_log_set_level(SP_LOG_ERROR);
    const char *url = argv[1];
    int node_count = argc > 2 ? atoi(argv[2]) : 50, camera_count = argc > 3 ? atoi(argv[3]) : 1000;
    int seconds = argc > 4 ? atoi(argv[4]) : 10;
    pid_t server = argc > 5 ? atoi(argv[5]) : 0;
    pid_t process[SP_CLUSTER_NODES_MAX];
    if (node_count < 2 || node_count > SP_CLUSTER_NODES_MAX ||
        camera_count > SP_CLUSTER_CAMERAS_MAX)
        return 2;
    for (int i = 0; i < node_count; i++)
        process[i] = start_node(url, i);
    struct sp_cluster *observer = open_node(url, -1);
    for (int i = 0; i < camera_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "camera%d", i);
        while (sp_cluster_put(observer, name, "{}", false, NULL) < 0)
            usleep(10000);
    }
    printf("all owned, evenly: %.1f s\n", wait_until_owned(observer, camera_count, node_count, ""));
    double nodes_s = 0, server_s = cpu_s(server);
    for (int i = 0; i < node_count; i++)
        nodes_s -= cpu_s(process[i]);
    sleep((unsigned)seconds);
    for (int i = 0; i < node_count; i++)
        nodes_s += cpu_s(process[i]);
    printf("at rest, of a core: NATS %.1f %%, each node %.2f %%\n",
           100 * (cpu_s(server) - server_s) / seconds, 100 * nodes_s / seconds / node_count);
    char victim[32];
    snprintf(victim, sizeof victim, "node%d", node_count - 1);
    kill(process[node_count - 1], SIGKILL);
    printf("owned again after kill -9 of a node: %.1f s\n",
           wait_until_owned(observer, camera_count, node_count - 1, victim));
    for (int i = 0; i < node_count; i++)
        kill(process[i], SIGKILL);
    sp_cluster_close(observer);
    printf("placement: %.1f ms; 10,000 cameras on 500 nodes: %.1f ms\n",
           placement_ms(node_count, camera_count), placement_ms(500, 10000));
    return 0;
}
