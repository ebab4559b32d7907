#include "base/assign.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

struct edge {
    double gain; /* cost - limit, <= 0: what the pair adds to the total */
    int column;
};

struct sp_assign {
    int rows_max, columns_max;
    int rows, columns;
    double limit;

    struct edge *edges; /* grouped by row */
    size_t edge_count;
    size_t *first_edge;   /* [rows + 1] */
    int last_row;         /* the row that edges are being added to */
    int *column_of_row;   /* [rows] */
    double *matched_gain; /* [rows] of the edge to column_of_row */
    int *row_of_column;   /* [columns] */
    double *column_dual;  /* [columns] <= 0 */

    /* One search. */
    double *distance;  /* [columns] */
    int *predecessor;  /* [columns] the row from which a column is reached */
    int *touched;      /* columns reached: first the scanned ones, then the open ones */
    uint64_t *seen_in; /* [columns] the search that reached it last */
    uint64_t *tree_in; /* [columns] the search that scanned it last */
    uint64_t search;
};

int sp_assign_open(struct sp_assign **out, int rows_max, int columns_max, struct sp_error *err)
{
    struct sp_assign *a = calloc(1, sizeof *a);
    if (!a)
        return sp_fail(err, SP_ERR_NO_MEMORY, "assignment: out of memory");
    size_t rows = (size_t)rows_max, columns = (size_t)columns_max;
    a->rows_max = rows_max;
    a->columns_max = columns_max;
    a->edges = malloc(rows * columns * sizeof *a->edges);
    a->first_edge = malloc((rows + 1) * sizeof *a->first_edge);
    a->column_of_row = malloc(rows * sizeof *a->column_of_row);
    a->matched_gain = malloc(rows * sizeof *a->matched_gain);
    a->row_of_column = malloc(columns * sizeof *a->row_of_column);
    a->column_dual = malloc(columns * sizeof *a->column_dual);
    a->distance = malloc(columns * sizeof *a->distance);
    a->predecessor = malloc(columns * sizeof *a->predecessor);
    a->touched = malloc(columns * sizeof *a->touched);
    a->seen_in = calloc(columns, sizeof *a->seen_in);
    a->tree_in = calloc(columns, sizeof *a->tree_in);
    if (!a->edges || !a->first_edge || !a->column_of_row || !a->matched_gain || !a->row_of_column ||
        !a->column_dual || !a->distance || !a->predecessor || !a->touched || !a->seen_in ||
        !a->tree_in) {
        sp_assign_close(a);
        return sp_fail(err, SP_ERR_NO_MEMORY, "assignment of %d x %d: out of memory", rows_max,
                       columns_max);
    }
    *out = a;
    return SP_OK;
}

void sp_assign_close(struct sp_assign *assign)
{
    if (!assign)
        return;
    free(assign->edges);
    free(assign->first_edge);
    free(assign->column_of_row);
    free(assign->matched_gain);
    free(assign->row_of_column);
    free(assign->column_dual);
    free(assign->distance);
    free(assign->predecessor);
    free(assign->touched);
    free(assign->seen_in);
    free(assign->tree_in);
    free(assign);
}

void sp_assign_begin(struct sp_assign *assign, int rows, int columns, double limit)
{
    assert(rows >= 0 && rows <= assign->rows_max);
    assert(columns >= 0 && columns <= assign->columns_max);
    assign->rows = rows;
    assign->columns = columns;
    assign->limit = limit;
    assign->edge_count = 0;
    assign->last_row = 0;
    assign->first_edge[0] = 0;
}

static void finish_rows_before(struct sp_assign *a, int row)
{
    while (a->last_row < row)
        a->first_edge[++a->last_row] = a->edge_count;
}

void sp_assign_add(struct sp_assign *assign, int row, int column, double cost)
{
    if (!(cost <= assign->limit))
        return;
    assert(row >= assign->last_row && row < assign->rows && column < assign->columns);
    finish_rows_before(assign, row);
    assign->edges[assign->edge_count++] = (struct edge){cost - assign->limit, column};
}

