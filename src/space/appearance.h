/* Log odds of "same person" from the cosine of two embeddings, for any re-identification model.
 *
 * The cosines of the same person and of different people are modelled as two normal distributions;
 * the log odds are the log of their ratio. Both start around SIMILARITY_SAME and adapt: two tracks
 * of one camera that are alive at once are different people; tracks of two cameras that have been
 * associated by position for long are one. Plain values; not thread-safe. */
#pragma once

struct sp_normal {
    double mean, variance, weight;
};

struct sp_appearance {
    struct sp_normal same, different;
};

void sp_appearance_init(struct sp_appearance *appearance, double similarity_same);
void sp_appearance_learn(struct sp_appearance *appearance, double cosine, int same);

/* Clamped to +-SP_APPEARANCE_LOG_ODDS_MAX, so that appearance alone never decides. */
#define SP_APPEARANCE_LOG_ODDS_MAX 6.0
double sp_appearance_log_odds(const struct sp_appearance *appearance, double cosine);

/* Scales to unit length. Returns 0 for a vector of length 0. */
int sp_embedding_normalise(float *embedding, int numbers);
double sp_embedding_cosine(const float *a, const float *b, int numbers);
