#include "base/cpu.h"

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
    TEXT_BYTES = 1 << 16, /* enough for a machine's mounts and for the first processors */
};

/* The file's first bytes as text; false when it cannot be read. */
static bool read_text(const char *path, char *out, size_t out_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    while (used + 1 < out_bytes) {
        ssize_t n = read(fd, out + used, out_bytes - 1 - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    out[used] = '\0';
    close(fd);
    return used > 0;
}

static const struct {
    const char *kernel; /* its word in /proc/cpuinfo */
    const char *shown;
    size_t offset;
} features[] = {
    {"avx2", "avx2", offsetof(struct sp_cpu, avx2)},
    {"avx_vnni", "avx_vnni", offsetof(struct sp_cpu, avx_vnni)},
    {"avx512f", "avx512", offsetof(struct sp_cpu, avx512)},
    {"avx512_vnni", "avx512_vnni", offsetof(struct sp_cpu, avx512_vnni)},
    {"avx512_bf16", "avx512_bf16", offsetof(struct sp_cpu, avx512_bf16)},
    {"avx512_fp16", "avx512_fp16", offsetof(struct sp_cpu, avx512_fp16)},
    {"amx_bf16", "amx_bf16", offsetof(struct sp_cpu, amx_bf16)},
    {"amx_int8", "amx_int8", offsetof(struct sp_cpu, amx_int8)},
    {"asimd", "neon", offsetof(struct sp_cpu, neon)},
    {"asimddp", "dotprod", offsetof(struct sp_cpu, arm_dotprod)},
    {"asimdhp", "fp16", offsetof(struct sp_cpu, arm_fp16)},
    {"bf16", "bf16", offsetof(struct sp_cpu, arm_bf16)},
    {"i8mm", "i8mm", offsetof(struct sp_cpu, arm_i8mm)},
    {"sve", "sve", offsetof(struct sp_cpu, sve)},
};

static bool *feature_of(struct sp_cpu *cpu, size_t i)
{
    return (bool *)((char *)cpu + features[i].offset);
}

static void parse_flags(struct sp_cpu *cpu, const char *at, const char *end)
{
    while (at < end) {
        size_t n = strcspn(at, " \t\n");
        for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
            if (strlen(features[i].kernel) == n && memcmp(features[i].kernel, at, n) == 0)
                *feature_of(cpu, i) = true;
        at += n + 1;
    }
}

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

void sp_cpu_parse_cpuinfo(struct sp_cpu *cpu, const char *text)
{
    while (*text) {
        const char *end = text + strcspn(text, "\n");
        const char *colon = memchr(text, ':', (size_t)(end - text));
        const char *value = colon ? colon + 1 : end;
        while (value < end && *value == ' ')
            value++;
        if (begins(text, "model name") && cpu->model[0] == '\0')
            snprintf(cpu->model, sizeof cpu->model, "%.*s", (int)(end - value), value);
        if (begins(text, "flags") || begins(text, "Features"))
            parse_flags(cpu, value, end);
        text = *end ? end + 1 : end;
    }
    size_t used = 0;
    cpu->features[0] = '\0';
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (*feature_of(cpu, i))
            used += (size_t)snprintf(cpu->features + used, sizeof cpu->features - used, "%s%s",
                                     used ? " " : "", features[i].shown);
}

static double quota(const char *quota_us, const char *period_us)
{
    char *end;
    long long granted = strtoll(quota_us, &end, 10);
    if (end == quota_us || granted <= 0)
        return 0;
    long long period = strtoll(period_us, &end, 10);
    return end == period_us || period <= 0 ? 0 : (double)granted / (double)period;
}

double sp_cpu_parse_max(const char *text)
{
    const char *period = text + strcspn(text, " \t\n");
    return quota(text, period);
}

double sp_cpu_parse_cfs(const char *quota_us, const char *period_us)
{
    return quota(quota_us, period_us);
}

/* Is `word` one of the comma separated words in [list, end)? */
static bool lists(const char *list, const char *end, const char *word)
{
    size_t length = strlen(word);
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        size_t n = (size_t)((comma ? comma : end) - list);
        if (n == length && memcmp(list, word, n) == 0)
            return true;
        list += n + 1;
    }
    return false;
}

/* Lines "ID:CONTROLLERS:PATH"; v2's is "0::PATH" (cgroups(7)). */
bool sp_cpu_parse_cgroup(const char *text, const char *controller, char *path, size_t path_bytes)
{
    while (*text) {
        const char *end = text + strcspn(text, "\n");
        const char *list = memchr(text, ':', (size_t)(end - text));
        const char *after = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        if (after && (controller ? lists(list + 1, after, controller)
                                 : list == text + 1 && *text == '0' && after == list + 1)) {
            snprintf(path, path_bytes, "%.*s", (int)(end - after - 1), after + 1);
            return true;
        }
        text = *end ? end + 1 : end;
    }
    return false;
}

/* Blanks in mountinfo's paths are written as "\040". */
static void unescape(const char *from, size_t n, char *out, size_t out_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < n && used + 1 < out_bytes; i++) {
        if (from[i] == '\\' && i + 3 < n && from[i + 1] >= '0' && from[i + 1] <= '3') {
            out[used++] =
                (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 + (from[i + 3] - '0'));
            i += 3;
        } else {
            out[used++] = from[i];
        }
    }
    out[used] = '\0';
}

