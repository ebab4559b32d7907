/* ONVIF's messages. What devices send is in tests/integration/onvif_camera.py too; here are its
 * edges. */
#include "onvif/message.h"
#include "onvif/xml.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const HTTP[] = {"http", "https", NULL};

/* The example of the ONVIF Application Programmer's Guide, section 6.1.1.3. */
static void test_digest_of_the_guides_example(void **state)
{
    static const unsigned char nonce[] = {0x2c, 0xaa, 0x88, 0xe8, 0x6f, 0xc0, 0x8a, 0x42,
                                          0x82, 0x42, 0xb3, 0x74, 0xce, 0xa6, 0x45, 0x96};
    char digest[32];
    (void)state;
    sp_onvif_digest(nonce, sizeof nonce, "2010-09-16T07:50:45Z", "userpassword", digest);
    assert_string_equal(digest, "tuOSpGlFlIXsozq4HFNeeGeFLEI=");
}

static void test_request_has_no_password(void **state)
{
    static const unsigned char nonce[SP_ONVIF_NONCE_BYTES] = {0};
    const struct sp_onvif_login login = {"a<b&\"", "secret"};
    char request[SP_ONVIF_REQUEST_BYTES];
    (void)state;
    assert_int_equal(sp_onvif_request("<x/>", &login, nonce, 1284623445000000, request, NULL),
                     SP_OK);
    assert_non_null(strstr(request, "<w:Username>a&lt;b&amp;&quot;</w:Username>"));
    assert_non_null(strstr(request, "<u:Created>2010-09-16T07:50:45Z</u:Created>"));
    assert_non_null(strstr(request, ">AAAAAAAAAAAAAAAAAAAAAA==</w:Nonce>"));
    assert_null(strstr(request, "secret"));
    assert_int_equal(sp_onvif_request("<x/>", &(struct sp_onvif_login){0}, nonce, 0, request, NULL),
                     SP_OK);
    assert_null(strstr(request, "Security"));
}

static void test_long_requests_are_refused(void **state)
{
    static const unsigned char nonce[SP_ONVIF_NONCE_BYTES] = {0};
    char request[SP_ONVIF_REQUEST_BYTES], body[SP_ONVIF_REQUEST_BYTES];
    struct sp_error err = {0};
    (void)state;
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    assert_int_equal(sp_onvif_request(body, &(struct sp_onvif_login){0}, nonce, 0, request, &err),
                     SP_ERR_INVALID);
    assert_int_equal(sp_onvif_stream_body(body, request, sizeof request, &err), SP_ERR_INVALID);
}

static void check_host(const char *url, const char *expected)
{
    char out[64];
    bool good = sp_onvif_with_host(url, "10.0.0.7", HTTP, out, sizeof out);
    assert_int_equal(good, expected != NULL);
    if (expected)
        assert_string_equal(out, expected);
}

static void test_addresses_are_moved_to_the_host_that_answered(void **state)
{
    (void)state;
    check_host("http://192.0.2.1:8000/a?b=1#c", "http://10.0.0.7:8000/a?b=1#c");
    check_host("https://evil.example/x", "https://10.0.0.7/x");
    check_host("http://user:pass@192.0.2.1:80/", "http://10.0.0.7:80/");
    check_host("http://[fe80::1]:81/x", "http://10.0.0.7:81/x");
    check_host("http://[fe80::1]/x", "http://10.0.0.7/x");
    check_host("http://h:123456/x", "http://10.0.0.7/x"); /* no port */
    check_host("http://a", "http://10.0.0.7");
    check_host("ftp://192.0.2.1/", NULL);
    check_host("http://a/b c", NULL);
    check_host("http://a/\nb", NULL);
    check_host("http://a/012345678901234567890123456789012345678901234567890123456789", NULL);
}

static void test_login_is_encoded(void **state)
{
    const struct sp_onvif_login login = {"ad min", "p@ss:w/rd?#%\xc3\xa4"};
    char out[128], small[24];
    (void)state;
    assert_true(sp_onvif_with_login("rtsp://10.0.0.7:554/a", &login, out, sizeof out));
    assert_string_equal(out, "rtsp://ad%20min:p%40ss%3Aw%2Frd%3F%23%25%C3%A4@10.0.0.7:554/a");
    assert_false(sp_onvif_with_login("rtsp://10.0.0.7:554/a", &login, small, sizeof small));
    assert_true(
        sp_onvif_with_login("rtsp://10.0.0.7/a", &(struct sp_onvif_login){0}, small, sizeof small));
    assert_string_equal(small, "rtsp://10.0.0.7/a");
}

static struct sp_onvif_profiles profiles_of(int count, const struct sp_onvif_profile *from)
{
    struct sp_onvif_profiles profiles = {.count = count};
    memcpy(profiles.profile, from, (size_t)count * sizeof *from);
    return profiles;
}

static void test_choice(void **state)
{
    const struct sp_onvif_profile list[] = {
        {"main", "a", "H264", 2560, 1440, 25}, {"sub", "a", "H264", 640, 360, 10},
        {"sub2", "a", "H264", 640, 480, 15},   {"tall", "b", "H264", 480, 800, 15},
        {"tiny", "a", "JPEG", 320, 180, 5},
    };
    struct sp_onvif_profiles profiles = profiles_of(5, list);
    (void)state;
    assert_int_equal(sp_onvif_choose(&profiles, "a", 640), 2); /* of two at 640 the faster */
    assert_int_equal(sp_onvif_choose(&profiles, "a", 320), 4);
    assert_int_equal(sp_onvif_choose(&profiles, "a", 672), 0);
    assert_int_equal(sp_onvif_choose(&profiles, "a", 4096), 0);
    assert_int_equal(sp_onvif_choose(&profiles, "b", 640), 3); /* its longest side counts */
    assert_int_equal(sp_onvif_choose(&profiles, "c", 640), -1);
}

