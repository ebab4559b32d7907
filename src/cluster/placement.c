#include "cluster/placement.h"

#include "base/error.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
    return (hash ^ 0xff) * 0x100000001b3ULL; /* the end counts: "ab","c" is not "a","bc" */
}

/* The higher, the better the node suits the camera. */
static double rank(const struct sp_placement_node *node, const char *camera)
{
    uint64_t x = hash_text(hash_text(0xcbf29ce484222325ULL, node->name), camera);
    /* FNV alone leaves similar names close together; the finalizer of splitmix64 spreads them. */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    double uniform = ((double)(x >> 11) + 0.5) / 9007199254740992.0;
    return -node->capacity / log(uniform);
}

struct ranked {
    double rank;
    int camera;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->camera - y->camera;
}

struct placement {
    const struct sp_placement_node *nodes;
    const struct sp_placement_camera *cameras;
    int node_count, camera_count;
    double *load, *limit;  /* [node_count] */
    struct ranked *ranked; /* [camera_count], scratch */
    int *node_of;
};

/* Nodes that drain count only if there is no other. */
static void set_limits(struct placement *p)
{
    double capacity = 0, cost = 0, largest = 0;
    for (int i = 0; i < p->node_count; i++)
        if (!p->nodes[i].draining)
            capacity += p->nodes[i].capacity;
    bool all_drain = capacity <= 0;
    for (int i = 0; all_drain && i < p->node_count; i++)
        capacity += p->nodes[i].capacity;
    for (int k = 0; k < p->camera_count; k++) {
        cost += p->cameras[k].cost;
        largest = fmax(largest, p->cameras[k].cost);
    }
    for (int i = 0; i < p->node_count; i++)
        p->limit[i] = p->nodes[i].draining && !all_drain
                          ? -1
                          : cost * p->nodes[i].capacity / capacity + largest * (1 - 1e-9);
}

/* Lets the cameras that rank the node lowest go until it is within its limit. */
static void shed(struct placement *p, int node)
{
    int count = 0;
    for (int k = 0; k < p->camera_count; k++)
        if (p->node_of[k] == node)
            p->ranked[count++] = (struct ranked){rank(&p->nodes[node], p->cameras[k].name), k};
    qsort(p->ranked, (size_t)count, sizeof *p->ranked, by_rank);
    for (int i = 0; i < count && p->load[node] > p->limit[node]; i++) {
        p->node_of[p->ranked[i].camera] = -1;
        p->load[node] -= p->cameras[p->ranked[i].camera].cost;
    }
}

/* To the node that ranks highest among those with room. The limits together exceed all costs by one
 * camera a node, so there is always one. */
static void assign(struct placement *p, int camera)
{
    const struct sp_placement_camera *c = &p->cameras[camera];
    int best = -1;
    double best_rank = 0;
    for (int i = 0; i < p->node_count; i++) {
        if (p->load[i] + c->cost > p->limit[i])
            continue;
        double r = rank(&p->nodes[i], c->name);
        if (best < 0 || r > best_rank) {
            best = i;
            best_rank = r;
        }
    }
    p->node_of[camera] = best;
    if (best >= 0)
        p->load[best] += c->cost;
}

int sp_placement(const struct sp_placement_node *nodes, int node_count,
                 const struct sp_placement_camera *cameras, int camera_count, int *node_of)
{
    struct placement p = {.nodes = nodes,
                          .cameras = cameras,
                          .node_count = node_count,
                          .camera_count = camera_count,
                          .node_of = node_of};
    p.load = calloc((size_t)node_count + 1, sizeof *p.load);
    p.limit = calloc((size_t)node_count + 1, sizeof *p.limit);
    p.ranked = calloc((size_t)camera_count + 1, sizeof *p.ranked);
    int result = p.load && p.limit && p.ranked ? SP_OK : SP_ERR_NO_MEMORY;
    if (result == SP_OK) {
        set_limits(&p);
        for (int k = 0; k < camera_count; k++) {
            int owner = cameras[k].owner;
            node_of[k] = owner >= 0 && owner < node_count ? owner : -1;
            if (node_of[k] >= 0)
                p.load[owner] += cameras[k].cost;
        }
        for (int i = 0; i < node_count; i++)
            if (p.load[i] > p.limit[i])
                shed(&p, i);
        for (int k = 0; k < camera_count; k++)
            if (node_of[k] < 0)
                assign(&p, k);
    }
    free(p.load);
    free(p.limit);
    free(p.ranked);
    return result;
}
