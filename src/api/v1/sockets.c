/* The WebSockets of tasks, and the pages connected to them.
 *
 * A browser opens at most six connections to a host, and one page uses four for its streams, so a
 * second page of the same browser replaces the first. A cookie set in the handshake identifies the
 * browser, tab_id the page. Browsers keep the stream of a removed <img> open, so the streams of the
 * first page are ended here. Streams carry neither cookie nor tab_id, so a stream is attributed to
 * the page that connected last from the same address. A page may request streams
 * before its WebSocket; as a page has one stream of a camera, the second one is the next page's. */
#include "api/v1/internal.h"

#include "api/reply.h"
#include "base/clock.h"

#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { BROWSER_BYTES = 33, TAB_BYTES = 80 };

/* Reads the browser cookie. False: missing or invalid. */
static bool read_browser(const char *cookies, char browser[BROWSER_BYTES])
{
    static const char key[] = "spoton_browser=";
    for (const char *at = cookies; *at;) {
        at += strspn(at, " ;");
        size_t n = strcspn(at, ";");
        const char *value = at + sizeof key - 1;
        if (n == sizeof key - 1 + BROWSER_BYTES - 1 && strncmp(at, key, sizeof key - 1) == 0 &&
            strspn(value, "0123456789abcdef") >= BROWSER_BYTES - 1) {
            snprintf(browser, BROWSER_BYTES, "%s", value);
            return true;
        }
        at += n;
    }
    return false;
}

