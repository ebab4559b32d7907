/* Changes that other threads ask for: cameras of the site, nodes that drain. */
#include "cluster/internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static int add_request(struct sp_cluster *cluster, enum request_kind kind, const char *of,
                       const char *name, const char *value, struct sp_error *err)
{
    int result = SP_OK;
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        return sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    pthread_mutex_lock(&cluster->mutex);
    if (cluster->request_count == REQUESTS_MAX) {
        result = sp_fail(err, SP_ERR_NO_SPACE,
                         "cluster: too many changes wait for NATS; check CLUSTER_URL");
        free(copy);
    } else {
        int at = (cluster->request_first + cluster->request_count++) % REQUESTS_MAX;
        cluster->requests[at] = (struct request){.kind = kind, .value = copy};
        sp_cluster_key(cluster->requests[at].key, of, name);
    }
    pthread_mutex_unlock(&cluster->mutex);
    return result;
}

int sp_cluster_put(struct sp_cluster *cluster, const char *camera, const char *setting,
                   bool only_new, struct sp_error *err)
{
    if (strlen(setting) >= SP_CLUSTER_SETTING_BYTES)
        return sp_fail(err, SP_ERR_INVALID, "camera %s: its settings are longer than %d bytes",
                       camera, SP_CLUSTER_SETTING_BYTES - 1);
    return add_request(cluster, only_new ? REQUEST_CREATE : REQUEST_PUT, "camera", camera, setting,
                       err);
}

int sp_cluster_remove(struct sp_cluster *cluster, const char *camera, struct sp_error *err)
{
    return add_request(cluster, REQUEST_REMOVE, "camera", camera, NULL, err);
}

int sp_cluster_drain(struct sp_cluster *cluster, const char *node, bool drain, struct sp_error *err)
{
    return add_request(cluster, drain ? REQUEST_PUT : REQUEST_REMOVE, "drain", node,
                       drain ? "{}" : NULL, err);
}

static int perform(struct sp_cluster *cluster, const struct request *request)
{
    struct sp_error err = {0};
    int result;
    switch (request->kind) {
    case REQUEST_CREATE:
        result = sp_kv_create(cluster->kv, SP_KV_SETUP, request->key, request->value, NULL, &err);
        if (result == SP_ERR_INVALID) /* it exists */
            result = SP_OK;
        break;
    case REQUEST_PUT:
        result = sp_kv_put(cluster->kv, SP_KV_SETUP, request->key, request->value, &err);
        break;
    default:
        result = sp_kv_remove(cluster->kv, SP_KV_SETUP, request->key, &err);
        break;
    }
    if (result < 0 && result != SP_ERR_CLOSED)
        sp_log(SP_LOG_ERROR, "%s", err.text);
    return result;
}

void sp_cluster_perform_requests(struct sp_cluster *cluster)
{
    for (;;) {
        pthread_mutex_lock(&cluster->mutex);
        bool any = cluster->request_count > 0;
        struct request request = cluster->requests[cluster->request_first];
        pthread_mutex_unlock(&cluster->mutex);
        if (!any || perform(cluster, &request) == SP_ERR_CLOSED)
            return;
        pthread_mutex_lock(&cluster->mutex);
        cluster->request_first = (cluster->request_first + 1) % REQUESTS_MAX;
        cluster->request_count--;
        pthread_mutex_unlock(&cluster->mutex);
        free(request.value);
    }
}
