#include "cluster/kv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/url.h"

#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One request that gets no answer may take this long. */
enum { REQUEST_TIMEOUT_MS = 1000, CLOSE_TIMEOUT_MS = 2000, SERVERS_MAX = 8 };

struct bucket {
    char name[96];
    kvStore *store;
    kvWatcher *watcher;
    bool synced;
};

struct sp_kv {
    struct sp_kv_options options;
    natsConnection *connection;
    jsCtx *js;
    struct bucket buckets[SP_KV_BUCKETS];
    bool open;                        /* the buckets are */
    atomic_bool closed;               /* the connection is, and calls no more */
    atomic_bool connected, reconnect; /* reconnect: the buckets have to be opened anew */
    uint64_t epoch_base;
};

/* ---- connection ---- */

static void on_connected(natsConnection *connection, void *user)
{
    struct sp_kv *kv = user;
    (void)connection;
    atomic_store(&kv->reconnect, true);
    atomic_store(&kv->connected, true);
}

static void on_disconnected(natsConnection *connection, void *user)
{
    struct sp_kv *kv = user;
    (void)connection;
    atomic_store(&kv->connected, false);
}

/* The last call of the library's own thread for this connection. */
static void on_closed(natsConnection *connection, void *user)
{
    struct sp_kv *kv = user;
    (void)connection;
    atomic_store(&kv->closed, true);
}

/* Without it the library prints to stderr. */
static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *user)
{
    (void)connection;
    (void)subscription;
    (void)user;
    sp_log(SP_LOG_DEBUG, "cluster: NATS: %s", natsStatus_GetText(status));
}

/* The library compares no names by itself, and has one name for all servers: that of the first. */
static natsStatus set_tls(natsOptions *options, const char *url, const char *ca_file)
{
    char host[256];
    if (!sp_url_host(url, host, sizeof host))
        return NATS_INVALID_ARG;
    natsStatus s = natsOptions_SetSecure(options, true);
    if (s == NATS_OK && ca_file && ca_file[0])
        s = natsOptions_LoadCATrustedCertificates(options, ca_file);
    return s == NATS_OK ? natsOptions_SetExpectedHostname(options, host) : s;
}

/* Splits `url`. If one server uses TLS, all have to. */
static natsStatus set_servers(natsOptions *options, char *url, const char *ca_file)
{
    bool tls = false;
    const char *servers[SERVERS_MAX];
    int count = 0;
    char *rest = NULL;
    for (char *one = strtok_r(url, ", ", &rest); one && count < SERVERS_MAX;
         one = strtok_r(NULL, ", ", &rest)) {
        if (strncmp(one, "nats://", 7) != 0 && strncmp(one, "tls://", 6) != 0)
            return NATS_INVALID_ARG;
        tls = tls || one[0] == 't';
        servers[count++] = one;
    }
    natsStatus s = count ? natsOptions_SetServers(options, servers, count) : NATS_INVALID_ARG;
    return s == NATS_OK && tls ? set_tls(options, servers[0], ca_file) : s;
}

static natsStatus set_options(struct sp_kv *kv, natsOptions *options)
{
    char *copy = strdup(kv->options.url);
    if (!copy)
        return NATS_NO_MEMORY;
    natsStatus s = set_servers(options, copy, kv->options.ca_file);
    free(copy);
    if (s == NATS_OK)
        s = natsOptions_SetName(options, kv->options.name);
    if (s == NATS_OK)
        s = natsOptions_SetMaxReconnect(options, -1);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectWait(options, 250);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectJitter(options, 50, 50);
    if (s == NATS_OK) /* a server that is there and does not answer is noticed in 2 s */
        s = natsOptions_SetPingInterval(options, 1000);
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(options, 1);
    if (s == NATS_OK)
        s = natsOptions_SetFailRequestsOnDisconnect(options, true);
    if (s == NATS_OK)
        s = natsOptions_SetErrorHandler(options, on_error, kv);
    if (s == NATS_OK)
        s = natsOptions_SetDisconnectedCB(options, on_disconnected, kv);
    if (s == NATS_OK)
        s = natsOptions_SetClosedCB(options, on_closed, kv);
    if (s == NATS_OK)
        s = natsOptions_SetReconnectedCB(options, on_connected, kv);
    if (s == NATS_OK)
        s = natsOptions_SetRetryOnFailedConnect(options, true, on_connected, kv);
    return s;
}

