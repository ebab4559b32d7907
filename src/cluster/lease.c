/* Who runs a camera: taking, keeping and releasing it.
 *
 * A node has one lease, its record, which it renews (cluster.c). A camera's key names its owner and
 * the epoch, and is written on changes only. The owner of a camera is the node of its key while
 * that node's lease lasts. Then another node takes the camera: it replaces the key by
 * compare-and-set, so there is one owner at a time, and the previous one finds its key replaced. */
#include "cluster/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

static const int64_t RETRY_US = 500000;

static const char *state_of(const struct sp_cluster *cluster, const struct camera *camera,
                            bool *live)
{
    const char *state = "connecting";
    const struct sp_cluster_runner *runner = &cluster->options.runner;
    *live = camera->running && runner->is_live(runner->user, camera->name, &state);
    return state;
}

/* Names have no characters that JSON escapes. */
static void format_owner(const struct sp_cluster *cluster, const struct camera *camera,
                         uint64_t epoch, char value[LEASE_BYTES])
{
    bool live;
    snprintf(value, LEASE_BYTES, "{\"node\":\"%s\",\"epoch\":%llu,\"state\":\"%s\"}", cluster->name,
             (unsigned long long)epoch, state_of(cluster, camera, &live));
}

/* ---- the key ---- */

/* Reads it from the server. SP_OK, SP_ERR_CLOSED. */
static int refresh(struct sp_cluster *cluster, struct camera *camera)
{
    char key[SP_KV_KEY_BYTES], value[LEASE_BYTES];
    uint64_t revision = 0;
    sp_cluster_key(key, "owner", camera->name);
    int result = sp_kv_get(cluster->kv, SP_KV_OWNERS, key, value, sizeof value, &revision, NULL);
    if (result < 0 && result != SP_ERR_NOT_FOUND)
        return SP_ERR_CLOSED;
    sp_cluster_change_owner(camera, result == SP_OK ? value : NULL, revision);
    cluster->placed = false;
    return SP_OK;
}

/* SP_ERR_INVALID: another write was first, and the camera is as that one left it. SP_ERR_CLOSED. */
static int write_key(struct sp_cluster *cluster, struct camera *camera, const char *value,
                     int64_t now_us)
{
    char key[SP_KV_KEY_BYTES];
    uint64_t revision = 0;
    sp_cluster_key(key, "owner", camera->name);
    int result =
        camera->leased
            ? sp_kv_update(cluster->kv, SP_KV_OWNERS, key, value, camera->revision, &revision, NULL)
            : sp_kv_create(cluster->kv, SP_KV_OWNERS, key, value, &revision, NULL);
    if (result == SP_OK) {
        sp_cluster_change_owner(camera, value, revision);
        camera->written_us = now_us;
        cluster->placed = false;
    }
    return result == SP_ERR_INVALID && refresh(cluster, camera) < 0 ? SP_ERR_CLOSED : result;
}

/* ---- running ---- */

static void start(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    struct sp_error err = {0};
    const struct sp_cluster_runner *runner = &cluster->options.runner;
    if (camera->running || now_us < camera->retry_us)
        return;
    if (runner->start(runner->user, camera->name, camera->setting, &err) < 0) {
        sp_log(SP_LOG_WARNING, "cluster: camera %s: %s; trying again", camera->name, err.text);
        camera->retry_us = now_us + cluster->lease_us;
        return;
    }
    camera->running = true;
    camera->running_revision = camera->setting_revision;
}

static void stop(struct sp_cluster *cluster, struct camera *camera)
{
    if (camera->running)
        cluster->options.runner.stop(cluster->options.runner.user, camera->name);
    camera->running = false;
    camera->claimed_us = 0;
}

static void own(struct sp_cluster *cluster, struct camera *camera, uint64_t epoch)
{
    if (!camera->mine || camera->my_epoch != epoch)
        cluster->options.runner.publish(cluster->options.runner.user, camera->name, epoch);
    camera->mine = true;
    camera->my_epoch = epoch;
}

