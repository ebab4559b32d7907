/* The setting CLASSES, resolved against a model's class names. */
#pragma once

#include "detect/model.h"

/* list: names or numbers, comma separated, or "all". Names may contain spaces and commas; an exact
 * match comes first, else case and '_' for ' ' are ignored. *wanted: [model->classes], malloc'ed,
 * owned by the caller; NULL: all. SP_ERR_INVALID names the nearest class and the model's classes;
 * SP_ERR_NO_MEMORY. */
int sp_classes_choose(bool **wanted, const struct sp_model *model, const char *list,
                      struct sp_error *err);

/* "0 vest, 1 head, 2 person", as many as fit, then the number of those left out. */
void sp_classes_text(const struct sp_model *model, char *text, size_t bytes);

/* The only wanted class; -1: several. */
int sp_classes_single(const struct sp_model *model, const bool *wanted);
