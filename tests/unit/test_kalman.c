#include "track/kalman.h"

#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A second implementation: the full 8x8 algebra of the textbook. */
enum { N = 8, M = 4 };

struct full {
    double mean[N], cov[N][N];
};

static void full_deviations(double sd[N], double height, double scale_position,
                            double scale_velocity)
{
    for (int i = 0; i < M; i++) {
        sd[i] = i == 2 ? 1e-2 : scale_position * height / 20;
        sd[M + i] = i == 2 ? 1e-5 : scale_velocity * height / 160;
    }
}

static void full_init(struct full *f, const double z[M])
{
    double sd[N];
    memset(f, 0, sizeof *f);
    memcpy(f->mean, z, M * sizeof *z);
    full_deviations(sd, z[3], 2, 10);
    for (int i = 0; i < N; i++)
        f->cov[i][i] = sd[i] * sd[i];
}

/* One single step. */
static void full_predict(struct full *f)
{
    double sd[N], moved[N][N], next[N][N];
    full_deviations(sd, f->mean[3], 1, 1);
    for (int i = 0; i < M; i++)
        f->mean[i] += f->mean[M + i];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            moved[i][j] = f->cov[i][j] + (i < M ? f->cov[M + i][j] : 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            next[i][j] = moved[i][j] + (j < M ? moved[i][M + j] : 0) + (i == j ? sd[i] * sd[i] : 0);
    memcpy(f->cov, next, sizeof next);
}

/* Gauss-Jordan with the right-hand sides of all rows at once: x = s^-1 b. */
static void solve(double s[M][M], double b[M][N])
{
    for (int p = 0; p < M; p++) {
        double pivot = s[p][p];
        for (int j = 0; j < M; j++)
            s[p][j] /= pivot;
        for (int j = 0; j < N; j++)
            b[p][j] /= pivot;
        for (int i = 0; i < M; i++) {
            double factor = s[i][p];
            if (i == p)
                continue;
            for (int j = 0; j < M; j++)
                s[i][j] -= factor * s[p][j];
            for (int j = 0; j < N; j++)
                b[i][j] -= factor * b[p][j];
        }
    }
}

static void full_update(struct full *f, const double z[M])
{
    double s[M][M], gain[M][N], next[N][N];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double sd = i == 2 ? 1e-1 : f->mean[3] / 20;
            s[i][j] = f->cov[i][j] + (i == j ? sd * sd : 0);
        }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            gain[i][j] = f->cov[i][j];
    solve(s, gain); /* transposed gain */
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            next[i][j] = f->cov[i][j];
            for (int k = 0; k < M; k++)
                next[i][j] -= gain[k][i] * f->cov[k][j];
        }
    double innovation[M];
    for (int k = 0; k < M; k++)
        innovation[k] = z[k] - f->mean[k];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < M; k++)
            f->mean[i] += gain[k][i] * innovation[k];
    memcpy(f->cov, next, sizeof next);
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9 * (1 + fabs(b))))
        fail_msg("%.17g is not %.17g", a, b);
}

static void assert_same(const struct sp_kalman *k, const struct full *f)
{
    for (int i = 0; i < M; i++) {
        assert_near(k->position[i], f->mean[i]);
        assert_near(k->velocity[i], f->mean[M + i]);
        assert_near(k->pp[i], f->cov[i][i]);
        assert_near(k->pv[i], f->cov[i][M + i]);
        assert_near(k->vv[i], f->cov[M + i][M + i]);
    }
}

static double noise(double scale)
{
    return scale * (2.0 * rand() / RAND_MAX - 1);
}

static void test_blocks_equal_the_whole_matrix(void **state)
{
    (void)state;
    srand(1);
    for (int run = 0; run < 20; run++) {
        double z[M] = {500 + noise(400), 300 + noise(200), 0.4 + noise(0.2), 150 + noise(100)};
        struct sp_kalman blocks;
        struct full whole;
        sp_kalman_init(&blocks, z);
        full_init(&whole, z);
        for (int step = 0; step < 100; step++) {
            sp_kalman_predict(&blocks, 1);
            full_predict(&whole);
            assert_same(&blocks, &whole);
            if (rand() % 4 == 0)
                continue;
            z[0] += 5 + noise(3);
            z[1] += noise(3);
            z[2] = 0.4 + noise(0.05);
            z[3] += noise(2);
            sp_kalman_update(&blocks, z);
            full_update(&whole, z);
            assert_same(&blocks, &whole);
        }
    }
}

static void test_a_long_step_is_that_many_single_ones(void **state)
{
    (void)state;
    const double z[M] = {100, 200, 0.5, 80}, later[M] = {110, 201, 0.5, 80};
    struct sp_kalman once, often;
    sp_kalman_init(&once, z);
    sp_kalman_predict(&once, 1);
    sp_kalman_update(&once, later);
    once.velocity[SP_KALMAN_HEIGHT] = 0; /* the noise scales with the height */
    often = once;
    sp_kalman_predict(&once, 7);
    for (int i = 0; i < 7; i++)
        sp_kalman_predict(&often, 1);
    for (int i = 0; i < M; i++) {
        assert_near(once.position[i], often.position[i]);
        assert_near(once.pp[i], often.pp[i]);
        assert_near(once.pv[i], often.pv[i]);
        assert_near(once.vv[i], often.vv[i]);
    }
}

static void test_no_time_changes_nothing(void **state)
{
    (void)state;
    const double z[M] = {100, 200, 0.5, 80};
    struct sp_kalman before, after;
    sp_kalman_init(&before, z);
    before.velocity[SP_KALMAN_CX] = 3;
    after = before;
    sp_kalman_predict(&after, 0);
    assert_memory_equal(&before, &after, sizeof before);
}

/* Steps between whole numbers must leave valid covariances. */
static void test_covariance_stays_positive(void **state)
{
    (void)state;
    const double z[M] = {100, 200, 0.5, 80};
    for (int tenths = 1; tenths < 50; tenths++) {
        struct sp_kalman k;
        sp_kalman_init(&k, z);
        for (int step = 0; step < 50; step++) {
            sp_kalman_predict(&k, tenths / 10.0);
            if (step % 3 == 0)
                sp_kalman_update(&k, z);
            for (int i = 0; i < M; i++) {
                assert_true(k.pp[i] > 0 && k.vv[i] > 0);
                assert_true(k.pp[i] * k.vv[i] - k.pv[i] * k.pv[i] > 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_equal_the_whole_matrix),
        cmocka_unit_test(test_a_long_step_is_that_many_single_ones),
        cmocka_unit_test(test_no_time_changes_nothing),
        cmocka_unit_test(test_covariance_stays_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
