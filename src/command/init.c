/* spoton init: cameras of the network into spoton.yaml. */
#include "base/url.h"
#include "command/camera_name.h"
#include "command/command.h"
#include "command/init_file.h"
#include "command/options.h"
#include "onvif/device.h"
#include "onvif/discovery.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 8 };

static const double SECONDS = 4;

static const struct sp_command_usage usage = {
    .name = "init",
    .synopsis = "[ADDRESS...] [--logins FILE] [-o FILE]",
    .about = "Searches the network for ONVIF cameras (or asks those at the given addresses), "
             "chooses the\n"
             "stream of each that suits the model, and writes them into spoton.yaml, or FILE.\n"
             "The search takes 4 seconds, or --seconds N.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_FILE | SP_TAKES_SECONDS | SP_TAKES_INIT,
};

struct device {
    const struct sp_onvif_found *found;
    struct sp_onvif_streams streams;
    struct sp_error err;
    int result;
};

struct init {
    const struct sp_command_context *context;
    const struct sp_options *options;
    struct sp_onvif_login logins[SP_ONVIF_LOGINS_MAX];
    int login_count;
    struct sp_onvif_found_list list;
    struct device *devices;
    atomic_int next;
};

/* --- devices ---------------------------------------------------------------------------------- */

/* An address, with a port or as the URL of the device service. */
static int add_address(struct sp_onvif_found_list *list, const char *word, struct sp_error *err)
{
    struct sp_onvif_found *found = &list->found[list->count];
    bool url = sp_url_has_scheme(word, "http") || sp_url_has_scheme(word, "https");
    int bytes =
        url ? snprintf(found->url, sizeof found->url, "%s", word)
            : snprintf(found->url, sizeof found->url, "http://%s/onvif/device_service", word);
    size_t strange = strcspn(word, url ? " \"'<>@" : " \"'<>@/?#");
    if (bytes >= (int)sizeof found->url || word[strange] || list->count == SP_ONVIF_FOUND_MAX ||
        !sp_url_host(found->url, found->host, sizeof found->host))
        return sp_fail(
            err, SP_ERR_INVALID,
            "address %d: invalid; must be HOST, HOST:PORT or the URL of an ONVIF device service, "
            "without login",
            list->count + 1);
    found->name[0] = '\0';
    list->count++;
    return SP_OK;
}

static int find_devices(struct init *init, struct sp_error *err)
{
    const struct sp_options *options = init->options;
    int result = SP_OK;
    for (int i = 0; i < options->input_count && result == SP_OK; i++)
        result = add_address(&init->list, options->input[i], err);
    if (result < 0 || options->input_count > 0)
        return result;
    double seconds = options->seconds > 0 ? options->seconds : SECONDS;
    fprintf(stderr, "searching for ONVIF cameras for %g s\n", seconds);
    result =
        sp_onvif_discover(&init->list, (int64_t)(seconds * 1e6), init->context->interrupted, err);
    if (result == SP_OK && init->list.count == 0)
        result = sp_fail(
            err, SP_ERR_NOT_FOUND,
            "no ONVIF camera answered; enable ONVIF at the cameras, or name them if they are in "
            "another network: spoton init ADDRESS...");
    return result;
}

static void *ask_devices(void *user)
{
    struct init *init = user;
    for (int i; (i = atomic_fetch_add(&init->next, 1)) < init->list.count;) {
        struct device *device = &init->devices[i];
        struct sp_onvif_ask ask = {.host = device->found->host,
                                   .url = device->found->url,
                                   .logins = init->logins,
                                   .login_count = init->login_count,
                                   .input_size_px = init->options->settings.input_size_px,
                                   .interrupted = init->context->interrupted};
        device->result = sp_onvif_ask(&device->streams, &ask, &device->err);
    }
    return NULL;
}

/* Several at once, as silent devices take seconds. */
static int ask_all(struct init *init, struct sp_error *err)
{
    pthread_t threads[WORKERS];
    int count = 0, result = sp_onvif_begin(err);
    if (result < 0)
        return result;
    while (count < WORKERS && count < init->list.count - 1 &&
           pthread_create(&threads[count], NULL, ask_devices, init) == 0)
        count++;
    ask_devices(init);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    sp_onvif_end();
    return SP_OK;
}

/* --- spoton.yaml ------------------------------------------------------------------------------ */

