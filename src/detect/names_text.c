#include "detect/names_text.h"

#include <stdlib.h>
#include <string.h>

enum { TOKEN_BYTES = 512 };

struct reader {
    const char *at, *end;
    bool yaml; /* '' is an escaped quote, and bare words can contain blanks */
};

/* One scalar, unescaped. */
struct token {
    char text[TOKEN_BYTES];
    size_t bytes;
    bool quoted;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->at >= r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static void append(struct token *token, char c)
{
    if (token->bytes < TOKEN_BYTES)
        token->text[token->bytes++] = c;
}

static void append_code_point(struct token *token, uint32_t code)
{
    if (code < 0x80) {
        append(token, (char)code);
        return;
    }
    int more = code < 0x800 ? 1 : (code < 0x10000 ? 2 : 3);
    static const unsigned first[] = {0, 0xC0, 0xE0, 0xF0};
    append(token, (char)(first[more] | code >> 6 * more));
    while (more-- > 0)
        append(token, (char)(0x80 | (code >> 6 * more & 0x3F)));
}

static bool read_hex(struct reader *r, int digits, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < digits; i++) {
        char c = r->at < r->end ? *r->at : '\0';
        char lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            *code = *code << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *code = *code << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return false;
        r->at++;
    }
    return true;
}

/* JSON escapes code points above U+FFFF as two surrogates. */
static bool read_surrogate(struct reader *r, uint32_t *code)
{
    uint32_t low;
    if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
        return false;
    r->at += 2;
    if (!read_hex(r, 4, &low) || low < 0xDC00 || low > 0xDFFF)
        return false;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static bool read_escape(struct reader *r, struct token *token)
{
    if (r->at >= r->end)
        return false;
    char c = *r->at++;
    int digits = c == 'x' ? 2 : (c == 'u' ? 4 : (c == 'U' ? 8 : 0));
    if (digits > 0) {
        uint32_t code;
        if (!read_hex(r, digits, &code))
            return false;
        if (code >= 0xD800 && code < 0xDC00 && !read_surrogate(r, &code))
            code = '?';
        append_code_point(token, code <= 0x10FFFF ? code : '?');
    } else if (c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f' || c == '\n') {
        append(token, ' ');
    } else {
        append(token, c);
    }
    return true;
}

static bool read_quoted(struct reader *r, struct token *token)
{
    char quote = *r->at++;
    bool escapes = !r->yaml || quote == '"';
    token->quoted = true;
    while (r->at < r->end) {
        char c = *r->at++;
        if (c == quote && r->yaml && quote == '\'' && r->at < r->end && *r->at == quote)
            r->at++;
        else if (c == quote)
            return true;
        else if (c == '\\' && escapes) {
            if (!read_escape(r, token))
                return false;
            continue;
        }
        append(token, c);
    }
    return false;
}

/* A bare word, up to the end of the key or value: names in YAML, numbers in the others. */
static bool read_bare(struct reader *r, struct token *token)
{
    while (r->at < r->end && !strchr(",:[]{}()\n", *r->at) && *r->at != '\0')
        append(token, *r->at++);
    while (token->bytes > 0 && is_blank(token->text[token->bytes - 1]))
        token->bytes--;
    return token->bytes > 0;
}

static bool read_token(struct reader *r, struct token *token)
{
    *token = (struct token){.bytes = 0};
    skip_blanks(r);
    if (r->end - r->at >= 2 && strchr("uU", r->at[0]) && strchr("'\"", r->at[1]))
        r->at++; /* u'name' of Python 2 */
    if (r->at >= r->end || *r->at == '\0')
        return false;
    return *r->at == '\'' || *r->at == '"' ? read_quoted(r, token) : read_bare(r, token);
}

static bool read_index(const struct token *token, int *index)
{
    if (token->bytes == 0 || token->bytes > 5)
        return false;
    *index = 0;
    for (size_t i = 0; i < token->bytes; i++) {
        if (token->text[i] < '0' || token->text[i] > '9')
            return false;
        *index = *index * 10 + (token->text[i] - '0');
    }
    return true;
}

/* null or None: a class without a name. */
static bool set_name(struct sp_class_names *names, int index, const struct token *token)
{
    bool none = token->bytes == 0;
    if (!token->quoted)
        none = none || (token->bytes == 4 && (memcmp(token->text, "null", 4) == 0 ||
                                              memcmp(token->text, "None", 4) == 0));
    return none ? index < SP_CLASSES_MAX
                : sp_class_names_set(names, index, token->text, token->bytes);
}

static bool read_pair(struct reader *r, struct sp_class_names *names)
{
    struct token key, value;
    int index;
    if (!read_token(r, &key) || !take(r, ':') || !read_token(r, &value))
        return false;
    if (read_index(&key, &index))
        return set_name(names, index, &value);
    return !value.quoted && read_index(&value, &index) && set_name(names, index, &key);
}

static bool read_literal(struct reader *r, struct sp_class_names *names)
{
    bool pairs = take(r, '{'), brackets = !pairs && take(r, '[');
    if (!pairs && !brackets && !take(r, '('))
        return false;
    char close = pairs ? '}' : (brackets ? ']' : ')');
    for (int index = 0; !take(r, close); index++) {
        struct token value;
        bool read =
            pairs ? read_pair(r, names) : read_token(r, &value) && set_name(names, index, &value);
        if (!read)
            return false;
        if (!take(r, ',')) {
            if (!take(r, close))
                return false;
            break;
        }
    }
    return names->named > 0;
}

/* On the heap, since struct sp_class_names is too large for the stack. */
static bool read_into(struct sp_class_names *names, struct reader r,
                      bool (*read)(struct reader *r, struct sp_class_names *names))
{
    struct sp_class_names *found = calloc(1, sizeof *found);
    bool done = found && read(&r, found);
    if (done)
        *names = *found;
    free(found);
    return done;
}

bool sp_names_literal(struct sp_class_names *names, const char *text, size_t bytes)
{
    return read_into(names, (struct reader){text, text + bytes, false}, read_literal);
}

bool sp_names_member(struct sp_class_names *names, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), "names", 5)); at++) {
        struct reader r = {at + 5, end, false};
        bool quoted =
            at > text && r.at < end && (at[-1] == '\'' || at[-1] == '"') && *r.at == at[-1];
        if (!quoted)
            continue;
        r.at++;
        if (take(&r, ':') && sp_names_literal(names, r.at, (size_t)(end - r.at)))
            return true;
    }
    return false;
}

