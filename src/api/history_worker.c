#include "api/history_worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUICK, SLOW, QUEUES, WAITING_MAX = 8 };
/* Below SP_SERVER_LATER_S. */
static const int64_t LIMIT_US[QUEUES] = {20000000, 25000000};

struct question {
    uint64_t reply; /* for sp_server_reply */
    char *body;     /* the request's, even if the query has no use for it */
    bool head_only;
    struct sp_history_query query;
    struct sp_json json;
    uint8_t *image;
    size_t image_bytes;
    struct sp_error error;
    char headers[1024];
    struct sp_history_worker *worker;
    struct question *next;
};

struct queue {
    struct sp_history_worker *worker;
    pthread_t thread;
    bool started;
    int64_t limit_us;
    struct question *first, *last;
    int waiting; /* and in progress */
    struct sp_store *store;
};

struct sp_history_worker {
    char location[SP_STORE_LOCATION_BYTES];
    _Atomic(struct sp_server *) server;
    pthread_mutex_t mutex; /* guards the queues */
    pthread_cond_t changed;
    atomic_bool stopping;
    struct queue queue[QUEUES];
};

/* ---- questions ---- */

static void release(struct question *question)
{
    sp_json_release(&question->json);
    free(question->body);
    free(question->image);
    free(question);
}

static int status_of(int code)
{
    switch (code) {
    case SP_ERR_INVALID:
        return 400;
    case SP_ERR_NOT_FOUND:
        return 404;
    default:
        return 503;
    }
}

/* The reply's data belongs to the server afterwards. */
static void send_reply(struct question *q)
{
    struct sp_late_reply reply = {.status = 200};
    memcpy(reply.headers, q->headers, sizeof reply.headers);
    if (q->error.code != SP_OK) {
        reply.status = status_of(q->error.code);
        sp_json_clear(&q->json);
        sp_json_begin_object(&q->json);
        sp_json_member_string(&q->json, "detail", q->error.text);
        sp_json_end_object(&q->json);
    }
    if (q->json.failed)
        reply.status = 500;
    if (q->image && q->error.code == SP_OK) {
        reply.type = q->query.kind == SP_HISTORY_SNAPSHOT ? "image/jpeg" : "image/png";
        reply.body = (char *)q->image;
        reply.bytes = q->image_bytes;
        q->image = NULL;
    } else {
        reply.body = q->json.text;
        reply.bytes = q->json.used_bytes;
        q->json = (struct sp_json){0};
    }
    if (q->head_only)
        reply.bytes = 0;
    struct sp_server *server = atomic_load(&q->worker->server);
    if (server && !atomic_load(&q->worker->stopping))
        sp_server_reply(server, q->reply, &reply);
    else
        free(reply.body);
}

static bool is_stopped(void *user)
{
    const struct question *question = user;
    return atomic_load(&question->worker->stopping);
}

/* ---- threads ---- */

static void work_on(struct queue *queue, struct question *question)
{
    struct sp_history_reply reply = {.json = &question->json};
    int result = SP_OK;
    if (queue->store && queue->store->database->broken) {
        sp_store_close(queue->store);
        queue->store = NULL;
    }
    if (!queue->store)
        result = sp_store_open(&queue->store, queue->worker->location, false, &question->error);
    question->query.deadline_us = sp_clock_us() + queue->limit_us;
    if (result == SP_OK)
        result = sp_history_answer(queue->store, &question->query, &reply, &question->error);
    if (result == SP_OK && question->query.kind == SP_HISTORY_CAMERAS)
        sp_json_end_object(&question->json);
    question->image = reply.image;
    question->image_bytes = reply.image_bytes;
    if (result < 0 && question->error.code == SP_OK)
        sp_fail(&question->error, result, "history: %s", sp_error_name(result));
}

static void *run(void *argument)
{
    struct queue *queue = argument;
    struct sp_history_worker *w = queue->worker;
    pthread_mutex_lock(&w->mutex);
    while (!atomic_load(&w->stopping)) {
        struct question *question = queue->first;
        if (!question) {
            pthread_cond_wait(&w->changed, &w->mutex);
            continue;
        }
        queue->first = question->next;
        if (!queue->first)
            queue->last = NULL;
        pthread_mutex_unlock(&w->mutex);
        work_on(queue, question);
        send_reply(question);
        release(question);
        pthread_mutex_lock(&w->mutex);
        queue->waiting--;
    }
    pthread_mutex_unlock(&w->mutex);
    sp_store_close(queue->store);
    return NULL;
}

static bool is_slow(const struct sp_history_query *query)
{
    return query->kind == SP_HISTORY_EVALUATE || query->kind == SP_HISTORY_HEATMAP ||
           query->kind == SP_HISTORY_TRACKS;
}

bool sp_history_ask(struct sp_history_worker *w, const struct sp_history_query *query,
                    struct sp_json *begun, const struct sp_request *request, struct sp_reply *reply)
{
    struct queue *queue = &w->queue[is_slow(query) ? SLOW : QUICK];
    struct question *question = calloc(1, sizeof *question);
    if (!question)
        return false;
    question->reply = request->reply;
    question->head_only = request->method == SP_HEAD;
    question->worker = w;
    question->query = *query;
    question->query.stopped = is_stopped;
    question->query.user = question;
    memcpy(question->headers, reply->headers, sizeof question->headers);
    pthread_mutex_lock(&w->mutex);
    bool taken = queue->waiting < WAITING_MAX;
    if (taken && begun) {
        question->json = *begun;
        *begun = (struct sp_json){0};
    }
    if (taken) {
        if (request->body_bytes > 0) /* otherwise it is not the request's */
            question->body = (char *)request->body;
        queue->waiting++;
        if (queue->last)
            queue->last->next = question;
        else
            queue->first = question;
        queue->last = question;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    if (!taken) {
        release(question);
        return false;
    }
    reply->kind = SP_REPLY_LATER;
    return true;
}

/* ---- open and close ---- */

int sp_history_worker_open(struct sp_history_worker **out, const char *location,
                           struct sp_error *err)
{
    struct sp_history_worker *w = calloc(1, sizeof *w);
    if (!w)
        return sp_fail(err, SP_ERR_NO_MEMORY, "history: out of memory");
    snprintf(w->location, sizeof w->location, "%s", location);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    int result = SP_OK;
    for (int i = 0; i < QUEUES && result == SP_OK; i++) {
        w->queue[i].worker = w;
        w->queue[i].limit_us = LIMIT_US[i];
        result = sp_thread_start(&w->queue[i].thread, i == QUICK ? "history" : "history-slow", run,
                                 &w->queue[i], err);
        w->queue[i].started = result == SP_OK;
    }
    if (result < 0)
        sp_history_worker_close(w);
    else
        *out = w;
    return result;
}

void sp_history_worker_attach(struct sp_history_worker *worker, struct sp_server *server)
{
    if (worker)
        atomic_store(&worker->server, server);
}

void sp_history_worker_stop(struct sp_history_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    atomic_store(&w->stopping, true);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    for (int i = 0; i < QUEUES; i++) {
        if (w->queue[i].started)
            pthread_join(w->queue[i].thread, NULL);
        w->queue[i].started = false;
    }
}

void sp_history_worker_close(struct sp_history_worker *w)
{
    sp_history_worker_stop(w);
    for (int i = 0; w && i < QUEUES; i++)
        for (struct question *question = w->queue[i].first, *next; question; question = next) {
            next = question->next;
            release(question);
        }
    if (w) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
    }
    free(w);
}
