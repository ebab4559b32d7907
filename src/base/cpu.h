/* CPU features, and the cores granted to this process.
 *
 * Data flow: /proc/cpuinfo, the scheduler's affinity mask and the cgroup's quota -> struct sp_cpu.
 * In a container the number of cores is not enough: with a quota of 2 cores on a 64-core machine,
 * 64 threads would be wrong. Pure values; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sp_cpu {
    int cores_online;          /* of the machine */
    int cores_affinity;        /* allowed by the affinity mask, including cpusets */
    double cgroup_quota_cores; /* CPU seconds per second, smallest of all groups; 0: none */
    int cores_usable;          /* minimum of the three, the quota rounded; >= 1 */
    char model[128];           /* "AMD EPYC 9575F", or empty */
    bool avx2, avx512, avx512_vnni, avx512_bf16, avx512_fp16, avx_vnni;
    bool amx_bf16, amx_int8;
    bool neon, arm_dotprod, arm_fp16, arm_bf16, arm_i8mm, sve;
    char features[256]; /* those present: "avx2 avx512 avx512_vnni" */
};

/* The file that describes the CPU: /proc/cpuinfo, or SPOTON_CPUINFO if set.
 *
 * SPOTON_CPUINFO is for tests and diagnosis: with another machine's /proc/cpuinfo, spoton chooses
 * model and precision as on that machine. Core counts are not affected. The engine plugins read it
 * too. */
const char *sp_cpu_info_path(void);

/* Never fails: unreadable values are 0 or empty. */
void sp_cpu_read(struct sp_cpu *cpu);

/* Its parts, on given text, for tests. */

/* Model and instruction sets from the text of /proc/cpuinfo (x86 and Arm). */
void sp_cpu_parse_cpuinfo(struct sp_cpu *cpu, const char *text);

/* cgroup v2's cpu.max ("150000 100000" is 1.5, "max 100000" is 0: none). 0 for malformed text. */
double sp_cpu_parse_max(const char *text);

/* cgroup v1's cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us. */
double sp_cpu_parse_cfs(const char *quota_us, const char *period_us);

/* This process's group from the text of /proc/self/cgroup: of the v1 controller `controller`, or of
 * v2 if NULL. False: none. */
bool sp_cpu_parse_cgroup(const char *text, const char *controller, char *path, size_t path_bytes);

/* Mount point and root group of the cgroup file system, from the text of /proc/self/mountinfo: v1
 * with `controller`, v2 if NULL. Both buffers have `bytes` bytes. */
bool sp_cpu_parse_mountinfo(const char *text, const char *controller, char *mount, char *root,
                            size_t bytes);

/* The smallest quota of this process's group and its ancestors, v1 and v2. Paths are relative to
 * `root` ("" for the machine). 0: none. */
double sp_cpu_read_quota(const char *root);

/* cores_usable of the three. */
int sp_cpu_usable(int cores_online, int cores_affinity, double cgroup_quota_cores);
