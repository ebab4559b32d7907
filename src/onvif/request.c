#include "onvif/message.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SHA1_BYTES = 20, NONCE_TEXT_BYTES = 32, CREATED_BYTES = 40 };

#define SOAP                                                                                       \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope "                                       \
    "xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" "
#define WSS "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"

void sp_onvif_probe_request(const char *type, const char *id, char out[SP_ONVIF_REQUEST_BYTES])
{
    snprintf(out, SP_ONVIF_REQUEST_BYTES,
             SOAP "xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" "
                  "xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" "
                  "xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\" "
                  "xmlns:tds=\"http://www.onvif.org/ver10/device/wsdl\"><s:Header>"
                  "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>"
                  "<a:MessageID>uuid:%s</a:MessageID>"
                  "<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>"
                  "<s:Body><d:Probe><d:Types>%s</d:Types></d:Probe></s:Body></s:Envelope>",
             id, type);
}

/* Escapes for text and attributes of XML. False: does not fit. */
static bool escape(const char *text, char *out, size_t out_bytes)
{
    size_t at = 0;
    for (; *text; text++) {
        const char *name = *text == '&'   ? "&amp;"
                           : *text == '<' ? "&lt;"
                           : *text == '>' ? "&gt;"
                           : *text == '"' ? "&quot;"
                                          : NULL;
        size_t bytes = name ? strlen(name) : 1;
        if (at + bytes >= out_bytes)
            return false;
        memcpy(out + at, name ? name : text, bytes);
        at += bytes;
    }
    out[at] = '\0';
    return true;
}