static void disown(struct sp_cluster *cluster, struct camera *camera)
{
    if (camera->mine && camera->running)
        cluster->options.runner.publish(cluster->options.runner.user, camera->name, 0);
    camera->mine = false;
}

/* ---- taking ---- */

static bool is_own(const struct sp_cluster *cluster, const struct camera *camera)
{
    return strcmp(camera->node, cluster->name) == 0;
}

/* Whether the owner's lease is over on the server, too. */
static bool owner_is_gone(struct sp_cluster *cluster, const struct camera *camera)
{
    char key[SP_KV_KEY_BYTES], value[SP_CLUSTER_HTTP_BYTES + 128];
    uint64_t revision;
    sp_cluster_key(key, "node", camera->node);
    return sp_kv_get(cluster->kv, SP_KV_ALIVE, key, value, sizeof value, &revision, NULL) ==
           SP_ERR_NOT_FOUND;
}

/* The key is written twice: the first write takes the camera and gives the revision that the epoch
 * is made of. An owner that stops between the two is seen without an epoch. */
static int take(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    char value[LEASE_BYTES];
    if (camera->leased && camera->node[0] && !is_own(cluster, camera) &&
        !owner_is_gone(cluster, camera))
        return SP_ERR_INVALID;
    format_owner(cluster, camera, 0, value);
    int result = write_key(cluster, camera, value, now_us);
    if (result < 0)
        return result;
    uint64_t epoch = sp_kv_epoch_base(cluster->kv) + camera->revision;
    format_owner(cluster, camera, epoch, value);
    result = write_key(cluster, camera, value, now_us);
    if (result < 0)
        return result;
    own(cluster, camera, epoch);
    cluster->taken++;
    sp_log(SP_LOG_INFO, "cluster: camera %s: taken with epoch %llu", camera->name,
           (unsigned long long)epoch);
    return SP_OK;
}

static void lose(struct sp_cluster *cluster, struct camera *camera)
{
    sp_log(SP_LOG_WARNING, "cluster: camera %s: now run by node %s", camera->name, camera->node);
    cluster->lost++;
    disown(cluster, camera);
    stop(cluster, camera);
}

/* ---- keeping ---- */

/* Compares what this node runs with the key: loses the camera to another node; takes it again after
 * the bucket was lost with its server. SP_ERR_CLOSED: not known. */
static int keep(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    bool own = camera->leased && is_own(cluster, camera);
    if (own && camera->epoch == camera->my_epoch)
        return SP_OK;
    if (!camera->leased || !camera->node[0] || (own && camera->epoch == 0))
        return take(cluster, camera, now_us) == SP_ERR_CLOSED ? SP_ERR_CLOSED : SP_OK;
    lose(cluster, camera);
    return SP_OK;
}

static int write_state(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    char value[LEASE_BYTES];
    format_owner(cluster, camera, camera->my_epoch, value);
    return write_key(cluster, camera, value, now_us);
}

/* The write makes one of another node that is on its way fail. */
bool sp_cluster_camera_confirm(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    int result = camera->mine ? keep(cluster, camera, now_us) : SP_OK;
    if (result == SP_OK && camera->mine)
        result = write_state(cluster, camera, now_us);
    if (result == SP_ERR_INVALID)
        result = keep(cluster, camera, now_us);
    return result != SP_ERR_CLOSED;
}

static void let_go(struct sp_cluster *cluster, struct camera *camera)
{
    write_key(cluster, camera, "{\"node\":\"\",\"epoch\":0,\"state\":\"moving\"}", 0);
}

static void release(struct sp_cluster *cluster, struct camera *camera)
{
    char key[SP_KV_KEY_BYTES];
    disown(cluster, camera); /* before the next owner can publish */
    if (camera->setting) {
        let_go(cluster, camera);
        return;
    }
    sp_cluster_key(key, "owner", camera->name);
    if (sp_kv_remove(cluster->kv, SP_KV_OWNERS, key, NULL) == SP_OK)
        sp_cluster_change_owner(camera, NULL, camera->revision);
}

