/* Lists of all nodes in one: cameras, counts, lines and zones.
 *
 * Requests for the same list at the same time share one survey, whose text answers those of the
 * next half second, too: with many viewers each node is asked twice a second at most. */
#include "api/peer_lists.h"
#include "api/peers_internal.h"
#include "api/reply.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const long LIMIT_MS = 3000;
static const int64_t VALID_US = 500000;
enum { SURVEYS_MAX = 16 };

static const char *const paths[] = {[SP_PEERS_CAMERAS] = "/api/v2/cameras",
                                    [SP_PEERS_COUNTS] = "/api/v2/counts",
                                    [SP_PEERS_ANALYTICS] = "/api/v2/analytics"};

struct waiter {
    struct waiter *next;
    uint64_t reply;
    char headers[1024];
};

struct question {
    struct sp_peer_task task; /* the first member */
    struct waiter waiter;
    enum sp_peers_list list;
    char target[SP_PEERS_TARGET_BYTES];
    char *own; /* this node's reply; owned */
};

struct part {
    struct sp_peer_exchange exchange;
    struct sp_peer_survey *survey;
    struct sp_peer_part result;
    char *data;
    size_t bytes, room;
};

struct sp_peer_survey {
    struct sp_peer_survey *next;
    struct sp_peers *peers;
    enum sp_peers_list list;
    char target[SP_PEERS_TARGET_BYTES];
    struct waiter *waiters;
    int part_count, open;
    struct part *parts; /* the first one is this node's */
    int64_t done_us;    /* 0: not yet */
    char *text;         /* owned */
};

/* ---- replies ---- */

static void reply_to(struct sp_peers *peers, const struct sp_peer_survey *survey,
                     const struct waiter *waiter)
{
    struct sp_late_reply late = {.status = 200};
    atomic_fetch_sub(&peers->waiting, 1);
    late.body = survey->text ? strdup(survey->text) : NULL;
    if (!late.body) {
        sp_peer_refuse(peers, waiter->reply, waiter->headers, 503, "out of memory");
        return;
    }
    late.bytes = strlen(late.body);
    memcpy(late.headers, waiter->headers, sizeof late.headers);
    sp_server_reply(peers->server, waiter->reply, &late);
}

static void release_parts(struct sp_peer_survey *survey)
{
    for (int i = 0; i < survey->part_count; i++) {
        sp_peer_exchange_end(&survey->parts[i].exchange);
        json_decref(survey->parts[i].result.reply);
        free(survey->parts[i].data);
    }
    free(survey->parts);
    survey->parts = NULL;
    survey->part_count = 0;
}

static void finish(struct sp_peer_survey *survey)
{
    struct sp_peers *peers = survey->peers;
    struct sp_peer_part *results = calloc((size_t)survey->part_count, sizeof *results);
    for (int i = 0; results && i < survey->part_count; i++)
        results[i] = survey->parts[i].result;
    if (results)
        survey->text =
            sp_peer_lists_join(survey->list, sp_peers_view(peers), results, survey->part_count);
    free(results);
    survey->done_us = sp_clock_us();
    while (survey->waiters) {
        struct waiter *waiter = survey->waiters;
        survey->waiters = waiter->next;
        reply_to(peers, survey, waiter);
        free(waiter);
    }
}

/* ---- the nodes' replies ---- */

static struct part *part_of(struct sp_peer_exchange *exchange)
{
    return (struct part *)((char *)exchange - offsetof(struct part, exchange));
}

static size_t received(struct sp_peer_exchange *exchange, const char *data, size_t bytes)
{
    struct part *part = part_of(exchange);
    if (bytes > SP_PEERS_REPLY_BYTES - part->bytes)
        return 0;
    if (part->bytes + bytes > part->room) {
        size_t room = 2 * (part->bytes + bytes);
        char *grown = realloc(part->data, room);
        if (!grown)
            return 0;
        part->data = grown;
        part->room = room;
    }
    memcpy(part->data + part->bytes, data, bytes);
    part->bytes += bytes;
    return bytes;
}

static void done(struct sp_peer_exchange *exchange, CURLcode code)
{
    struct part *part = part_of(exchange);
    struct sp_peer_part *result = &part->result;
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        sp_peer_explain(result->node, exchange, code, result->why, sizeof result->why);
    else if (status == 401)
        snprintf(result->why, sizeof result->why,
                 "node %s: refuses this node; set the same API_TOKEN on all nodes", result->node);
    else if (status != 200)
        snprintf(result->why, sizeof result->why, "node %s: replied %ld", result->node, status);
    else
        result->reply = json_loadb(part->data ? part->data : "", part->bytes, 0, NULL);
    if (!result->reply && !result->why[0])
        snprintf(result->why, sizeof result->why, "node %s: its reply is not JSON", result->node);
    sp_peer_exchange_end(exchange);
    part->survey->open--;
}

static void ask_node(struct sp_peer_survey *survey, struct part *part,
                     const struct sp_cluster_node_report *node)
{
    const struct sp_peer_options options = {
        .http = node->http, .target = survey->target, .timeout_ms = LIMIT_MS};
    part->survey = survey;
    part->exchange.received = received;
    part->exchange.done = done;
    snprintf(part->result.node, sizeof part->result.node, "%s", node->name);
    if (sp_peer_exchange_begin(&part->exchange, survey->peers, &options) == SP_OK)
        survey->open++;
    else
        snprintf(part->result.why, sizeof part->result.why, "node %s: out of memory", node->name);
}

