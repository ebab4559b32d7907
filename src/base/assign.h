/* Optimal assignment with a cost limit, on a sparse graph.
 *
 * Finds the pairs (row, column), each row and column at most once, that minimise
 *     sum of the pairs' costs + limit/2 for every row and every column left over,
 * which is what lap.lapjv(extend_cost=True, cost_limit=limit) minimises, and the same as maximising
 * the sum of (limit - cost). A pair whose cost is above the limit can never pay and is no edge; one
 * whose cost equals the limit is taken where nothing better is lost by it.
 *
 * Shortest augmenting paths with dual variables after R. Jonker and A. Volgenant, "A Shortest
 * Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38 (1987),
 * sections 3 and 5; every row has in addition a column of its own that stands for "left over". As
 * a search only ever walks along edges, unconnected groups of boxes cost nothing to each other.
 *
 * Data flow: begin, then add edges row by row, then solve. All memory is taken in open: room for
 * every pair, of which only what is used is ever touched. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct sp_assign;

int sp_assign_open(struct sp_assign **out, int rows_max, int columns_max, struct sp_error *err);
void sp_assign_close(struct sp_assign *assign); /* NULL is fine */

/* A new problem of rows x columns, within the maxima, without edges. */
void sp_assign_begin(struct sp_assign *assign, int rows, int columns, double limit);

/* Rows in rising order, a pair once. A cost above the limit, or no number, is left out. */
void sp_assign_add(struct sp_assign *assign, int row, int column, double cost);

/* column_of_row[rows] and row_of_column[columns]: the partner or -1. Valid until the next begin. */
void sp_assign_solve(struct sp_assign *assign, const int **column_of_row,
                     const int **row_of_column);
