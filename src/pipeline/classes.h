/* The setting CLASSES, by the names of a model. */
#pragma once

#include "detect/model.h"

/* list: names or numbers, comma separated, or "all"; names may hold blanks and commas, and upper
 * and lower case and '_' for ' ' are the same, unless a name fits as it is written. *wanted:
 * [model->classes], malloc'ed, the caller's; NULL: all. SP_ERR_INVALID names the nearest class and
 * those that there are; SP_ERR_NO_MEMORY. */
int sp_classes_choose(bool **wanted, const struct sp_model *model, const char *list,
                      struct sp_error *err);

/* "0 vest, 1 head, 2 person", as many as fit, and how many more there are. */
void sp_classes_text(const struct sp_model *model, char *text, size_t bytes);

/* The only class that is wanted; -1: several, or all of several. */
int sp_classes_single(const struct sp_model *model, const bool *wanted);