/* ---- YAML ---- */

struct line {
    const char *at, *end; /* without the indent and the line's end */
    size_t indent;
};

static bool next_line(struct reader *r, struct line *line)
{
    if (r->at >= r->end)
        return false;
    const char *end = memchr(r->at, '\n', (size_t)(r->end - r->at));
    line->at = r->at;
    line->end = end ? end : r->end;
    r->at = end ? end + 1 : r->end;
    for (line->indent = 0; line->at < line->end && *line->at == ' '; line->indent++)
        line->at++;
    while (line->end > line->at && is_blank(line->end[-1]))
        line->end--;
    return true;
}

/* A whole scalar up to the line's end or a comment. */
static bool read_scalar(struct reader *r, struct token *token)
{
    *token = (struct token){.bytes = 0};
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
    if (r->at < r->end && (*r->at == '\'' || *r->at == '"'))
        return read_quoted(r, token);
    for (; r->at < r->end && !(*r->at == '#' && is_blank(r->at[-1])); r->at++)
        append(token, *r->at);
    while (token->bytes > 0 && is_blank(token->text[token->bytes - 1]))
        token->bytes--;
    return true;
}

static bool read_entry(struct line line, int *next_index, struct sp_class_names *names)
{
    struct reader r = {line.at, line.end, true};
    struct token key, value;
    int index = *next_index;
    if (r.end - r.at >= 2 && r.at[0] == '-' && is_blank(r.at[1])) {
        r.at += 2;
        *next_index = index + 1;
        return read_scalar(&r, &value) && set_name(names, index, &value);
    }
    if (!read_token(&r, &key) || !take(&r, ':') || !read_index(&key, &index))
        return false;
    return read_scalar(&r, &value) && set_name(names, index, &value);
}

static bool read_yaml(struct reader *r, struct sp_class_names *names)
{
    struct line line;
    for (;;) {
        if (!next_line(r, &line))
            return false;
        if (line.indent == 0 && line.end - line.at >= 6 && memcmp(line.at, "names:", 6) == 0)
            break;
    }
    struct reader flow = {line.at + 6, r->end, true};
    skip_blanks(&flow);
    if (flow.at < line.end && (*flow.at == '{' || *flow.at == '['))
        return read_literal(&flow, names);
    int next_index = 0;
    while (next_line(r, &line)) {
        bool item = line.end - line.at >= 2 && line.at[0] == '-' && is_blank(line.at[1]);
        if (line.at == line.end || *line.at == '#')
            continue;
        if (line.indent == 0 && !item)
            break;
        if (!read_entry(line, &next_index, names))
            return false;
    }
    return names->named > 0;
}

bool sp_names_yaml(struct sp_class_names *names, const char *text, size_t bytes)
{
    return read_into(names, (struct reader){text, text + bytes, true}, read_yaml);
}

/* ---- lists ---- */

bool sp_names_list(struct sp_class_names *names, const char *text, size_t bytes, char separator)
{
    struct sp_class_names *found = calloc(1, sizeof *found);
    const char *end = text + bytes;
    bool done = found != NULL;
    while (end > text && is_blank(end[-1]))
        end--;
    if (memchr(text, '\n', (size_t)(end - text)))
        separator = '\n';
    for (int index = 0; done && text < end;) {
        const char *close = memchr(text, separator, (size_t)(end - text));
        size_t length = (size_t)((close ? close : end) - text);
        bool empty = length == 0;
        for (size_t i = 0; i < length && !empty; i++)
            empty = text[i] == '\0';
        if (!empty)
            done = sp_class_names_set(found, index, text, length);
        index += !empty || separator != ' '; /* two blanks are one separator */
        text += length + (close ? 1 : 0);
    }
    done = done && found->named > 0;
    if (done)
        *names = *found;
    free(found);
    return done;
}