/* Lines "ID PARENT DEVICE ROOT MOUNT OPTIONS [FIELD...] - TYPE SOURCE SUPEROPTIONS" (proc(5)). */
bool sp_cpu_parse_mountinfo(const char *text, const char *controller, char *mount, char *root,
                            size_t bytes)
{
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        const char *end = text + strcspn(text, "\n");
        const char *word[5];
        size_t length[5];
        const char *at = text;
        int words = 0;
        for (; words < 5 && at < end; words++) {
            word[words] = at;
            length[words] = strcspn(at, " \n");
            at += length[words] + (at + length[words] < end);
        }
        const char *dash = memmem(at, (size_t)(end - at), " - ", 3);
        if (words < 5 || !dash)
            continue;
        const char *type = dash + 3;
        const char *source = memchr(type, ' ', (size_t)(end - type));
        const char *super = source ? memchr(source + 1, ' ', (size_t)(end - source - 1)) : NULL;
        if (!super || !begins(type, controller ? "cgroup " : "cgroup2 "))
            continue;
        if (controller && !lists(super + 1, end, controller))
            continue;
        unescape(word[3], length[3], root, bytes);
        unescape(word[4], length[4], mount, bytes);
        return true;
    }
    return false;
}

static double read_group(const char *folder, bool v1)
{
    char path[PATH_BYTES + 64], first[128], second[128];
    snprintf(path, sizeof path, "%s/%s", folder, v1 ? "cpu.cfs_quota_us" : "cpu.max");
    if (!read_text(path, first, sizeof first))
        return 0;
    if (!v1)
        return sp_cpu_parse_max(first);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    return read_text(path, second, sizeof second) ? sp_cpu_parse_cfs(first, second) : 0;
}

static double tighter(double a, double b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* From the group up to the mount's root: a limit of any of them binds. */
static double read_groups(const char *top, const char *group, bool v1)
{
    char folder[PATH_BYTES];
    int n = snprintf(folder, sizeof folder, "%s%s", top, group);
    size_t top_bytes = strlen(top);
    double tightest = 0;
    if (n < 0 || (size_t)n >= sizeof folder)
        return 0;
    for (;;) {
        tightest = tighter(tightest, read_group(folder, v1));
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top_bytes)
            return tightest;
        *slash = '\0';
    }
}

static double read_hierarchy(const char *root, const char *cgroup, const char *mounts,
                             const char *controller)
{
    char group[PATH_BYTES], mount[PATH_BYTES], mounted[PATH_BYTES], top[PATH_BYTES * 2];
    if (!sp_cpu_parse_cgroup(cgroup, controller, group, sizeof group) ||
        !sp_cpu_parse_mountinfo(mounts, controller, mount, mounted, sizeof mount))
        return 0;
    /* In a container the mount's root may be the group itself, named as the host names it. */
    const char *below = group;
    size_t mounted_bytes = strlen(mounted);
    if (strcmp(mounted, "/") != 0 && strncmp(group, mounted, mounted_bytes) == 0 &&
        (group[mounted_bytes] == '/' || group[mounted_bytes] == '\0'))
        below = group + mounted_bytes;
    snprintf(top, sizeof top, "%s%s", root, mount);
    return read_groups(top, strcmp(below, "/") == 0 ? "" : below, controller != NULL);
}

double sp_cpu_read_quota(const char *root)
{
    char path[PATH_BYTES];
    char *cgroup = malloc(TEXT_BYTES), *mounts = malloc(TEXT_BYTES);
    double tightest = 0;
    bool readable = cgroup && mounts;
    if (readable) {
        snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
        readable = read_text(path, cgroup, TEXT_BYTES);
    }
    if (readable) {
        snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
        readable = read_text(path, mounts, TEXT_BYTES);
    }
    if (readable)
        tightest = tighter(read_hierarchy(root, cgroup, mounts, NULL),
                           read_hierarchy(root, cgroup, mounts, "cpu"));
    free(cgroup);
    free(mounts);
    return tightest;
}

/* Masks of more than 1024 processors need a larger set; the kernel says so with EINVAL. */
static int read_affinity(void)
{
    for (int cpus = 1024; cpus <= 1 << 18; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
        if (!set)
            return 0;
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 0;
}

int sp_cpu_usable(int cores_online, int cores_affinity, double cgroup_quota_cores)
{
    int usable = cores_online > 0 ? cores_online : 1;
    if (cores_affinity > 0 && cores_affinity < usable)
        usable = cores_affinity;
    /* Rounded: one thread more than the quota is stopped for part of every period, one less leaves
     * time unused; the nearest loses least. */
    if (cgroup_quota_cores > 0 && cgroup_quota_cores < usable)
        usable = (int)lround(cgroup_quota_cores);
    return usable < 1 ? 1 : usable;
}

const char *sp_cpu_info_path(void)
{
    const char *path = getenv("SPOTON_CPUINFO");
    return path && path[0] ? path : "/proc/cpuinfo";
}

void sp_cpu_read(struct sp_cpu *cpu)
{
    *cpu = (struct sp_cpu){0};
    char *text = malloc(TEXT_BYTES);
    if (text && read_text(sp_cpu_info_path(), text, TEXT_BYTES))
        sp_cpu_parse_cpuinfo(cpu, text);
    free(text);
    if (cpu->model[0] == '\0') /* Arm boards name themselves here */
        read_text("/proc/device-tree/model", cpu->model, sizeof cpu->model);
    cpu->cores_online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpu->cores_affinity = read_affinity();
    cpu->cgroup_quota_cores = sp_cpu_read_quota("");
    cpu->cores_usable =
        sp_cpu_usable(cpu->cores_online, cpu->cores_affinity, cpu->cgroup_quota_cores);
}
