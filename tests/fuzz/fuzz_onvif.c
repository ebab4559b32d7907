/* Answers of an ONVIF device: any bytes, read as each answer. Of what is accepted, addresses have
 * no byte that could leave their place in a URL, and choices are profiles that exist. */
#include "onvif/message.h"
#include "onvif/xml.h"

#include "fuzz.h"

static const char *const SCHEMES[] = {"http", "https", "rtsp", NULL};

static void check_address(const char *url)
{
    static const struct sp_onvif_login login = {"user:@/", "p@ss:/?#%"};
    char moved[SP_ONVIF_URL_BYTES], full[2 * SP_ONVIF_URL_BYTES];
    FUZZ_CHECK(strlen(url) < SP_ONVIF_URL_BYTES && url[0] != '\0');
    if (!sp_onvif_with_host(url, "10.0.0.7", SCHEMES, moved, sizeof moved))
        return;
    const char *host = strstr(moved, "://");
    FUZZ_CHECK(host && strncmp(host, "://10.0.0.7", 11) == 0);
    FUZZ_CHECK(strchr("/?#:", host[11]) != NULL);
    FUZZ_CHECK(sp_onvif_with_login(moved, &login, full, sizeof full));
    FUZZ_CHECK(strstr(full, "user%3A%40%2F:p%40ss%3A%2F%3F%23%25@10.0.0.7") != NULL);
}

static void check_profiles(const struct sp_onvif_profiles *profiles)
{
    char body[SP_ONVIF_REQUEST_BYTES];
    FUZZ_CHECK(profiles->count >= 1 && profiles->count <= SP_ONVIF_PROFILES_MAX);
    for (int i = 0; i < profiles->count; i++) {
        const struct sp_onvif_profile *profile = &profiles->profile[i];
        int chosen = sp_onvif_choose(profiles, profile->source, 640);
        FUZZ_CHECK(chosen >= 0 && chosen < profiles->count);
        FUZZ_CHECK(strcmp(profiles->profile[chosen].source, profile->source) == 0);
        FUZZ_CHECK(profile->width_px > 0 && profile->height_px > 0);
        FUZZ_CHECK(sp_onvif_stream_body(profile->token, body, sizeof body, NULL) == SP_OK);
    }
    FUZZ_CHECK(sp_onvif_choose(profiles, "\x01no such source", 640) == -1);
}

static int count_nodes(const struct sp_xml_node *node)
{
    int count = 1;
    FUZZ_CHECK(node->name && node->text && node->attributes);
    for (const struct sp_xml_node *child = node->first; child; child = child->next) {
        FUZZ_CHECK(child->parent == node);
        count += count_nodes(child);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sp_error err = {0};
    struct sp_xml *document = NULL;
    struct sp_onvif_match match;
    static struct sp_onvif_profiles profiles;
    char url[SP_ONVIF_URL_BYTES];
    int64_t time_us;
    char *text = fuzz_text(data, bytes);
    int result = sp_xml_read(&document, text, bytes, "answer", &err);
    fuzz_check_result(result, &err);
    if (result == SP_OK)
        FUZZ_CHECK(count_nodes(sp_xml_root(document)) <= SP_XML_NODES_MAX);
    sp_xml_close(document);
    err = (struct sp_error){0};
    if (sp_onvif_read_match(text, bytes, &match, &err) == SP_OK)
        FUZZ_CHECK(match.address[0] && strlen(match.name) < sizeof match.name);
    err = (struct sp_error){0};
    fuzz_check_result(sp_onvif_read_time(text, bytes, &time_us, &err), &err);
    if (sp_onvif_read_media_address(text, bytes, url, NULL) == SP_OK)
        check_address(url);
    if (sp_onvif_read_stream_uri(text, bytes, url, NULL) == SP_OK)
        check_address(url);
    if (sp_onvif_read_profiles(text, bytes, &profiles, NULL) == SP_OK)
        check_profiles(&profiles);
    free(text);
    return 0;
}
