/* For "did you mean". Any thread. */
#pragma once

/* The word nearest to `word` by edit distance (Damerau-Levenshtein), else the shortest that
 * contains it, else NULL. words: NULL-terminated. */
const char *sp_nearest_word(const char *word, const char *const *words);