void sp_cluster_camera_stop(struct sp_cluster *cluster, struct camera *camera)
{
    if (camera->mine)
        release(cluster, camera);
    stop(cluster, camera);
}

/* ---- moving ---- */

/* Announces that this node runs the camera as standby. */
static void claim(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    bool live;
    char key[SP_KV_KEY_BYTES], value[LEASE_BYTES];
    state_of(cluster, camera, &live);
    bool due = now_us - camera->claimed_us > cluster->lease_us / 3;
    if (!due && live == camera->claimed_ready)
        return;
    sp_cluster_key(key, "claim", camera->name);
    snprintf(value, sizeof value, "{\"node\":\"%s\",\"ready\":%s}", cluster->name,
             live ? "true" : "false");
    if (sp_kv_put(cluster->kv, SP_KV_ALIVE, key, value, NULL) == SP_OK) {
        camera->claimed_us = now_us;
        camera->claimed_ready = live;
    }
}

static bool has_ready_successor(const struct sp_cluster *cluster, const struct camera *camera,
                                int64_t now_us)
{
    return camera->claimant[0] && strcmp(camera->claimant, cluster->name) != 0 &&
           camera->claim_ready && now_us - camera->claim_seen_us < cluster->lease_us;
}

static bool is_leased_by_another(const struct sp_cluster *cluster, const struct camera *camera,
                                 int64_t now_us)
{
    const struct node *node = sp_cluster_find_node(cluster, camera->node);
    return camera->leased && node && !is_own(cluster, camera) &&
           sp_cluster_node_is_alive(cluster, node, now_us);
}

static void step_owner(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    bool live;
    if (keep(cluster, camera, now_us) < 0 || !camera->mine)
        return;
    if (!camera->wanted && has_ready_successor(cluster, camera, now_us)) {
        sp_log(SP_LOG_INFO, "cluster: camera %s: moves to node %s", camera->name, camera->claimant);
        release(cluster, camera);
        stop(cluster, camera);
        cluster->moved++;
        return;
    }
    if (strcmp(state_of(cluster, camera, &live), camera->state) != 0 &&
        now_us - camera->written_us > cluster->lease_us / 12)
        write_state(cluster, camera, now_us);
    if (camera->running && camera->running_revision != camera->setting_revision)
        stop(cluster, camera); /* started below with the new setting, same lease and epoch */
    if (!camera->running) {
        start(cluster, camera, now_us);
        if (camera->running)
            cluster->options.runner.publish(cluster->options.runner.user, camera->name,
                                            camera->my_epoch);
    }
}

/* Of a camera that was removed while its owner was gone. */
static void forget_owner(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    char key[SP_KV_KEY_BYTES];
    if (!camera->leased || is_leased_by_another(cluster, camera, now_us))
        return;
    sp_cluster_key(key, "owner", camera->name);
    if (sp_kv_remove(cluster->kv, SP_KV_OWNERS, key, NULL) == SP_OK)
        sp_cluster_change_owner(camera, NULL, camera->revision);
}

void sp_cluster_camera_step(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    if (!camera->setting) {
        sp_cluster_camera_stop(cluster, camera);
        forget_owner(cluster, camera, now_us);
    } else if (camera->mine) {
        step_owner(cluster, camera, now_us);
    } else if (!camera->wanted) {
        stop(cluster, camera);
        if (camera->leased && is_own(cluster, camera)) /* of a process that ended, or interrupted */
            let_go(cluster, camera);
    } else if (is_leased_by_another(cluster, camera, now_us)) {
        start(cluster, camera, now_us);
        if (camera->running)
            claim(cluster, camera, now_us);
    } else {
        start(cluster, camera, now_us);
        if (camera->running && now_us >= camera->retry_us &&
            take(cluster, camera, now_us) == SP_ERR_INVALID)
            camera->retry_us = now_us + RETRY_US / 5;
    }
}
