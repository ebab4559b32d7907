/* What similarity of two embeddings says, for a model that nobody told us anything about.
 *
 * Cosines of the same person and of different people are taken as two normal distributions; the
 * confidence is the log of their ratio. Both start around SIMILARITY_SAME and are learnt: two
 * tracks of one camera that are alive at once are different people; two cameras' tracks that the
 * map has held together for long are one. Plain values; not thread-safe. */
#pragma once

struct sp_normal {
    double mean, variance, weight;
};

struct sp_appearance {
    struct sp_normal same, different;
};

void sp_appearance_init(struct sp_appearance *appearance, double similarity_same);
void sp_appearance_learn(struct sp_appearance *appearance, double cosine, int same);

/* Within +-SP_APPEARANCE_LOG_ODDS_MAX: appearance alone never decides against all else. */
#define SP_APPEARANCE_LOG_ODDS_MAX 6.0
double sp_appearance_log_odds(const struct sp_appearance *appearance, double cosine);

/* Of unit length afterwards; 0 when it has no length. */
int sp_embedding_normalise(float *embedding, int numbers);
double sp_embedding_cosine(const float *a, const float *b, int numbers);
