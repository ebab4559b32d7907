/* What waits for the thread of the peers, and its view of the cluster. */
#include "api/peers_internal.h"

#include "base/clock.h"

#include <string.h>

static const int64_t VIEW_US = 200000;

/* ---- the queue ---- */

bool sp_peers_may_ask(struct sp_peers *peers)
{
    if (atomic_fetch_add(&peers->waiting, 1) < SP_PEERS_WAITING)
        return true;
    atomic_fetch_sub(&peers->waiting, 1);
    return false;
}

void sp_peers_add(struct sp_peers *peers, struct sp_peer_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&peers->mutex);
    if (peers->last)
        peers->last->next = task;
    else
        peers->first = task;
    peers->last = task;
    pthread_mutex_unlock(&peers->mutex);
    curl_multi_wakeup(peers->multi);
}

struct sp_peer_task *sp_peers_take(struct sp_peers *peers)
{
    pthread_mutex_lock(&peers->mutex);
    struct sp_peer_task *tasks = peers->first;
    peers->first = peers->last = NULL;
    pthread_mutex_unlock(&peers->mutex);
    return tasks;
}

/* ---- the view ---- */

const struct sp_peer_view *sp_peers_view(struct sp_peers *peers)
{
    struct sp_peer_view *view = peers->view;
    int64_t now_us = sp_clock_us();
    if (view->read_us > 0 && now_us - view->read_us < VIEW_US)
        return view;
    view->read_us = now_us;
    view->node_count = sp_cluster_nodes(peers->cluster, view->nodes);
    view->camera_count = sp_cluster_cameras(peers->cluster, view->cameras);
    return view;
}

const struct sp_cluster_node_report *sp_peers_node(const struct sp_peer_view *view,
                                                   const char *name)
{
    for (int i = 0; i < view->node_count; i++)
        if (strcmp(view->nodes[i].name, name) == 0)
            return &view->nodes[i];
    return NULL;
}