static void print_stream(const char *name, const struct sp_onvif_found *found,
                         const struct sp_onvif_profile *profile)
{
    printf("%-24s %-15s %s %dx%d", name, found->host, profile->encoding, profile->width_px,
           profile->height_px);
    if (profile->frame_rate > 0)
        printf(", %g frames/s", profile->frame_rate);
    printf("\n");
}

static int add_camera(struct sp_settings *settings, const struct device *device,
                      const struct sp_onvif_stream *stream, struct sp_error *err)
{
    char url[SP_URL_BYTES], text[SP_ONVIF_TEXT_BYTES + 4], name[SP_CAMERA_NAME_BYTES];
    const struct sp_onvif_found *found = device->found;
    if (!sp_onvif_with_login(stream->url, &device->streams.login, url, sizeof url))
        return sp_fail(err, SP_ERR_INVALID, "%s: too long an address of its stream; add it by hand",
                       found->host);
    snprintf(text, sizeof text, "%s.x", found->name[0] ? found->name : found->host);
    for (char *c = text; *c; c++)
        *c = *c == '/' ? '-' : *c; /* it is no path */
    sp_camera_name_from_url(settings, text, name);
    int result = sp_settings_add_camera(settings, name, url, false, found->host, err);
    if (result == SP_OK)
        print_stream(name, found, &stream->profile);
    return result;
}

/* All streams that were found; problems of single devices are reported and passed over. */
static void add_cameras(const struct init *init, struct sp_settings *settings)
{
    for (int i = 0; i < init->list.count; i++) {
        const struct device *device = &init->devices[i];
        struct sp_error err = device->err;
        int result = device->result;
        for (int s = 0; result == SP_OK && s < device->streams.count; s++)
            result = add_camera(settings, device, &device->streams.stream[s], &err);
        if (result < 0)
            fprintf(stderr, "spoton init: %s\n", err.text);
    }
}

static int write_settings(const struct init *init, const char *path, struct sp_error *err)
{
    struct sp_settings *settings = calloc(1, sizeof *settings);
    if (!settings)
        return sp_fail(err, SP_ERR_NO_MEMORY, "out of memory");
    sp_settings_default(settings);
    add_cameras(init, settings);
    int result = settings->camera_count > 0
                     ? sp_init_write_file(path, init->options->force, settings, err)
                     : sp_fail(err, SP_ERR_NOT_FOUND, "no camera can be used; nothing was written");
    if (result == SP_OK)
        printf("\n%s: %d camera%s, with their passwords; readable by its owner only\n\n"
               "next:  spoton doctor --config %s    check each stream\n"
               "       spoton serve --config %s     start; the dashboard is http://127.0.0.1:%d/\n",
               path, settings->camera_count, settings->camera_count == 1 ? "" : "s", path, path,
               settings->http_port);
    explicit_bzero(settings, sizeof *settings);
    free(settings);
    return result;
}

static int run(struct init *init, struct sp_error *err)
{
    const struct sp_options *options = init->options;
    const char *path = options->out_file ? options->out_file : "spoton.yaml";
    int result = sp_init_check_file(path, options->force, err);
    if (result == SP_OK && options->logins)
        result = sp_init_read_logins(options->logins, init->logins, &init->login_count, err);
    if (result == SP_OK)
        result = find_devices(init, err);
    if (result < 0)
        return result;
    int count = init->list.count > 0 ? init->list.count : 1; /* never 0 here */
    init->devices = calloc((size_t)count, sizeof *init->devices);
    if (!init->devices)
        return sp_fail(err, SP_ERR_NO_MEMORY, "out of memory");
    for (int i = 0; i < init->list.count; i++)
        init->devices[i].found = &init->list.found[i];
    result = ask_all(init, err);
    if (result == SP_OK && !init->context->interrupted())
        result = write_settings(init, path, err);
    return result;
}

int sp_command_init_main(const struct sp_command_context *context)
{
    int exit_code;
    struct sp_error err = {0};
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    struct init *init = calloc(1, sizeof *init);
    int result = SP_ERR_NO_MEMORY;
    if (init) {
        init->context = context;
        init->options = options;
        result = run(init, &err);
        free(init->devices);
        explicit_bzero(init->logins, sizeof init->logins);
    } else {
        sp_fail(&err, result, "out of memory");
    }
    free(init);
    free(options);
    if (context->interrupted())
        return SP_EXIT_INTERRUPTED;
    if (result < 0)
        fprintf(stderr, "spoton init: %s\n", err.text);
    return result == SP_OK ? SP_EXIT_OK : result == SP_ERR_INVALID ? SP_EXIT_USAGE : SP_EXIT_FAILED;
}