/* ---- surveys ---- */

static bool start(struct sp_peer_survey *survey, const char *own)
{
    const struct sp_peer_view *view = sp_peers_view(survey->peers);
    survey->parts = calloc((size_t)view->node_count + 1, sizeof *survey->parts);
    if (!survey->parts)
        return false;
    struct sp_peer_part *first = &survey->parts[survey->part_count++].result;
    snprintf(first->node, sizeof first->node, "%s", survey->peers->node);
    first->reply = json_loads(own, 0, NULL);
    for (int i = 0; i < view->node_count; i++)
        if (!view->nodes[i].self && view->nodes[i].alive && view->nodes[i].http[0])
            ask_node(survey, &survey->parts[survey->part_count++], &view->nodes[i]);
    return true;
}

static struct sp_peer_survey *find(struct sp_peers *peers, const struct question *question)
{
    int64_t now_us = sp_clock_us();
    for (struct sp_peer_survey *survey = peers->surveys; survey; survey = survey->next)
        if (survey->list == question->list && strcmp(survey->target, question->target) == 0 &&
            (survey->done_us == 0 || now_us - survey->done_us < VALID_US))
            return survey;
    return NULL;
}

static struct sp_peer_survey *open_survey(struct sp_peers *peers, const struct question *question)
{
    int count = 0;
    for (struct sp_peer_survey *survey = peers->surveys; survey; survey = survey->next)
        count++;
    struct sp_peer_survey *survey = count < SURVEYS_MAX ? calloc(1, sizeof *survey) : NULL;
    if (!survey)
        return NULL;
    survey->peers = peers;
    survey->list = question->list;
    memcpy(survey->target, question->target, sizeof survey->target);
    if (!start(survey, question->own)) {
        free(survey);
        return NULL;
    }
    survey->next = peers->surveys;
    peers->surveys = survey;
    return survey;
}

static void drop(struct sp_peer_task *task)
{
    struct question *question = (struct question *)task;
    free(question->own);
    free(question);
}

static void begin(struct sp_peers *peers, struct sp_peer_task *task)
{
    struct question *question = (struct question *)task;
    struct waiter *waiter = malloc(sizeof *waiter);
    struct sp_peer_survey *survey = waiter ? find(peers, question) : NULL;
    if (waiter && !survey)
        survey = open_survey(peers, question);
    if (!survey) {
        atomic_fetch_sub(&peers->waiting, 1);
        sp_peer_refuse(peers, question->waiter.reply, question->waiter.headers, 503,
                       "too many lists of all nodes at a time; try again");
        free(waiter);
    } else if (survey->done_us) {
        reply_to(peers, survey, &question->waiter);
        free(waiter);
    } else {
        *waiter = question->waiter;
        waiter->next = survey->waiters;
        survey->waiters = waiter;
    }
    drop(task);
}

static void release(struct sp_peer_survey *survey)
{
    release_parts(survey);
    while (survey->waiters) {
        struct waiter *waiter = survey->waiters;
        survey->waiters = waiter->next;
        free(waiter);
    }
    free(survey->text);
    free(survey);
}

void sp_peer_surveys_step(struct sp_peers *peers)
{
    int64_t now_us = sp_clock_us();
    for (struct sp_peer_survey **at = &peers->surveys; *at;) {
        struct sp_peer_survey *survey = *at;
        if (survey->done_us == 0 && survey->open == 0) {
            finish(survey);
            release_parts(survey);
        }
        if (survey->done_us && now_us - survey->done_us > VALID_US) {
            *at = survey->next;
            release(survey);
        } else {
            at = &survey->next;
        }
    }
}

void sp_peer_surveys_end(struct sp_peers *peers)
{
    while (peers->surveys) {
        struct sp_peer_survey *survey = peers->surveys;
        peers->surveys = survey->next;
        release(survey);
    }
}

/* ---- the server's thread ---- */

void sp_peers_collect(struct sp_peers *peers, struct sp_call *call, enum sp_peers_list list)
{
    struct question *question = calloc(1, sizeof *question);
    if (question && !call->json->failed)
        question->own = strdup(call->json->text);
    if (!question || !question->own || !sp_peers_may_ask(peers)) {
        if (question)
            free(question->own);
        free(question);
        sp_call_header(call, "Retry-After: 1");
        sp_call_refuse(call, 503, "too many requests to other nodes; try again");
        return;
    }
    question->task = (struct sp_peer_task){.begin = begin, .drop = drop};
    question->list = list;
    question->waiter.reply = call->request->reply;
    memcpy(question->waiter.headers, call->reply->headers, sizeof question->waiter.headers);
    if (!sp_peer_target(call->request, question->target))
        snprintf(question->target, sizeof question->target, "%s", paths[list]);
    free(call->request->body_bytes > 0 ? (char *)call->request->body : NULL);
    call->reply->kind = SP_REPLY_LATER;
    sp_peers_add(peers, &question->task);
}
