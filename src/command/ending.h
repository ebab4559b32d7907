/* Limits the time that the end of `spoton serve` takes.
 *
 * Data flow: serve -> sp_ending_begin -> sp_ending_step before each part that it closes, and then
 * nothing: the limit holds until the process is gone, including its exit handlers. A thread that
 * nothing stops waits for the limit, reports the step in which the end is, and ends the process as
 * a kill would, but with its status. The history and the outbox remain whole.
 *
 * One per process. */
#pragma once

/* From now on the process ends within limit_s, with `code`. */
void sp_ending_begin(int limit_s, int code);

/* What is closed from now on: a literal, "outputs". Any thread. */
void sp_ending_step(const char *what);
