/* Embeddings: a running mean per track and a few per person, each for a limited time. */
#include "space/internal.h"

#include <math.h>
#include <string.h>

float *sp_tracklet_vector(const struct sp_space *s, const struct tracklet *t)
{
    return s->tracklet_vectors + (size_t)(t - s->tracklets) * (size_t)s->options.embedding_numbers;
}

static float *entry_vector(const struct sp_space *s, int identity, int entry)
{
    size_t at = (size_t)identity * GALLERY_MAX + (size_t)entry;
    return s->gallery_vectors + at * (size_t)s->options.embedding_numbers;
}

/* Single crops may be bad, so the best two of the gallery count. */
double sp_gallery_similarity(const struct sp_space *s, const struct tracklet *t, int identity)
{
    double best = -2, second = -2;
    if (!s->gallery_vectors || t->embeddings == 0)
        return -2;
    for (int i = 0; i < GALLERY_MAX; i++) {
        if (s->identities[identity].gallery[i].at_us == 0)
            continue;
        double cosine = sp_embedding_cosine(sp_tracklet_vector(s, t), entry_vector(s, identity, i),
                                            s->options.embedding_numbers);
        if (cosine > best) {
            second = best;
            best = cosine;
        } else if (cosine > second) {
            second = cosine;
        }
    }
    return second >= -1 ? 0.5 * (best + second) : best;
}

void sp_gallery_take(struct sp_space *s, int identity, const struct tracklet *t)
{
    struct gallery_entry *gallery = s->identities[identity].gallery;
    int position = 0, of_camera = 0, oldest_of_camera = NONE;
    if (!s->gallery_vectors || t->embeddings == 0)
        return;
    for (int i = 0; i < GALLERY_MAX; i++) {
        if (gallery[i].at_us < gallery[position].at_us)
            position = i;
        if (gallery[i].at_us == 0 || gallery[i].camera != t->camera)
            continue;
        of_camera++;
        if (oldest_of_camera == NONE || gallery[i].at_us < gallery[oldest_of_camera].at_us)
            oldest_of_camera = i;
    }
    if (of_camera >= 2) /* keeps embeddings from other cameras */
        position = oldest_of_camera;
    gallery[position] = (struct gallery_entry){t->camera, t->embedded_us > 0 ? t->embedded_us : 1};
    memcpy(entry_vector(s, identity, position), sp_tracklet_vector(s, t),
           (size_t)s->options.embedding_numbers * sizeof(float));
}

void sp_gallery_merge(struct sp_space *s, int from, int to)
{
    struct gallery_entry *source = s->identities[from].gallery;
    struct gallery_entry *target = s->identities[to].gallery;
    if (!s->gallery_vectors)
        return;
    for (int i = 0; i < GALLERY_MAX; i++) {
        int position = 0;
        for (int k = 1; k < GALLERY_MAX; k++)
            if (target[k].at_us < target[position].at_us)
                position = k;
        if (source[i].at_us <= target[position].at_us)
            continue;
        target[position] = source[i];
        memcpy(entry_vector(s, to, position), entry_vector(s, from, i),
               (size_t)s->options.embedding_numbers * sizeof(float));
    }
}

static void clear_entry(struct sp_space *s, int identity, int entry)
{
    s->identities[identity].gallery[entry].at_us = 0;
    memset(entry_vector(s, identity, entry), 0,
           (size_t)s->options.embedding_numbers * sizeof(float));
}

void sp_gallery_clear(struct sp_space *s, int identity)
{
    if (s->gallery_vectors)
        for (int i = 0; i < GALLERY_MAX; i++)
            clear_entry(s, identity, i);
}

void sp_gallery_expire(struct sp_space *s, int64_t idle_us)
{
    int64_t oldest_us = s->ticked_us + idle_us - s->options.gallery_us;
    s->counts.embeddings = 0;
    for (int i = 0; i < s->identity_high && s->gallery_vectors; i++)
        for (int k = 0; k < GALLERY_MAX; k++) {
            struct gallery_entry *entry = &s->identities[i].gallery[k];
            if (entry->at_us == 0)
                continue;
            if (entry->at_us < oldest_us)
                clear_entry(s, i, k);
            else
                s->counts.embeddings++;
        }
    for (int i = 0; i < TRACKLETS_MAX && s->tracklet_vectors; i++) {
        struct tracklet *t = &s->tracklets[i];
        if (!t->used || t->embeddings == 0 || t->embedded_us >= oldest_us)
            continue;
        t->embeddings = 0;
        memset(sp_tracklet_vector(s, t), 0, (size_t)s->options.embedding_numbers * sizeof(float));
    }
}

static void learn(struct sp_space *s, const struct tracklet *a, const struct tracklet *b, int same)
{
    sp_appearance_learn(&s->appearance,
                        sp_embedding_cosine(sp_tracklet_vector(s, a), sp_tracklet_vector(s, b),
                                            s->options.embedding_numbers),
                        same);
}

/* Learns from pairs of two cameras, as those are compared later. Tracks far apart at the same time
 * are different people; tracks that have long been one identity are the same person. */
void sp_gallery_learn(struct sp_space *s)
{
    static const double HELD_S = 3, FAR_M = 3;
    const struct tracklet *before = NULL;
    for (int c = 0; c < s->options.cameras && s->tracklet_vectors; c++)
        for (int i = 0; i < s->cameras[c].tracklet_count; i++) {
            const struct tracklet *t = &s->tracklets[s->cameras[c].tracklet[i]];
            if (!t->live || t->embeddings == 0)
                continue;
            if (before && before->camera != c &&
                hypot(before->spot.x - t->spot.x, before->spot.y - t->spot.y) > FAR_M)
                learn(s, before, t, 0);
            if (!before || before->camera != c || i % 3 == 0)
                before = t;
        }
    for (int i = 0; i < s->identity_high && s->tracklet_vectors; i++) {
        const struct identity *who = &s->identities[i];
        const struct tracklet *a = NULL;
        for (int m = 0; who->number && m < who->member_count; m++) {
            const struct tracklet *b = &s->tracklets[who->member[m]];
            bool held = b->live && b->embeddings > 0 &&
                        (double)(s->ticked_us - b->merged_us) / 1e6 > HELD_S;
            if (held && a && a->camera != b->camera)
                learn(s, a, b, 1);
            if (held)
                a = b;
        }
    }
}
