/* Joins the lists of the nodes to one of the site. Pure. */
#pragma once

#include "api/peers_internal.h"

#include <jansson.h>

struct sp_peer_part {
    char node[SP_CLUSTER_NAME_BYTES];
    char why[400]; /* there is no reply; empty: there is one */
    json_t *reply; /* NULL: none */
};

/* The reply in JSON (malloc); `parts`: the first is this node's. NULL: out of memory.
 *
 * Cameras: those of the view, each as its owner describes it, with `node`. Counts are summed by
 * the name of the line or zone, as a camera that moved was counted by several nodes. Lines and
 * zones of a camera are those of its owner. */
char *sp_peer_lists_join(enum sp_peers_list list, const struct sp_peer_view *view,
                         const struct sp_peer_part *parts, int count);
