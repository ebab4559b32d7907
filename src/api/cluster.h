/* /api/v2/cluster, and requests for cameras that other nodes run. */
#pragma once

#include "api/internal.h"

void sp_cluster_overview(struct sp_call *call);
void sp_cluster_drain_node(struct sp_call *call);
void sp_cluster_undrain_node(struct sp_call *call);

/* True: the reply redirects to the node that runs this camera, or says that none does at the
 * moment. False: no cluster, or it has no such camera. */
bool sp_cluster_redirect(struct sp_call *call, const char *camera);

/* Adds a camera to the cluster, or removes it. False: no cluster. */
bool sp_cluster_adds(struct sp_call *call, const struct sp_camera_setting *setting);
bool sp_cluster_removes(struct sp_call *call, const char *camera);