int sp_kv_open(struct sp_kv **out, const struct sp_kv_options *options, struct sp_error *err)
{
    natsOptions *nats = NULL;
    struct sp_kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    kv->options = *options;
    snprintf(kv->buckets[SP_KV_SETUP].name, sizeof kv->buckets[0].name, "spoton_%s_setup",
             options->site);
    snprintf(kv->buckets[SP_KV_OWNERS].name, sizeof kv->buckets[0].name, "spoton_%s_owners",
             options->site);
    snprintf(kv->buckets[SP_KV_ALIVE].name, sizeof kv->buckets[0].name, "spoton_%s_alive",
             options->site);
    natsStatus s = natsOptions_Create(&nats);
    if (s == NATS_OK)
        s = set_options(kv, nats);
    if (s == NATS_OK)
        s = natsConnection_Connect(&kv->connection, nats);
    natsOptions_Destroy(nats);
    if (s == NATS_OK)
        on_connected(NULL, kv);
    if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED) {
        sp_kv_close(kv);
        if (s == NATS_SSL_ERROR)
            return sp_fail(err, SP_ERR_INVALID,
                           "CLUSTER_CA_FILE=%s: no certificates; use a PEM file", options->ca_file);
        return sp_fail(err, s == NATS_NO_MEMORY ? SP_ERR_NO_MEMORY : SP_ERR_INVALID,
                       "CLUSTER_URL: %s; use nats://HOST:PORT", natsStatus_GetText(s));
    }
    *out = kv;
    return SP_OK;
}

static void close_buckets(struct sp_kv *kv)
{
    for (int i = 0; i < SP_KV_BUCKETS; i++) {
        struct bucket *bucket = &kv->buckets[i];
        kvWatcher_Destroy(bucket->watcher);
        kvStore_Destroy(bucket->store);
        bucket->watcher = NULL;
        bucket->store = NULL;
    }
    jsCtx_Destroy(kv->js);
    kv->js = NULL;
    kv->open = false;
}

void sp_kv_close(struct sp_kv *kv)
{
    if (!kv)
        return;
    close_buckets(kv);
    if (!kv->connection) {
        free(kv);
        return;
    }
    natsConnection_Close(kv->connection);
    for (int waited_ms = 0; waited_ms < CLOSE_TIMEOUT_MS && !atomic_load(&kv->closed); waited_ms++)
        usleep(1000);
    natsConnection_Destroy(kv->connection);
    if (atomic_load(&kv->closed)) /* else the library may still call with it */
        free(kv);
}

bool sp_kv_is_connected(const struct sp_kv *kv)
{
    return atomic_load(&kv->connected);
}

/* ---- buckets ---- */

/* SP_ERR_CLOSED for what a reconnection mends. */
static int fail(natsStatus s, const char *what, struct sp_error *err)
{
    int code = s == NATS_NOT_FOUND       ? SP_ERR_NOT_FOUND
               : s == NATS_ERR           ? SP_ERR_INVALID
               : s == NATS_NO_MEMORY     ? SP_ERR_NO_MEMORY
               : s == NATS_NOT_PERMITTED ? SP_ERR_UNAUTHORIZED
                                         : SP_ERR_CLOSED;
    return sp_fail(err, code, "cluster: %s: %s", what, natsStatus_GetText(s));
}

static natsStatus open_bucket(struct sp_kv *kv, enum sp_kv_bucket which)
{
    struct bucket *bucket = &kv->buckets[which];
    kvConfig config;
    natsStatus s = kvConfig_Init(&config);
    config.Bucket = bucket->name;
    config.History = 1;
    config.StorageType = which == SP_KV_SETUP ? js_FileStorage : js_MemoryStorage;
    config.TTL = which == SP_KV_ALIVE ? kv->options.ttl_ms * (int64_t)1000000 : 0;
    if (s == NATS_OK)
        s = js_CreateKeyValue(&bucket->store, kv->js, &config);
    if (s == NATS_ERR) /* it exists with other options: those of the first node count */
        s = js_KeyValue(&bucket->store, kv->js, bucket->name);
    if (s == NATS_OK)
        s = kvStore_WatchAll(&bucket->watcher, bucket->store, NULL);
    bucket->synced = false;
    return s;
}

static natsStatus read_epoch_base(struct sp_kv *kv)
{
    char stream[128];
    jsStreamInfo *info = NULL;
    snprintf(stream, sizeof stream, "KV_%s", kv->buckets[SP_KV_OWNERS].name);
    natsStatus s = js_GetStreamInfo(&info, kv->js, stream, NULL, NULL);
    if (s == NATS_OK)
        kv->epoch_base = (uint64_t)info->Created / 1000;
    jsStreamInfo_Destroy(info);
    return s;
}

static int open_buckets(struct sp_kv *kv, struct sp_error *err)
{
    jsOptions options;
    close_buckets(kv);
    natsStatus s = jsOptions_Init(&options);
    options.Wait = REQUEST_TIMEOUT_MS;
    if (s == NATS_OK)
        s = natsConnection_JetStream(&kv->js, kv->connection, &options);
    for (int i = 0; s == NATS_OK && i < SP_KV_BUCKETS; i++)
        s = open_bucket(kv, (enum sp_kv_bucket)i);
    if (s == NATS_OK)
        s = read_epoch_base(kv);
    if (s == NATS_NO_RESPONDERS || s == NATS_NOT_FOUND)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "cluster: the NATS server has no JetStream; start it with -js");
    if (s != NATS_OK)
        return fail(s, "opening the buckets", err);
    kv->open = true;
    for (int i = 0; i < SP_KV_BUCKETS; i++)
        kv->options.listener.reset(kv->options.listener.user, (enum sp_kv_bucket)i);
    return SP_OK;
}

