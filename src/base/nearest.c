#include "base/nearest.h"

#include <string.h>

enum { WORD_MAX = 64, PART_MIN = 4 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* F. Damerau, "A technique for computer detection and correction of spelling errors", CACM 7(3),
 * 1964; V. Levenshtein 1966. The restricted form (optimal string alignment): no letter is edited
 * twice, so three rows suffice. */
static int distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int rows[3][WORD_MAX + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        above[j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            int best = least(above[j] + 1, row[j - 1] + 1);
            best = least(best, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y)
                best = least(best, before[j - 2] + 1);
            row[j] = best;
        }
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

/* The shortest word that contains `word` without its dashes: "--http-port" for "--port". */
static const char *shortest_with(const char *word, const char *const *words)
{
    const char *shortest = NULL;
    word += strspn(word, "-");
    for (; strlen(word) >= PART_MIN && *words; words++)
        if (strcasestr(*words, word) && (!shortest || strlen(*words) < strlen(shortest)))
            shortest = *words;
    return shortest;
}

const char *sp_nearest_word(const char *word, const char *const *words)
{
    const char *const *all = words;
    size_t length = strlen(word);
    if (length == 0 || length > WORD_MAX)
        return NULL;
    /* Up to one error in three letters counts as a misspelling. */
    int limit = least((int)(length + 2) / 3, 5);
    const char *nearest = NULL;
    for (; *words; words++) {
        size_t other = strlen(*words);
        if (other > WORD_MAX)
            continue;
        int d = distance(word, length, *words, other);
        if (d <= limit && d < (int)other) {
            nearest = *words;
            limit = d - 1; /* the first of equals wins */
        }
    }
    return nearest ? nearest : shortest_with(word, all);
}
