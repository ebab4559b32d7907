/* Placement: which node of a cluster runs which camera.
 *
 * Pure: every node computes the same answer from the same view, so there is no leader. Nodes are
 * ranked for each camera by weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998, section 3; weights: -capacity / ln(hash)), and each node
 * has a limit: its share of all costs by capacity, plus one camera.
 *
 * A camera stays with its owner while that node is there, does not drain and is within its limit;
 * of a node over its limit the cameras that rank it lowest move. So a node that joins receives its
 * share and nothing else moves; the cameras of a node that leaves are spread over all others. */
#pragma once

#include <stdbool.h>

struct sp_placement_node {
    const char *name;
    double capacity; /* > 0, in the unit of cost */
    bool draining;   /* receives no camera, and keeps none that another node can run */
};

struct sp_placement_camera {
    const char *name;
    double cost; /* > 0 */
    int owner;   /* index of the node that runs it; -1: none */
};

/* Writes for each camera the index of its node to node_of[camera_count]; -1: there is no node.
 * SP_ERR_NO_MEMORY. */
int sp_placement(const struct sp_placement_node *nodes, int node_count,
                 const struct sp_placement_camera *cameras, int camera_count, int *node_of);
