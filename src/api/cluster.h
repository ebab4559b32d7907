/* /api/v2/cluster, and requests for cameras that other nodes run. */
#pragma once

#include "api/internal.h"
#include "api/peers.h"

void sp_cluster_overview(struct sp_call *call);
void sp_cluster_drain_node(struct sp_call *call);
void sp_cluster_undrain_node(struct sp_call *call);

/* True: the node that runs this camera replies, or the reply says why it cannot. False: no cluster,
 * or it has no such camera. */
bool sp_cluster_passes(struct sp_call *call, const char *camera);

/* Whether another node publishes the camera, so that this one at most prepares to run it. */
bool sp_cluster_is_elsewhere(struct sp_call *call, const char *camera);

/* True: call->json, this node's list, will be the reply together with those of the other nodes, or
 * the query is refused. False: no cluster, or another node asks, or ?local=1. */
bool sp_cluster_joins(struct sp_call *call, enum sp_peers_list list);

/* Adds a camera to the cluster, or removes it. False: no cluster. */
bool sp_cluster_adds(struct sp_call *call, const struct sp_camera_setting *setting);
bool sp_cluster_removes(struct sp_call *call, const char *camera);
