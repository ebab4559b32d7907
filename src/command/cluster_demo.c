#include "command/cluster_demo.h"

#include "base/clock.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "command/remove.h"
#include "command/subprocess.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NODES = 3,
    CAMERAS = 6,
    NATS = NODES,
    PROCESSES,
    WORDS_MAX = 2 * CAMERAS + 16,
    LEASE_MS = 2500
};

static const int64_t LIMIT_US = 180000000, STOP_US = 10000000;
static const char *const node_names[NODES] = {"a", "b", "c"};
static const char *const titles[PROCESSES] = {"node a", "node b", "node c", "nats-server"};

struct demo {
    const struct sp_command_context *context;
    const struct sp_options *options;
    int64_t begin_us;
    char folder[64], program[PATH_MAX], log[PROCESSES][96];
    pid_t process[PROCESSES]; /* 0: does not run */
    int port[PROCESSES];
    struct sp_cluster *cluster;
    char shown[CAMERAS][SP_CLUSTER_NAME_BYTES]; /* the node that was last printed */
    struct sp_cluster_node_report nodes[SP_CLUSTER_NODES_MAX];
    struct sp_cluster_camera_report cameras[SP_CLUSTER_CAMERAS_MAX];
    int node_count, camera_count;
};

__attribute__((format(printf, 2, 3))) static void say(const struct demo *demo, const char *format,
                                                      ...)
{
    va_list list;
    printf("%6.1f s  ", (double)(sp_clock_us() - demo->begin_us) / 1e6);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout);
}

/* ---- subprocesses ---- */

/* A port that is free now. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int port = -1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, bytes) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &bytes) == 0)
        port = ntohs(address.sin_port);
    close(fd);
    return port;
}

/* In the new process: only calls that are allowed between fork and exec of a program with threads.
 */
_Noreturn static void become(const char *const *word, const char *folder, int log, pid_t parent)
{
    int null = open("/dev/null", O_RDWR);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); /* ^C is for the demo, which stops them in order */
    if (getppid() == parent && chdir(folder) == 0 && dup2(null, 0) == 0 && dup2(log, 1) == 1 &&
        dup2(log, 2) == 2)
        execvp(word[0], (char *const *)(void *)word);
    _exit(127);
}

static int start(struct demo *demo, int which, const char *const *word, struct sp_error *err)
{
    snprintf(demo->log[which], sizeof demo->log[which], "%s/%s.log", demo->folder,
             which == NATS ? "nats" : node_names[which]);
    int log = open(demo->log[which], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", demo->log[which],
                       strerror(errno));
    pid_t parent = getpid(), process = fork();
    if (process == 0)
        become(word, demo->folder, log, parent);
    close(log);
    if (process < 0)
        return sp_fail(err, SP_ERR_IO, "%s: %s", word[0], strerror(errno));
    demo->process[which] = process;
    return SP_OK;
}

static int start_nats(struct demo *demo, struct sp_error *err)
{
    char port[16];
    snprintf(port, sizeof port, "%d", demo->port[NATS]);
    const char *word[] = {"nats-server", "-js", "-sd", demo->folder, "-a",
                          "127.0.0.1",   "-p",  port,  NULL};
    return start(demo, NATS, word, err);
}

/* The first node has the cameras in its settings. */
static int start_node(struct demo *demo, int which, struct sp_error *err)
{
    char text[WORDS_MAX][96];
    const char *word[WORDS_MAX] = {demo->program, "serve"};
    int count = 2;
#define ADD(...)                                                                                   \
    (snprintf(text[count], sizeof text[count], __VA_ARGS__), word[count] = text[count], count++)
    ADD("--http-host=127.0.0.1");
    ADD("--http-port=%d", demo->port[which]);
    ADD("--engine=%s", demo->options->settings.engine);
    ADD("--store=");
    ADD("--cluster-url=nats://127.0.0.1:%d", demo->port[NATS]);
    ADD("--cluster-site=demo");
    ADD("--cluster-node=%s", node_names[which]);
    ADD("--cluster-advertise=http://127.0.0.1:%d", demo->port[which]);
    ADD("--cluster-capacity=%d", CAMERAS);
    ADD("--cluster-lease-ms=%d", LEASE_MS);
    for (int i = 1; which == 0 && i <= CAMERAS; i++) {
        ADD("--camera");
        ADD("cam%d=sim://walk?fps=5&seed=%d", i, i);
    }
#undef ADD
    word[count] = NULL;
    return start(demo, which, word, err);
}

