/* Optimal assignment with a cost limit, on a sparse graph.
 *
 * Finds the pairs (row, column), each row and column at most once, that minimise
 *     sum of the pairs' costs + limit/2 for every row and every column left over,
 * as lap.lapjv(extend_cost=True, cost_limit=limit) does. This maximises the sum of (limit - cost).
 * A pair whose cost exceeds the limit is not an edge; one whose cost equals the limit is chosen if
 * that does not displace a better pair.
 *
 * Shortest augmenting paths with dual variables after R. Jonker and A. Volgenant, "A Shortest
 * Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38 (1987),
 * sections 3 and 5; each row has an additional column of its own for "left over". A search follows
 * edges only, so unconnected groups of boxes do not slow each other down.
 *
 * Data flow: begin, then add edges row by row, then solve. All memory is allocated in open,
 * for every possible pair; unused pages are never touched. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct sp_assign;

int sp_assign_open(struct sp_assign **out, int rows_max, int columns_max, struct sp_error *err);
void sp_assign_close(struct sp_assign *assign); /* NULL is allowed */

/* A new problem of rows x columns, within the maxima, without edges. */
void sp_assign_begin(struct sp_assign *assign, int rows, int columns, double limit);

/* Rows in ascending order, each pair once. Costs above the limit and NaN are ignored. */
void sp_assign_add(struct sp_assign *assign, int row, int column, double cost);

/* column_of_row[rows] and row_of_column[columns]: the partner or -1. Valid until the next begin. */
void sp_assign_solve(struct sp_assign *assign, const int **column_of_row,
                     const int **row_of_column);
