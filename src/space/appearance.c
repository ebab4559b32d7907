#include "space/appearance.h"

#include <math.h>

static const double PRIOR_WEIGHT = 30, WEIGHT_MAX = 600, DEVIATION_MIN = 0.03;

void sp_appearance_init(struct sp_appearance *appearance, double similarity_same)
{
    appearance->same = (struct sp_normal){similarity_same + 0.1, 0.08 * 0.08, PRIOR_WEIGHT};
    appearance->different = (struct sp_normal){similarity_same - 0.2, 0.1 * 0.1, PRIOR_WEIGHT};
}

void sp_appearance_learn(struct sp_appearance *appearance, double cosine, int same)
{
    struct sp_normal *n = same ? &appearance->same : &appearance->different;
    n->weight = fmin(n->weight + 1, WEIGHT_MAX);
    double step = 1 / n->weight, off = cosine - n->mean;
    n->mean += step * off;
    n->variance += step * ((1 - step) * off * off - n->variance);
    n->variance = fmax(n->variance, DEVIATION_MIN * DEVIATION_MIN);
}

static double log_density(const struct sp_normal *n, double at)
{
    return -0.5 * ((at - n->mean) * (at - n->mean) / n->variance + log(n->variance));
}

double sp_appearance_log_odds(const struct sp_appearance *a, double cosine)
{
    /* The wider of two normal distributions has the higher density far out on both sides: beyond
     * the means the log odds are clamped, so that a higher similarity never lowers them. */
    double high = a->same.mean, low = a->different.mean;
    if (!(high > low))
        return 0;
    double at = fmin(fmax(cosine, low - 0.5 * (high - low)), high);
    double log_odds = log_density(&a->same, at) - log_density(&a->different, at);
    return fmin(fmax(log_odds, -SP_APPEARANCE_LOG_ODDS_MAX), SP_APPEARANCE_LOG_ODDS_MAX);
}

int sp_embedding_normalise(float *embedding, int numbers)
{
    double squares = 0;
    for (int i = 0; i < numbers; i++)
        squares += (double)embedding[i] * embedding[i];
    if (!(squares > 1e-20) || !isfinite(squares))
        return 0;
    float scale = (float)(1 / sqrt(squares));
    for (int i = 0; i < numbers; i++)
        embedding[i] *= scale;
    return 1;
}

double sp_embedding_cosine(const float *a, const float *b, int numbers)
{
    float sum = 0;
    for (int i = 0; i < numbers; i++)
        sum += a[i] * b[i];
    return sum;
}