static void kill_process(struct demo *demo, int which)
{
    kill(demo->process[which], SIGKILL);
    waitpid(demo->process[which], NULL, 0);
    demo->process[which] = 0;
}

static void stop_processes(struct demo *demo, int first, int last)
{
    int64_t limit_us = sp_clock_us() + STOP_US;
    for (int i = first; i <= last; i++)
        if (demo->process[i])
            kill(demo->process[i], SIGTERM);
    for (int i = first; i <= last; i++) {
        while (demo->process[i] && waitpid(demo->process[i], NULL, WNOHANG) == 0) {
            if (sp_clock_us() > limit_us)
                kill(demo->process[i], SIGKILL);
            usleep(20000);
        }
        demo->process[i] = 0;
    }
}

static int check_processes(struct demo *demo, struct sp_error *err)
{
    char line[256];
    int status;
    for (int i = 0; i < PROCESSES; i++) {
        if (!demo->process[i] || waitpid(demo->process[i], &status, WNOHANG) == 0)
            continue;
        demo->process[i] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
            return sp_fail(err, SP_ERR_NOT_FOUND,
                           "%s: not found; install it (Debian: apt-get install nats-server)",
                           titles[i]);
        sp_subprocess_last_line(demo->log[i], NULL, line, sizeof line);
        return sp_fail(err, SP_ERR_IO, "%s: ended: %s", titles[i], line);
    }
    return SP_OK;
}

/* ---- what happens ---- */

/* Prints cameras whose node is another than before. */
static void show_changes(struct demo *demo)
{
    for (int i = 0; i < demo->camera_count && i < CAMERAS; i++) {
        const struct sp_cluster_camera_report *camera = &demo->cameras[i];
        if (strcmp(demo->shown[i], camera->node) == 0)
            continue;
        memcpy(demo->shown[i], camera->node, sizeof demo->shown[i]);
        if (camera->node[0])
            say(demo, "camera %s: node %s, epoch %llu", camera->name, camera->node,
                (unsigned long long)camera->epoch);
        else
            say(demo, "camera %s: its lease has expired", camera->name);
    }
}

/* All cameras are live, evenly on the nodes that run. */
static bool is_reached(const struct demo *demo)
{
    int share[NODES] = {0}, running = 0;
    for (int i = 0; i < demo->camera_count; i++)
        for (int n = 0; n < NODES; n++)
            if (strcmp(demo->cameras[i].state, "live") == 0 && demo->process[n] &&
                strcmp(demo->cameras[i].node, node_names[n]) == 0)
                share[n]++;
    for (int n = 0; n < NODES; n++)
        running += demo->process[n] != 0;
    for (int n = 0; n < NODES; n++)
        if (share[n] != (demo->process[n] ? CAMERAS / running : 0))
            return false;
    return demo->camera_count == CAMERAS;
}

static int step(struct demo *demo, struct sp_error *err)
{
    usleep(50000);
    if (demo->context->interrupted())
        return sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
    demo->camera_count = sp_cluster_cameras(demo->cluster, demo->cameras);
    demo->node_count = sp_cluster_nodes(demo->cluster, demo->nodes);
    show_changes(demo);
    return check_processes(demo, err);
}

static int wait_until_reached(struct demo *demo, int64_t *took_us, struct sp_error *err)
{
    int64_t begin_us = sp_clock_us();
    while (!is_reached(demo)) {
        int result = step(demo, err);
        if (result < 0)
            return result;
        if (sp_clock_us() - begin_us > LIMIT_US)
            return sp_fail(err, SP_ERR_IO, "not all cameras are live within %.0f s",
                           (double)LIMIT_US / 1e6);
    }
    *took_us = sp_clock_us() - begin_us;
    say(demo, "all %d cameras are live", CAMERAS);
    return SP_OK;
}

