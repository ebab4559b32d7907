#include "detect/names.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES_MAX = 1024 };

static bool take(const char **at, const char *end, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(end - *at) < length || memcmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

/* One "5: 'bus'". The number must be the next one. */
static bool take_entry(const char **at, const char *end, int index, bool *is_person)
{
    int number = 0, digits = 0;
    for (; *at < end && isdigit((unsigned char)**at) && digits < 5; ++*at, ++digits)
        number = number * 10 + (**at - '0');
    if (digits == 0 || number != index || !take(at, end, ": ") || *at >= end)
        return false;
    char quote = *(*at)++;
    if (quote != '\'' && quote != '"')
        return false;
    const char *name = *at;
    const char *close = memchr(name, quote, (size_t)(end - name));
    if (!close)
        return false;
    *is_person = close - name == 6 && strncasecmp(name, "person", 6) == 0;
    *at = close + 1;
    return true;
}

static bool parse(struct sp_model_names *names, const char *at, const char *end)
{
    struct sp_model_names found = {.count = 0, .person_class = -1};
    if (!take(&at, end, "{"))
        return false;
    do {
        bool is_person = false;
        if (found.count == NAMES_MAX || !take_entry(&at, end, found.count, &is_person))
            return false;
        if (is_person && found.person_class < 0)
            found.person_class = found.count;
        ++found.count;
    } while (take(&at, end, ", "));
    if (!take(&at, end, "}"))
        return false;
    *names = found;
    return true;
}

static void search(struct sp_model_names *names, const char *data, size_t size)
{
    const char *end = data + size;
    for (const char *at = data; (at = memmem(at, (size_t)(end - at), "{0: ", 4)); ++at) {
        if (parse(names, at, end))
            return;
    }
}

void sp_model_names_find(struct sp_model_names *names, const char *path)
{
    *names = (struct sp_model_names){.count = 0, .person_class = -1};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data != MAP_FAILED) {
            search(names, data, size);
            munmap(data, size);
        }
    }
    close(file);
}
