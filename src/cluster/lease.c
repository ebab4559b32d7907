/* Leases: taking, renewing and releasing cameras. */
#include "cluster/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <jansson.h>
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
static void write_lease(const struct sp_cluster *cluster, const struct camera *camera,
                        uint64_t epoch, char value[LEASE_BYTES])
{
    bool live;
    snprintf(value, LEASE_BYTES, "{\"node\":\"%s\",\"epoch\":%llu,\"state\":\"%s\"}", cluster->name,
             (unsigned long long)epoch, state_of(cluster, camera, &live));
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

static void own(struct sp_cluster *cluster, struct camera *camera, uint64_t epoch,
                uint64_t revision, int64_t now_us)
{
    if (!camera->mine || camera->my_epoch != epoch)
        cluster->options.runner.publish(cluster->options.runner.user, camera->name, epoch);
    camera->mine = true;
    camera->my_epoch = epoch;
    camera->my_revision = revision;
    camera->renewed_us = now_us;
}

static void disown(struct sp_cluster *cluster, struct camera *camera)
{
    if (camera->mine && camera->running)
        cluster->options.runner.publish(cluster->options.runner.user, camera->name, 0);
    camera->mine = false;
}

/* ---- taking ---- */

/* The lease is written twice: the first write takes it and gives the revision that the epoch is
 * made of. An owner that stops between the two is seen without an epoch, and expires. */
static int take(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    char key[SP_KV_KEY_BYTES], value[LEASE_BYTES];
    uint64_t revision = 0;
    bool released = camera->leased && camera->node[0] == '\0';
    sp_cluster_key(key, "lease", camera->name);
    write_lease(cluster, camera, 0, value);
    int result = released ? sp_kv_update(cluster->kv, SP_KV_ALIVE, key, value, camera->revision,
                                         &revision, NULL)
                          : sp_kv_create(cluster->kv, SP_KV_ALIVE, key, value, &revision, NULL);
    if (result < 0)
        return result;
    uint64_t epoch = sp_kv_epoch_base(cluster->kv) + revision;
    write_lease(cluster, camera, epoch, value);
    result = sp_kv_update(cluster->kv, SP_KV_ALIVE, key, value, revision, &revision, NULL);
    if (result < 0)
        return result;
    own(cluster, camera, epoch, revision, now_us);
    cluster->taken++;
    sp_log(SP_LOG_INFO, "cluster: camera %s: taken with epoch %llu", camera->name,
           (unsigned long long)epoch);
    return SP_OK;
}

static void lose(struct sp_cluster *cluster, struct camera *camera, const char *owner)
{
    sp_log(SP_LOG_WARNING, "cluster: camera %s: now run by node %s", camera->name, owner);
    cluster->lost++;
    disown(cluster, camera);
    stop(cluster, camera);
}

/* ---- renewing ---- */

/* The renewal was refused: the lease expired, another node has it, or an earlier renewal arrived
 * whose answer was lost. SP_ERR_CLOSED: not known. */
static int settle_conflict(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    char key[SP_KV_KEY_BYTES], value[LEASE_BYTES];
    uint64_t revision = 0;
    sp_cluster_key(key, "lease", camera->name);
    int result = sp_kv_get(cluster->kv, SP_KV_ALIVE, key, value, sizeof value, &revision, NULL);
    if (result == SP_ERR_NOT_FOUND) {
        camera->leased = false;
        result = take(cluster, camera, now_us);
        return result == SP_ERR_INVALID ? SP_ERR_CLOSED : result; /* taken meanwhile: look again */
    }
    if (result < 0)
        return SP_ERR_CLOSED;
    json_t *lease = json_loads(value, 0, NULL);
    const char *node = json_string_value(json_object_get(lease, "node"));
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(lease, "epoch"));
    if (node && strcmp(node, cluster->name) == 0 && epoch == camera->my_epoch)
        camera->my_revision = revision; /* renewed with the next step */
    else
        lose(cluster, camera, node && node[0] ? node : "(none)");
    json_decref(lease);
    return SP_OK;
}

static int renew(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    char key[SP_KV_KEY_BYTES], value[LEASE_BYTES];
    uint64_t revision = 0;
    sp_cluster_key(key, "lease", camera->name);
    write_lease(cluster, camera, camera->my_epoch, value);
    int result =
        sp_kv_update(cluster->kv, SP_KV_ALIVE, key, value, camera->my_revision, &revision, NULL);
    if (result == SP_ERR_INVALID)
        return settle_conflict(cluster, camera, now_us);
    if (result == SP_OK)
        own(cluster, camera, camera->my_epoch, revision, now_us);
    return result;
}

bool sp_cluster_camera_confirm(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    if (!camera->mine)
        return true;
    return renew(cluster, camera, now_us) != SP_ERR_CLOSED;
}

static void release(struct sp_cluster *cluster, struct camera *camera)
{
    char key[SP_KV_KEY_BYTES];
    sp_cluster_key(key, "lease", camera->name);
    disown(cluster, camera); /* before the next owner can publish */
    sp_kv_update(cluster->kv, SP_KV_ALIVE, key, "{\"node\":\"\",\"epoch\":0,\"state\":\"moving\"}",
                 camera->my_revision, NULL, NULL);
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
    return camera->leased && camera->node[0] && strcmp(camera->node, cluster->name) != 0 &&
           now_us - camera->lease_seen_us < cluster->lease_us;
}

static void step_owner(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    bool live;
    bool changed = strcmp(state_of(cluster, camera, &live), camera->state) != 0;
    if (!camera->wanted && has_ready_successor(cluster, camera, now_us)) {
        sp_log(SP_LOG_INFO, "cluster: camera %s: moves to node %s", camera->name, camera->claimant);
        release(cluster, camera);
        stop(cluster, camera);
        cluster->moved++;
        return;
    }
    if (now_us - camera->renewed_us > cluster->lease_us / (changed ? 12 : 3))
        renew(cluster, camera, now_us);
    if (camera->mine && camera->running && camera->running_revision != camera->setting_revision)
        stop(cluster, camera); /* started below with the new setting, same lease and epoch */
    if (camera->mine && !camera->running) {
        start(cluster, camera, now_us);
        if (camera->running)
            cluster->options.runner.publish(cluster->options.runner.user, camera->name,
                                            camera->my_epoch);
    }
}

void sp_cluster_camera_step(struct sp_cluster *cluster, struct camera *camera, int64_t now_us)
{
    if (!camera->setting) {
        sp_cluster_camera_stop(cluster, camera);
    } else if (camera->mine) {
        step_owner(cluster, camera, now_us);
    } else if (!camera->wanted) {
        stop(cluster, camera);
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
