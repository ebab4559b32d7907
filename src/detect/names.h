/* The class names that exporters write into a model file: text like {0: 'person', 1: 'bicycle'}. */
#pragma once

struct sp_model_names {
    int count;        /* 0: the file has none */
    int person_class; /* -1: no class is called "person" */
};

/* A file that cannot be read has no names. */
void sp_model_names_find(struct sp_model_names *names, const char *path);
