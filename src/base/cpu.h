/* What this machine's processor can do, and how much of it this process is granted.
 *
 * Data flow: /proc/cpuinfo, the scheduler's affinity mask and the cgroup's quota -> struct sp_cpu.
 * The number of cores alone misleads in a container: a quota of 2 cores on a 64-core machine must
 * not start 64 threads. Values only; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sp_cpu {
    int cores_online;          /* of the machine */
    int cores_affinity;        /* that the scheduler may use for this process (cpusets too) */
    double cgroup_quota_cores; /* CPU time a wall second, of the tightest group; 0: no limit */
    int cores_usable;          /* the least of the three, the quota rounded; >= 1 */
    char model[128];           /* "AMD EPYC 9575F", or empty */
    bool avx2, avx512, avx512_vnni, avx512_bf16, avx512_fp16, avx_vnni;
    bool amx_bf16, amx_int8;
    bool neon, arm_dotprod, arm_fp16, arm_bf16, arm_i8mm, sve;
    char features[256]; /* those above that are there: "avx2 avx512 avx512_vnni" */
};

/* The file that holds the processor's description: /proc/cpuinfo, or what SPOTON_CPUINFO names.
 *
 * SPOTON_CPUINFO is for tests and for diagnosis: with the text of another machine's /proc/cpuinfo
 * this one chooses model and precision as that one would. It changes no core count. The engine
 * plugins read it too. */
const char *sp_cpu_info_path(void);

/* Never fails: what cannot be read stays 0 or empty. */
void sp_cpu_read(struct sp_cpu *cpu);

/* The parts of it, on given text, for tests and for odd machines. */

/* Model and instruction sets from the text of /proc/cpuinfo (x86 and Arm). */
void sp_cpu_parse_cpuinfo(struct sp_cpu *cpu, const char *text);

/* cgroup v2's cpu.max ("150000 100000" is 1.5, "max 100000" is 0: none). 0 for malformed text. */
double sp_cpu_parse_max(const char *text);

/* cgroup v1's cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us. */
double sp_cpu_parse_cfs(const char *quota_us, const char *period_us);

/* This process's group from the text of /proc/self/cgroup: of the v1 controller `controller`, or of
 * v2 when it is NULL. False when there is none. */
bool sp_cpu_parse_cgroup(const char *text, const char *controller, char *path, size_t path_bytes);

/* Where a cgroup file system is mounted, and which group its root is, from the text of
 * /proc/self/mountinfo: v1 with `controller`, v2 when it is NULL. Both of `bytes` bytes. */
bool sp_cpu_parse_mountinfo(const char *text, const char *controller, char *mount, char *root,
                            size_t bytes);

/* The tightest quota of this process's group and all groups above it, v1 and v2. All paths are
 * taken below `root` ("" is the machine itself). 0: none. */
double sp_cpu_read_quota(const char *root);

/* cores_usable of the three. */
int sp_cpu_usable(int cores_online, int cores_affinity, double cgroup_quota_cores);
