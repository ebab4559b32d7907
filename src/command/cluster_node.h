/* This process as a node of a cluster: joins cluster/ with the pipeline and the hub.
 *
 * Data flow: cluster thread -> cameras added to and removed from the pipeline; the epoch of each ->
 * hub. Results of a camera reach the hub only while this node holds its lease. The cameras of the
 * node's own settings become cameras of the cluster unless they are there already. */
#pragma once

#include "cluster/cluster.h"
#include "config/settings.h"
#include "pipeline/pipeline.h"
#include "publish/hub.h"

struct sp_cluster_node;

/* `settings`: with CLUSTER_URL; copied. `port`: where the server listens. After the pipeline has
 * started; pipeline and hub outlive it. Errors of sp_cluster_open. */
int sp_cluster_node_open(struct sp_cluster_node **out, const struct sp_settings *settings, int port,
                         struct sp_pipeline *pipeline, struct sp_hub *hub, struct sp_error *err);

/* Gives the cameras away, while the pipeline still runs. NULL is allowed. */
void sp_cluster_node_stop(struct sp_cluster_node *node);
void sp_cluster_node_close(struct sp_cluster_node *node); /* NULL is allowed */

struct sp_cluster *sp_cluster_node_cluster(struct sp_cluster_node *node);

/* Whether results of this camera index may be published. Tracking workers. */
bool sp_cluster_node_publishes(const struct sp_cluster_node *node, int camera);

/* Applies cameras that were added to, changed in, or removed from this node's settings. */
void sp_cluster_node_reload(struct sp_cluster_node *node, const struct sp_settings *settings);