/* The end of a search: a free column, or (column < 0) a row that is to be left over. */
struct path_end {
    double distance;
    int column, row;
};

/* Reaches columns over the edges of `row`. `base`: what a path costs up to the row, less the row's
 * dual value. */
static int reach_from(struct sp_assign *a, int row, double base, int touched_count)
{
    for (size_t e = a->first_edge[row]; e < a->first_edge[row + 1]; e++) {
        int column = a->edges[e].column;
        if (a->tree_in[column] == a->search)
            continue; /* by rounding alone it could seem nearer now */
        double distance = base + a->edges[e].gain - a->column_dual[column];
        if (a->seen_in[column] != a->search) {
            a->seen_in[column] = a->search;
            a->touched[touched_count++] = column;
        } else if (distance >= a->distance[column]) {
            continue;
        }
        a->distance[column] = distance;
        a->predecessor[column] = row;
    }
    return touched_count;
}

/* Dijkstra from the unmatched `start`. The touched columns [0, *scanned) are on the tree. */
static struct path_end find_shortest_path(struct sp_assign *a, int start, int *scanned)
{
    struct path_end best = {.distance = 0, .column = -1, .row = start};
    a->search++;
    *scanned = 0;
    int touched_count = reach_from(a, start, 0, 0);
    while (*scanned < touched_count) {
        int nearest = *scanned;
        for (int t = *scanned + 1; t < touched_count; t++) {
            double less = a->distance[a->touched[t]] - a->distance[a->touched[nearest]];
            /* On a tie a free column ends the search and makes one more pair. */
            if (less < 0 || (less == 0 && a->row_of_column[a->touched[t]] < 0))
                nearest = t;
        }
        int column = a->touched[nearest];
        double distance = a->distance[column];
        if (distance > best.distance)
            break;
        if (a->row_of_column[column] < 0)
            return (struct path_end){.distance = distance, .column = column};
        a->touched[nearest] = a->touched[*scanned];
        a->touched[(*scanned)++] = column;
        a->tree_in[column] = a->search;

        int row = a->row_of_column[column];
        double base = distance - (a->matched_gain[row] - a->column_dual[column]);
        if (base < best.distance)
            best = (struct path_end){.distance = base, .column = -1, .row = row};
        touched_count = reach_from(a, row, base, touched_count);
    }
    return best;
}

static double gain_of(const struct sp_assign *a, int row, int column)
{
    size_t e = a->first_edge[row];
    while (a->edges[e].column != column)
        e++;
    return a->edges[e].gain;
}

/* Turns the pairs along the path over: back from its end to the row that it started from. */
static void augment(struct sp_assign *a, struct path_end end, int start)
{
    int column = end.column;
    if (column < 0) {
        column = a->column_of_row[end.row];
        a->column_of_row[end.row] = -1;
        if (end.row == start)
            return;
    }
    for (;;) {
        int row = a->predecessor[column];
        int given_up = a->column_of_row[row];
        a->column_of_row[row] = column;
        a->matched_gain[row] = gain_of(a, row, column);
        a->row_of_column[column] = row;
        if (row == start)
            return;
        column = given_up;
    }
}

void sp_assign_solve(struct sp_assign *assign, const int **column_of_row, const int **row_of_column)
{
    finish_rows_before(assign, assign->rows);
    for (int row = 0; row < assign->rows; row++)
        assign->column_of_row[row] = -1;
    for (int column = 0; column < assign->columns; column++) {
        assign->row_of_column[column] = -1;
        assign->column_dual[column] = 0;
    }
    for (int row = 0; row < assign->rows; row++) {
        int scanned;
        struct path_end end = find_shortest_path(assign, row, &scanned);
        for (int t = 0; t < scanned; t++) {
            int column = assign->touched[t];
            assign->column_dual[column] += assign->distance[column] - end.distance;
        }
        augment(assign, end, row);
    }
    *column_of_row = assign->column_of_row;
    *row_of_column = assign->row_of_column;
}