static bool make_browser(char browser[BROWSER_BYTES])
{
    unsigned char random[(BROWSER_BYTES - 1) / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(browser + 2 * i, 3, "%02x", random[i]);
    return true;
}

/* Sets plan->client to the browser, a space and the page; empty for clients other than pages. */
static void name_client(struct sp_call *call, struct sp_ws_plan *plan)
{
    char tab[TAB_BYTES], browser[BROWSER_BYTES];
    if (!sp_request_query(call->request, "tab_id", tab, sizeof tab) || tab[0] == '\0')
        return;
    if (!read_browser(call->request->cookie, browser)) {
        if (!make_browser(browser))
            return;
        sp_call_header(call,
                       "Set-Cookie: spoton_browser=%s; HttpOnly; SameSite=Strict; Path=/ws/%s",
                       browser, call->request->secure ? "; Secure" : "");
    }
    snprintf(plan->client, sizeof plan->client, "%s %s", browser, tab);
    memcpy(plan->peer, call->request->address, sizeof plan->peer);
}

bool sp_v1_upgrade(struct sp_call *call, struct sp_ws_plan *plan)
{
    static const char tracking[] = "/ws/tracking/", focus[] = "/ws/focus/";
    const char *path = call->request->path;
    bool tracks = strncmp(path, tracking, sizeof tracking - 1) == 0;
    if (!tracks && strncmp(path, focus, sizeof focus - 1) != 0) {
        sp_call_refuse(call, 404, "no WebSocket at this path; use /api/v2/ws");
        return false;
    }
    const char *id = path + (tracks ? sizeof tracking : sizeof focus) - 1;
    struct sp_task *task = sp_task_find(call->api, id);
    if (!sp_task_is_active(call->api, task)) {
        sp_call_refuse(call, 404,
                       task ? "the task has ended; start another one" : "no such task; start one");
        return false;
    }
    plan->format = tracks ? SP_WS_SITE : SP_WS_MAIL;
    snprintf(plan->tag, sizeof plan->tag, "%s%s", tracks ? "t:" : "f:", task->id);
    if (tracks)
        name_client(call, plan);
    return true;
}

void sp_page_missing(const char *peer, char *client, size_t bytes)
{
    snprintf(client, bytes, "before the page from %s", peer);
}

const char *sp_page_find(const struct sp_v1 *v1, const struct sp_task *task, const char *peer)
{
    const struct sp_page *newest = NULL;
    for (int i = 0; i < SP_PAGES_MAX; i++) {
        const struct sp_page *page = &v1->pages[i];
        if (page->client[0] && strcmp(page->task, task->id) == 0 && strcmp(page->peer, peer) == 0 &&
            (!newest || page->turn > newest->turn))
            newest = page;
    }
    return newest ? newest->client : NULL;
}

/* Streams that were opened before any page of the task from that address. */
static void adopt_streams(struct sp_api *api, const struct sp_task *task,
                          const struct sp_ws_plan *plan)
{
    char unclaimed[sizeof plan->client];
    sp_page_missing(plan->peer, unclaimed, sizeof unclaimed);
    sp_server_hand_over_streams(api->server, task->id, unclaimed, plan->client, SP_STREAMS_FIRST);
}

/* A free entry, or that of the page that connected first. */
static void note_page(struct sp_v1 *v1, const struct sp_task *task, const struct sp_ws_plan *plan)
{
    struct sp_page *page = &v1->pages[0];
    for (int i = 0; i < SP_PAGES_MAX && page->client[0]; i++)
        if (!v1->pages[i].client[0] || v1->pages[i].turn < page->turn)
            page = &v1->pages[i];
    *page = (struct sp_page){.turn = ++v1->turn};
    memcpy(page->client, plan->client, sizeof page->client);
    memcpy(page->task, task->id, sizeof page->task);
    memcpy(page->peer, plan->peer, sizeof page->peer);
}

static void forget_page(struct sp_v1 *v1, const struct sp_task *task, const struct sp_ws_plan *plan)
{
    for (int i = 0; i < SP_PAGES_MAX; i++)
        if (strcmp(v1->pages[i].client, plan->client) == 0 &&
            strcmp(v1->pages[i].task, task->id) == 0)
            v1->pages[i].client[0] = '\0';
}

/* Another page of the same browser. */
static bool is_other_page(const char *newest, const char *client)
{
    return client[0] && strncmp(client, newest, BROWSER_BYTES) == 0 &&
           strcmp(client + BROWSER_BYTES, newest + BROWSER_BYTES) != 0;
}

static bool is_older_page(void *user, const struct sp_ws_plan *plan)
{
    return is_other_page(user, plan->client);
}

static void take_over(struct sp_api *api, const char *newest)
{
    for (int i = 0; i < SP_PAGES_MAX; i++) {
        const struct sp_page *page = &api->v1->pages[i];
        if (!is_other_page(newest, page->client))
            continue;
        sp_server_hand_over_streams(api->server, page->task, page->client, newest,
                                    SP_STREAMS_LATER);
        sp_server_end_streams(api->server, page->task, page->client);
    }
    sp_server_close_ws(api->server, is_older_page, (void *)newest, 1000, "New tab connected");
}

void sp_v1_opened(void *user, const struct sp_ws_plan *plan, struct sp_json *first)
{
    struct sp_api *api = user;
    struct sp_task *task = sp_task_of(api, plan);
    if (!task)
        return;
    task->clients++;
    if (plan->client[0]) {
        take_over(api, plan->client);
        adopt_streams(api, task, plan);
        note_page(api->v1, task, plan);
    }
    if (plan->format == SP_WS_MAIL && task->focus.active)
        sp_focus_message(&task->focus, first);
}

void sp_v1_closed(void *user, const struct sp_ws_plan *plan)
{
    struct sp_api *api = user;
    struct sp_task *task = sp_task_of(api, plan);
    if (task && plan->client[0])
        forget_page(api->v1, task, plan);
    if (!task || task->clients == 0)
        return;
    task->clients--;
    task->left_us = sp_clock_us();
}

static bool is_of_task(void *user, const struct sp_ws_plan *plan)
{
    const struct sp_task *task = user;
    return plan->tag[0] && strcasecmp(plan->tag + 2, task->id) == 0;
}

void sp_task_disconnect(struct sp_api *api, const struct sp_task *task)
{
    sp_server_end_streams(api->server, task->id, NULL);
    sp_server_close_ws(api->server, is_of_task, (void *)task, 1000, "Task ended");
}