static int show(struct demo *demo, struct sp_error *err)
{
    static const int VICTIM = NODES - 1;
    int64_t took_us = 0;
    int result = wait_until_reached(demo, &took_us, err);
    if (result < 0)
        return result;
    say(demo, "killing node %s (SIGKILL)", node_names[VICTIM]);
    kill_process(demo, VICTIM);
    result = wait_until_reached(demo, &took_us, err);
    if (result < 0)
        return result;
    say(demo, "%.1f s after the kill; a lease lasts %.1f s", (double)took_us / 1e6, LEASE_MS / 1e3);
    say(demo, "starting node %s again", node_names[VICTIM]);
    result = start_node(demo, VICTIM, err);
    if (result == SP_OK)
        result = wait_until_reached(demo, &took_us, err);
    if (result < 0)
        return result;
    say(demo, "node %s has its share; each camera moved once it had frames there",
        node_names[VICTIM]);
    int64_t end_us = demo->begin_us + (int64_t)(demo->options->seconds * 1e6);
    while (result == SP_OK && sp_clock_us() < end_us)
        result = step(demo, err);
    return result;
}

/* ---- open and close ---- */

static int open_demo(struct demo *demo, struct sp_error *err)
{
    const char *folder = getenv("TMPDIR");
    char made[PATH_MAX];
    snprintf(made, sizeof made, "%s/spoton-demo-XXXXXX", folder ? folder : "/tmp");
    if (strlen(made) >= sizeof demo->folder)
        snprintf(made, sizeof made, "/tmp/spoton-demo-XXXXXX");
    ssize_t length = readlink("/proc/self/exe", demo->program, sizeof demo->program - 1);
    if (length <= 0)
        return sp_fail(err, SP_ERR_IO, "/proc/self/exe: %s", strerror(errno));
    if (!mkdtemp(made))
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", made, strerror(errno));
    snprintf(demo->folder, sizeof demo->folder, "%s", made);
    for (int i = 0; i < PROCESSES; i++) {
        demo->port[i] = free_port();
        if (demo->port[i] < 0)
            return sp_fail(err, SP_ERR_IO, "no free port on 127.0.0.1: %s", strerror(errno));
    }
    int result = start_nats(demo, err);
    for (int i = 0; i < NODES && result == SP_OK; i++)
        result = start_node(demo, i, err);
    if (result < 0)
        return result;
    char url[64];
    snprintf(url, sizeof url, "nats://127.0.0.1:%d", demo->port[NATS]);
    struct sp_cluster_options options = {.url = url,
                                         .site = "demo",
                                         .node = "spoton-demo",
                                         .http = "",
                                         .lease_ms = LEASE_MS,
                                         .observes = true};
    sp_log_set_level(SP_LOG_ERROR); /* that NATS is not there yet */
    return sp_cluster_open(&demo->cluster, &options, err);
}

static void close_demo(struct demo *demo)
{
    sp_cluster_close(demo->cluster);
    stop_processes(demo, 0, NODES - 1);
    stop_processes(demo, NATS, NATS);
    if (demo->folder[0])
        sp_remove_folder(demo->folder);
    free(demo);
}

int sp_cluster_demo(const struct sp_command_context *context, const struct sp_options *options)
{
    struct sp_error err = {0};
    struct demo *demo = calloc(1, sizeof *demo);
    if (!demo) {
        fputs("spoton cluster: out of memory\n", stderr);
        return SP_EXIT_FAILED;
    }
    demo->context = context;
    demo->options = options;
    demo->begin_us = sp_clock_us();
    int result = open_demo(demo, &err);
    if (result == SP_OK) {
        say(demo, "nats-server on port %d, %d nodes, %d simulated cameras", demo->port[NATS], NODES,
            CAMERAS);
        for (int i = 0; i < NODES; i++)
            say(demo, "node %s: dashboard http://127.0.0.1:%d/", node_names[i], demo->port[i]);
        result = show(demo, &err);
    }
    if (result < 0)
        fprintf(stderr, "spoton cluster: demo: %s\n", err.text);
    close_demo(demo);
    return result == SP_ERR_INTERRUPTED ? SP_EXIT_INTERRUPTED
                                        : (result < 0 ? SP_EXIT_FAILED : SP_EXIT_OK);
}