static int read_xml(const char *text, struct sp_xml **document, struct sp_error *err)
{
    *err = (struct sp_error){0};
    *document = NULL;
    return sp_xml_read(document, text, strlen(text), "answer", err);
}

static void test_xml(void **state)
{
    struct sp_xml *document;
    struct sp_error err;
    (void)state;
    assert_int_equal(read_xml("<x:a q='1' z:token='2'>\n <y:b> t<c/>u&amp; </y:b><b>v</b></x:a>",
                              &document, &err),
                     SP_OK);
    const struct sp_xml_node *root = sp_xml_root(document);
    assert_string_equal(root->name, "a");
    assert_string_equal(sp_xml_attribute(root, "z:token"), "2");
    assert_string_equal(sp_xml_attribute(root, "none"), "");
    assert_string_equal(sp_xml_text(root, "b"), "tu&");
    assert_string_equal(root->first->next->text, "v");
    assert_null(sp_xml_find(root->first->next, "b")); /* itself is no descendant */
    assert_null(sp_xml_find(root->first, "v"));
    assert_string_equal(sp_xml_text(NULL, "b"), "");
    sp_xml_close(document);
}

static void test_xml_limits(void **state)
{
    struct sp_xml *document;
    struct sp_error err;
    char *text = malloc(SP_XML_BYTES_MAX + 2);
    (void)state;
    assert_non_null(text);
    assert_int_equal(read_xml("<!DOCTYPE a [<!ENTITY b 'x'>]><a>&b;</a>", &document, &err),
                     SP_ERR_FORMAT);
    assert_non_null(strstr(err.text, "document type"));
    assert_int_equal(read_xml("", &document, &err), SP_ERR_FORMAT);
    assert_int_equal(read_xml("<a><b></a>", &document, &err), SP_ERR_FORMAT);
    char *at = text;
    for (int i = 0; i <= SP_XML_DEPTH_MAX; i++)
        at = stpcpy(at, "<a>");
    assert_int_equal(read_xml(text, &document, &err), SP_ERR_FORMAT);
    assert_non_null(strstr(err.text, "too deep"));
    at = stpcpy(text, "<a>");
    for (int i = 0; i <= SP_XML_NODES_MAX; i++)
        at = stpcpy(at, "<b/>");
    assert_int_equal(read_xml(text, &document, &err), SP_ERR_FORMAT);
    assert_non_null(strstr(err.text, "too many"));
    memset(text, 'x', SP_XML_BYTES_MAX + 1);
    text[SP_XML_BYTES_MAX + 1] = '\0';
    assert_int_equal(read_xml(text, &document, &err), SP_ERR_FORMAT);
    assert_non_null(strstr(err.text, "longer than"));
    free(text);
}

static void test_answers_that_are_none(void **state)
{
    static const char fault[] =
        "<e><Fault><Code><Subcode><Value>ter:OtherFault</Value></Subcode></Code></Fault></e>";
    static const char refused[] =
        "<e><Fault><Code><Subcode><Value>a:Sender</Value><Subcode><Value>ter:NotAuthorized"
        "</Value></Subcode></Subcode></Code></Fault></e>";
    static const char long_uri[] =
        "<e><GetStreamUriResponse><Uri>rtsp://a\x01/</Uri></GetStreamUriResponse></e>";
    static const char no_video[] =
        "<e><GetProfilesResponse><Profiles token='a'/></GetProfilesResponse></e>";
    static const char bad_time[] = "<e><GetSystemDateAndTimeResponse><UTCDateTime><Year>2026</"
                                   "Year><Month>13</Month></UTCDateTime>"
                                   "</GetSystemDateAndTimeResponse></e>";
    char url[SP_ONVIF_URL_BYTES];
    static struct sp_onvif_profiles profiles;
    int64_t time_us;
    (void)state;
    assert_int_equal(sp_onvif_read_stream_uri(fault, strlen(fault), url, NULL), SP_ERR_FORMAT);
    assert_int_equal(sp_onvif_read_stream_uri(refused, strlen(refused), url, NULL),
                     SP_ERR_UNAUTHORIZED);
    assert_int_equal(sp_onvif_read_stream_uri("<e/>", 4, url, NULL), SP_ERR_FORMAT);
    assert_int_equal(sp_onvif_read_stream_uri(long_uri, strlen(long_uri), url, NULL),
                     SP_ERR_FORMAT);
    assert_int_equal(sp_onvif_read_profiles(no_video, strlen(no_video), &profiles, NULL),
                     SP_ERR_FORMAT);
    assert_int_equal(profiles.count, 0);
    assert_int_equal(sp_onvif_read_time(bad_time, strlen(bad_time), &time_us, NULL), SP_ERR_FORMAT);
}

static void test_match(void **state)
{
    static const char text[] =
        "<e><ProbeMatch><Scopes>onvif://www.onvif.org/type/x "
        "onvif://www.onvif.org/name/A%20B%2x%0a onvif://x</Scopes><XAddrs> http://a/ http://b/ "
        "</XAddrs></ProbeMatch></e>";
    struct sp_onvif_match match;
    (void)state;
    assert_int_equal(sp_onvif_read_match(text, strlen(text), &match, NULL), SP_OK);
    assert_string_equal(match.address, "http://a/ http://b/");
    assert_string_equal(match.name, "A B%2x ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_of_the_guides_example),
        cmocka_unit_test(test_request_has_no_password),
        cmocka_unit_test(test_long_requests_are_refused),
        cmocka_unit_test(test_addresses_are_moved_to_the_host_that_answered),
        cmocka_unit_test(test_login_is_encoded),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_xml_limits),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
