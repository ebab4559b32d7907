#include "base/assign.h"

#include "unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE_MAX = 48 };

struct problem {
    int rows, columns;
    double limit;
    double cost[SIDE_MAX][SIDE_MAX];
};

static struct sp_assign *assign;
static const int *column_of_row, *row_of_column;

static int set_up(void **state)
{
    (void)state;
    return sp_assign_open(&assign, SIDE_MAX, SIDE_MAX, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    sp_assign_close(assign);
    return 0;
}

static void solve(const struct problem *p)
{
    sp_assign_begin(assign, p->rows, p->columns, p->limit);
    for (int r = 0; r < p->rows; r++)
        for (int c = 0; c < p->columns; c++)
            sp_assign_add(assign, r, c, p->cost[r][c]);
    sp_assign_solve(assign, &column_of_row, &row_of_column);
}

/* The objective of lapjv: costs of the pairs + limit/2 for each unmatched row or column. Also
 * checks that both directions have the same pairs. */
static double total_of_result(const struct problem *p)
{
    double total = 0;
    int pairs = 0;
    for (int r = 0; r < p->rows; r++) {
        int c = column_of_row[r];
        if (c < 0)
            continue;
        assert_in_range(c, 0, p->columns - 1);
        assert_int_equal(row_of_column[c], r);
        total += p->cost[r][c];
        pairs++;
    }
    int matched_columns = 0;
    for (int c = 0; c < p->columns; c++)
        matched_columns += row_of_column[c] >= 0;
    assert_int_equal(matched_columns, pairs);
    return total + p->limit / 2 * (p->rows + p->columns - 2 * pairs);
}

/* Every possible choice. */
static double best_by_trial(const struct problem *p, int row, bool *taken)
{
    if (row == p->rows) {
        double left_over = 0;
        for (int c = 0; c < p->columns; c++)
            left_over += taken[c] ? 0 : p->limit / 2;
        return left_over;
    }
    double best = p->limit / 2 + best_by_trial(p, row + 1, taken);
    for (int c = 0; c < p->columns; c++) {
        if (taken[c])
            continue;
        taken[c] = true;
        best = fmin(best, p->cost[row][c] + best_by_trial(p, row + 1, taken));
        taken[c] = false;
    }
    return best;
}

/* The optimum of the extended square matrix, by the Hungarian method in its plainest form. */
static double best_by_hungarian(const struct problem *p)
{
    int n = p->rows + p->columns;
    double u[2 * SIDE_MAX + 1] = {0}, v[2 * SIDE_MAX + 1] = {0};
    int row_at[2 * SIDE_MAX + 1] = {0}, way[2 * SIDE_MAX + 1] = {0};
    double total = 0;
#define COST(i, j)                                                                                 \
    ((i) < p->rows && (j) < p->columns     ? p->cost[i][j]                                         \
     : (i) >= p->rows && (j) >= p->columns ? 0                                                     \
                                           : p->limit / 2)
    for (int i = 1; i <= n; i++) {
        double least[2 * SIDE_MAX + 1];
        bool used[2 * SIDE_MAX + 1] = {false};
        for (int j = 0; j <= n; j++)
            least[j] = INFINITY;
        int at = 0;
        row_at[0] = i;
        do {
            used[at] = true;
            double delta = INFINITY;
            int next = 0;
            for (int j = 1; j <= n; j++) {
                if (used[j])
                    continue;
                double reduced = COST(row_at[at] - 1, j - 1) - u[row_at[at]] - v[j];
                if (reduced < least[j]) {
                    least[j] = reduced;
                    way[j] = at;
                }
                if (least[j] < delta) {
                    delta = least[j];
                    next = j;
                }
            }
            for (int j = 0; j <= n; j++) {
                if (used[j]) {
                    u[row_at[j]] += delta;
                    v[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            }
            at = next;
        } while (row_at[at] != 0);
        while (at) {
            row_at[at] = row_at[way[at]];
            at = way[at];
        }
    }
    for (int j = 1; j <= n; j++)
        total += COST(row_at[j] - 1, j - 1);
#undef COST
    return total;
}

static double random_unit(void)
{
    return (double)rand() / RAND_MAX;
}

static void fill(struct problem *p, int rows, int columns, int steps)
{
    const double limits[] = {0.3, 0.5, 0.7, 0.8, 1.0};
    p->rows = rows;
    p->columns = columns;
    p->limit = limits[rand() % 5];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            p->cost[r][c] = steps ? (double)(rand() % (steps + 1)) / steps : random_unit();
}

static void test_small_problems_equal_trial(void **state)
{
    (void)state;
    srand(2);
    for (int run = 0; run < 4000; run++) {
        struct problem p;
        bool taken[SIDE_MAX] = {false};
        fill(&p, rand() % 6, rand() % 6, run % 3 == 0 ? 10 : 0); /* every third full of ties */
        solve(&p);
        assert_true(fabs(total_of_result(&p) - best_by_trial(&p, 0, taken)) < 1e-12);
    }
}

static void test_large_problems_equal_the_hungarian_method(void **state)
{
    (void)state;
    srand(3);
    for (int run = 0; run < 150; run++) {
        struct problem p;
        fill(&p, 1 + rand() % SIDE_MAX, 1 + rand() % SIDE_MAX, run % 3 == 0 ? 20 : 0);
        solve(&p);
        assert_true(fabs(total_of_result(&p) - best_by_hungarian(&p)) < 1e-9);
    }
}

/* Not the best assignment with pairs above the limit removed, which would be (0,1), (1,0). */
static void test_the_limit_is_part_of_the_problem(void **state)
{
    (void)state;
    const struct problem p = {.rows = 2, .columns = 2, .limit = 0.8, .cost = {{0, 0.45}, {0.5, 1}}};
    solve(&p);
    assert_int_equal(column_of_row[0], 0);
    assert_int_equal(column_of_row[1], -1);
    assert_int_equal(row_of_column[1], -1);
}

static void test_a_cost_of_just_the_limit_is_matched(void **state)
{
    (void)state;
    struct problem p = {.rows = 1, .columns = 1, .limit = 0.8, .cost = {{0.8}}};
    solve(&p);
    assert_int_equal(column_of_row[0], 0);
    p.cost[0][0] = nextafter(0.8, 1);
    solve(&p);
    assert_int_equal(column_of_row[0], -1);
}

static void test_what_is_no_number_is_no_edge(void **state)
{
    (void)state;
    const struct problem p = {.rows = 2, .columns = 1, .limit = 0.8, .cost = {{NAN}, {0.2}}};
    solve(&p);
    assert_int_equal(column_of_row[0], -1);
    assert_int_equal(column_of_row[1], 0);
}

static void test_empty_sides(void **state)
{
    (void)state;
    const struct problem no_rows = {.rows = 0, .columns = 3, .limit = 0.8};
    solve(&no_rows);
    assert_int_equal(row_of_column[2], -1);
    const struct problem no_columns = {.rows = 3, .columns = 0, .limit = 0.8};
    solve(&no_columns);
    assert_int_equal(column_of_row[2], -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_problems_equal_trial),
        cmocka_unit_test(test_large_problems_equal_the_hungarian_method),
        cmocka_unit_test(test_the_limit_is_part_of_the_problem),
        cmocka_unit_test(test_a_cost_of_just_the_limit_is_matched),
        cmocka_unit_test(test_what_is_no_number_is_no_edge),
        cmocka_unit_test(test_empty_sides),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
