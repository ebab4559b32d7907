/* The cluster's shared state: three key-value buckets in NATS JetStream.
 *
 * SP_KV_SETUP (on disk, permanent) holds cameras and requests to drain nodes; SP_KV_OWNERS (in
 * memory) holds who runs which camera; SP_KV_ALIVE (in memory) holds nodes and claims, and every
 * value of it expires `ttl_ms` after it was last written. A write may require that the key's last
 * revision is a given one, which is what makes an owner the only one.
 *
 * Data flow: sp_kv_poll -> the listener, for every change of any node in the order of the bucket;
 * after each (re)connection sp_kv_poll begins anew with reset(), then all values, then synced().
 * Expiry is not reported. One thread, except for sp_kv_is_connected. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_KV_KEY_BYTES = 160 };
enum sp_kv_bucket { SP_KV_SETUP, SP_KV_OWNERS, SP_KV_ALIVE, SP_KV_BUCKETS };

struct sp_kv;

struct sp_kv_listener {
    void *user;
    void (*reset)(void *user, enum sp_kv_bucket bucket);
    /* value NULL: removed. */
    void (*change)(void *user, enum sp_kv_bucket bucket, const char *key, const char *value,
                   uint64_t revision);
    void (*synced)(void *user, enum sp_kv_bucket bucket);
};

struct sp_kv_options {
    const char *url;     /* nats://[USER:PASSWORD@]HOST:PORT, tls://; several separated by commas */
    const char *ca_file; /* PEM, for tls://; NULL or empty: the system's certificates */
    const char *site;    /* letters, digits, '_', '-': part of the buckets' names */
    const char *name;    /* of this client, for the server's lists */
    int ttl_ms;
    struct sp_kv_listener listener;
};

/* Returns before there is a connection, which is then made, and made again, in the background.
 * SP_ERR_INVALID: a malformed URL; SP_ERR_NO_MEMORY. */
int sp_kv_open(struct sp_kv **out, const struct sp_kv_options *options, struct sp_error *err);
void sp_kv_close(struct sp_kv *kv); /* NULL is allowed */

/* Any thread. */
bool sp_kv_is_connected(const struct sp_kv *kv);

/* Waits up to timeout_ms for a change and reports all that there are. SP_ERR_CLOSED: not connected
 * (waits as long); SP_ERR_UNSUPPORTED: the server has no JetStream. */
int sp_kv_poll(struct sp_kv *kv, int timeout_ms, struct sp_error *err);

/* Writes return SP_OK, or SP_ERR_INVALID: another revision is there; SP_ERR_CLOSED: not connected
 * or no answer, so that the write may or may not have happened. `revision` may be NULL. */
int sp_kv_create(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, const char *value,
                 uint64_t *revision, struct sp_error *err);
int sp_kv_update(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, const char *value,
                 uint64_t last, uint64_t *revision, struct sp_error *err);
int sp_kv_put(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, const char *value,
              struct sp_error *err);
int sp_kv_remove(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, struct sp_error *err);

/* The key's value now, from the server. SP_ERR_NOT_FOUND, SP_ERR_CLOSED. */
int sp_kv_get(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, char *value,
              size_t value_bytes, uint64_t *revision, struct sp_error *err);

/* Added to a revision of SP_KV_OWNERS it gives a number that also rises when that bucket was lost
 * with its server and created again. */
uint64_t sp_kv_epoch_base(const struct sp_kv *kv);
