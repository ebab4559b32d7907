#include "api/peers.h"

#include "api/peers_internal.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 250, BUSY_WAIT_MS = 50 };

/* ---- the thread ---- */

static void finish_exchanges(struct sp_peers *peers)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(peers->multi, &left))) {
        struct sp_peer_exchange *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        exchange->done(exchange, code); /* the message is not valid afterwards */
    }
}

static void *run(void *argument)
{
    struct sp_peers *peers = argument;
    struct curl_waitfd *fds = calloc(SP_PEERS_LINKS, sizeof *fds);
    while (fds && !atomic_load(&peers->stopping)) {
        int running;
        for (struct sp_peer_task *task = sp_peers_take(peers), *next; task; task = next) {
            next = task->next;
            task->begin(peers, task);
        }
        curl_multi_perform(peers->multi, &running);
        finish_exchanges(peers);
        sp_peer_surveys_step(peers);
        sp_peer_viewers_step(peers);
        int count = sp_peer_viewers_wait(peers, fds, SP_PEERS_LINKS);
        curl_multi_poll(peers->multi, fds, (unsigned)count, running ? BUSY_WAIT_MS : WAIT_MS, NULL);
    }
    free(fds);
    return NULL;
}

/* ---- open and close ---- */

int sp_peers_open(struct sp_peers **out, const struct sp_settings *settings,
                  struct sp_cluster *cluster, struct sp_server *server, struct sp_error *err)
{
    struct sp_peers *peers = calloc(1, sizeof *peers);
    if (!peers)
        return sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    pthread_mutex_init(&peers->mutex, NULL);
    peers->cluster = cluster;
    peers->server = server;
    snprintf(peers->ca_file, sizeof peers->ca_file, "%s", settings->cluster_ca_file);
    snprintf(peers->token, sizeof peers->token, "%s", settings->api_token);
    snprintf(peers->node, sizeof peers->node, "%s", sp_cluster_name(cluster));
    curl_global_init(CURL_GLOBAL_DEFAULT);
    peers->view = calloc(1, sizeof *peers->view);
    peers->multi = curl_multi_init();
    int result = peers->view && peers->multi
                     ? sp_thread_start(&peers->thread, "peers", run, peers, err)
                     : sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    peers->started = result == SP_OK;
    if (result < 0)
        sp_peers_close(peers);
    else
        *out = peers;
    return result;
}

void sp_peers_set_token(struct sp_peers *peers, const char *token)
{
    pthread_mutex_lock(&peers->mutex);
    snprintf(peers->token, sizeof peers->token, "%s", token);
    pthread_mutex_unlock(&peers->mutex);
}

void sp_peers_stop(struct sp_peers *peers)
{
    if (!peers || !peers->started)
        return;
    atomic_store(&peers->stopping, true);
    curl_multi_wakeup(peers->multi);
    pthread_join(peers->thread, NULL);
    peers->started = false;
    for (struct sp_peer_task *task = sp_peers_take(peers), *next; task; task = next) {
        next = task->next;
        task->drop(task);
    }
    sp_peer_surveys_end(peers);
    sp_peer_asks_end(peers);
    sp_peer_viewers_end(peers);
}

void sp_peers_close(struct sp_peers *peers)
{
    if (!peers)
        return;
    sp_peers_stop(peers);
    curl_multi_cleanup(peers->multi);
    free(peers->view);
    pthread_mutex_destroy(&peers->mutex);
    free(peers);
}