/* ---- changes ---- */

static void report(struct sp_kv *kv, enum sp_kv_bucket which, kvEntry *entry)
{
    const struct sp_kv_listener *listener = &kv->options.listener;
    if (!entry) { /* all values that there were */
        kv->buckets[which].synced = true;
        listener->synced(listener->user, which);
        return;
    }
    bool there = kvEntry_Operation(entry) == kvOp_Put;
    listener->change(listener->user, which, kvEntry_Key(entry),
                     there ? kvEntry_ValueString(entry) : NULL, kvEntry_Revision(entry));
    kvEntry_Destroy(entry);
}

static natsStatus drain(struct sp_kv *kv, enum sp_kv_bucket which, int timeout_ms)
{
    natsStatus s = NATS_OK;
    while (s == NATS_OK && !atomic_load(&kv->reconnect)) {
        kvEntry *entry = NULL;
        s = kvWatcher_Next(&entry, kv->buckets[which].watcher, timeout_ms > 0 ? timeout_ms : 1);
        if (s == NATS_OK)
            report(kv, which, entry);
        timeout_ms = 0;
    }
    return s == NATS_TIMEOUT ? NATS_OK : s;
}

static int wait_closed(const struct sp_kv *kv, int timeout_ms, struct sp_error *err)
{
    usleep((useconds_t)timeout_ms * 1000);
    return sp_fail(err, SP_ERR_CLOSED, "cluster: not connected to NATS%s",
                   kv->epoch_base /* it was connected once */
                       ? ""
                       : "; check CLUSTER_URL, its password, and CLUSTER_CA_FILE");
}

int sp_kv_poll(struct sp_kv *kv, int timeout_ms, struct sp_error *err)
{
    if (!atomic_load(&kv->connected))
        return wait_closed(kv, timeout_ms, err);
    if (atomic_exchange(&kv->reconnect, false) || !kv->open) {
        int result = open_buckets(kv, err);
        if (result < 0) {
            atomic_store(&kv->reconnect, true);
            usleep((useconds_t)timeout_ms * 1000);
            return result;
        }
    }
    natsStatus s = drain(kv, SP_KV_SETUP, 0);
    if (s == NATS_OK)
        s = drain(kv, SP_KV_OWNERS, 0);
    if (s == NATS_OK)
        s = drain(kv, SP_KV_ALIVE, timeout_ms);
    if (s != NATS_OK) {
        atomic_store(&kv->reconnect, true);
        return fail(s, "reading changes", err);
    }
    return SP_OK;
}

/* ---- writes ---- */

static int check_open(struct sp_kv *kv, struct sp_error *err)
{
    return kv->open && atomic_load(&kv->connected)
               ? SP_OK
               : sp_fail(err, SP_ERR_CLOSED, "cluster: not connected to NATS");
}

/* A bucket that is gone has no responders. */
static int finish(struct sp_kv *kv, natsStatus s, const char *key, struct sp_error *err)
{
    if (s == NATS_OK)
        return SP_OK;
    if (s == NATS_NO_RESPONDERS)
        atomic_store(&kv->reconnect, true);
    return fail(s, key, err);
}

int sp_kv_create(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, const char *value,
                 uint64_t *revision, struct sp_error *err)
{
    int result = check_open(kv, err);
    if (result < 0)
        return result;
    natsStatus s = kvStore_CreateString(revision, kv->buckets[bucket].store, key, value);
    return finish(kv, s, key, err);
}

int sp_kv_update(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, const char *value,
                 uint64_t last, uint64_t *revision, struct sp_error *err)
{
    int result = check_open(kv, err);
    if (result < 0)
        return result;
    natsStatus s = kvStore_UpdateString(revision, kv->buckets[bucket].store, key, value, last);
    return finish(kv, s, key, err);
}

int sp_kv_put(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, const char *value,
              struct sp_error *err)
{
    int result = check_open(kv, err);
    if (result < 0)
        return result;
    return finish(kv, kvStore_PutString(NULL, kv->buckets[bucket].store, key, value), key, err);
}

int sp_kv_remove(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, struct sp_error *err)
{
    int result = check_open(kv, err);
    if (result < 0)
        return result;
    return finish(kv, kvStore_Delete(kv->buckets[bucket].store, key), key, err);
}

int sp_kv_get(struct sp_kv *kv, enum sp_kv_bucket bucket, const char *key, char *value,
              size_t value_bytes, uint64_t *revision, struct sp_error *err)
{
    kvEntry *entry = NULL;
    int result = check_open(kv, err);
    if (result < 0)
        return result;
    natsStatus s = kvStore_Get(&entry, kv->buckets[bucket].store, key);
    if (s == NATS_OK) {
        const char *text = kvEntry_ValueString(entry);
        snprintf(value, value_bytes, "%s", text ? text : "");
        *revision = kvEntry_Revision(entry);
    }
    kvEntry_Destroy(entry);
    return finish(kv, s, key, err);
}

uint64_t sp_kv_epoch_base(const struct sp_kv *kv)
{
    return kv->epoch_base;
}