void sp_onvif_digest(const unsigned char *nonce, size_t nonce_bytes, const char *created,
                     const char *password, char out[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    out[0] = '\0';
    if (context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
        EVP_DigestUpdate(context, nonce, nonce_bytes) == 1 &&
        EVP_DigestUpdate(context, created, strlen(created)) == 1 &&
        EVP_DigestUpdate(context, password, strlen(password)) == 1 &&
        EVP_DigestFinal_ex(context, digest, NULL) == 1)
        EVP_EncodeBlock((unsigned char *)out, digest, SHA1_BYTES);
    EVP_MD_CTX_free(context);
}

static int sign(const struct sp_onvif_login *login, const unsigned char *nonce, int64_t created_us,
                char *out, size_t out_bytes, struct sp_error *err)
{
    char user[6 * sizeof login->user], digest[32], created[CREATED_BYTES];
    unsigned char nonce_text[NONCE_TEXT_BYTES];
    time_t seconds = (time_t)(created_us / 1000000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || !escape(login->user, user, sizeof user))
        return sp_fail(err, SP_ERR_INVALID, "login: invalid user or time");
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    sp_onvif_digest(nonce, SP_ONVIF_NONCE_BYTES, created, login->password, digest);
    EVP_EncodeBlock(nonce_text, nonce, SP_ONVIF_NONCE_BYTES);
    int bytes = snprintf(
        out, out_bytes,
        "<s:Header><w:Security s:mustUnderstand=\"1\" "
        "xmlns:w=\"" WSS "wssecurity-secext-1.0.xsd\" xmlns:u=\"" WSS
        "wssecurity-utility-1.0.xsd\">"
        "<w:UsernameToken><w:Username>%s</w:Username>"
        "<w:Password Type=\"" WSS "username-token-profile-1.0#PasswordDigest\">%s</w:Password>"
        "<w:Nonce EncodingType=\"" WSS "soap-message-security-1.0#Base64Binary\">%s</w:Nonce>"
        "<u:Created>%s</u:Created></w:UsernameToken></w:Security></s:Header>",
        user, digest, (char *)nonce_text, created);
    return bytes < (int)out_bytes ? SP_OK : sp_fail(err, SP_ERR_INVALID, "login: too long");
}

int sp_onvif_request(const char *body, const struct sp_onvif_login *login,
                     const unsigned char nonce[SP_ONVIF_NONCE_BYTES], int64_t created_us,
                     char out[SP_ONVIF_REQUEST_BYTES], struct sp_error *err)
{
    char header[SP_ONVIF_REQUEST_BYTES / 2] = "";
    int result = SP_OK;
    if (login->user[0])
        result = sign(login, nonce, created_us, header, sizeof header, err);
    if (result < 0)
        return result;
    int bytes = snprintf(out, SP_ONVIF_REQUEST_BYTES, SOAP ">%s<s:Body>%s</s:Body></s:Envelope>",
                         header, body);
    return bytes < SP_ONVIF_REQUEST_BYTES ? SP_OK
                                          : sp_fail(err, SP_ERR_INVALID, "request: too long");
}

int sp_onvif_stream_body(const char *token, char *out, size_t out_bytes, struct sp_error *err)
{
    char escaped[6 * SP_ONVIF_TEXT_BYTES];
    if (!escape(token, escaped, sizeof escaped))
        return sp_fail(err, SP_ERR_INVALID, "profile: too long a token");
    int bytes =
        snprintf(out, out_bytes,
                 "<GetStreamUri xmlns=\"http://www.onvif.org/ver10/media/wsdl\"><StreamSetup>"
                 "<Stream xmlns=\"http://www.onvif.org/ver10/schema\">RTP-Unicast</Stream>"
                 "<Transport "
                 "xmlns=\"http://www.onvif.org/ver10/schema\"><Protocol>RTSP</Protocol></Transport>"
                 "</StreamSetup><ProfileToken>%s</ProfileToken></GetStreamUri>",
                 escaped);
    return bytes < (int)out_bytes ? SP_OK
                                  : sp_fail(err, SP_ERR_INVALID, "profile: too long a token");
}

/* --- URLs ------------------------------------------------------------------------------------- */

/* The text behind "scheme://" of one of the schemes, or NULL; also NULL for control characters,
 * blanks and other bytes that no URL has. */
static const char *behind_scheme(const char *url, const char *const *schemes)
{
    for (const char *c = url; *c; c++)
        if (*c <= ' ' || *c >= 0x7F || strchr("\"'<>\\^`{|}", *c))
            return NULL;
    for (; *schemes; schemes++) {
        size_t bytes = strlen(*schemes);
        if (strncmp(url, *schemes, bytes) == 0 && strncmp(url + bytes, "://", 3) == 0)
            return url + bytes + 3;
    }
    return NULL;
}

bool sp_onvif_with_host(const char *url, const char *host, const char *const *schemes, char *out,
                        size_t out_bytes)
{
    const char *authority = behind_scheme(url, schemes);
    if (!authority)
        return false;
    size_t bytes = strcspn(authority, "/?#"), port_bytes = 0;
    const char *end = authority + bytes;
    while (port_bytes < bytes && end[-1 - (ptrdiff_t)port_bytes] >= '0' &&
           end[-1 - (ptrdiff_t)port_bytes] <= '9')
        port_bytes++;
    bool port = port_bytes > 0 && port_bytes <= 5 && port_bytes < bytes &&
                end[-1 - (ptrdiff_t)port_bytes] == ':';
    int length = snprintf(out, out_bytes, "%.*s%s%s%.*s%s", (int)(authority - url), url, host,
                          port ? ":" : "", port ? (int)port_bytes : 0, end - port_bytes, end);
    return length < (int)out_bytes;
}

static bool encode(const char *text, char *out, size_t out_bytes)
{
    size_t at = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c);
        if (at + 3 >= out_bytes)
            return false;
        at += (size_t)snprintf(out + at, out_bytes - at, plain ? "%c" : "%%%02X", c);
    }
    out[at] = '\0';
    return true;
}

bool sp_onvif_with_login(const char *url, const struct sp_onvif_login *login, char *out,
                         size_t out_bytes)
{
    char user[4 * sizeof login->user], password[4 * sizeof login->password];
    const char *authority = strstr(url, "://");
    if (!authority || !encode(login->user, user, sizeof user) ||
        !encode(login->password, password, sizeof password))
        return false;
    authority += 3;
    int length = login->user[0] ? snprintf(out, out_bytes, "%.*s%s:%s@%s", (int)(authority - url),
                                           url, user, password, authority)
                                : snprintf(out, out_bytes, "%s", url);
    return length < (int)out_bytes;
}
