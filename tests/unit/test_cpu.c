#include "base/cpu.h"

#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool near(double a, double b)
{
    return a > b - 1e-9 && a < b + 1e-9;
}

static void test_quota_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double cores;
    } cases[] = {
        {"max 100000\n", 0},
        {"150000 100000\n", 1.5},
        {"50000 100000", 0.5},
        {"", 0},
        {"max", 0},
        {"100000", 0},
        {"100000 0", 0},
        {"-1 100000", 0},
        {"nonsense words", 0},
        {"400000 200000\n", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(near(sp_cpu_parse_max(cases[i].text), cases[i].cores));
    assert_true(near(sp_cpu_parse_cfs("-1\n", "100000\n"), 0));
    assert_true(near(sp_cpu_parse_cfs("250000\n", "100000\n"), 2.5));
    assert_true(near(sp_cpu_parse_cfs("250000\n", ""), 0));
}

static void test_usable_cores(void **state)
{
    (void)state;
    assert_int_equal(sp_cpu_usable(64, 64, 0), 64);
    assert_int_equal(sp_cpu_usable(64, 8, 0), 8);
    assert_int_equal(sp_cpu_usable(64, 64, 2), 2);
    assert_int_equal(sp_cpu_usable(64, 64, 2.4), 2);
    assert_int_equal(sp_cpu_usable(64, 64, 2.5), 3);
    assert_int_equal(sp_cpu_usable(64, 64, 0.1), 1);
    assert_int_equal(sp_cpu_usable(2, 2, 1.5), 2);
    assert_int_equal(sp_cpu_usable(2, 2, 16), 2);
    assert_int_equal(sp_cpu_usable(0, 0, 0), 1);
    assert_int_equal(sp_cpu_usable(-1, 4, 0), 1);
}

static void test_cgroup_lines(void **state)
{
    (void)state;
    static const char text[] = "12:cpuset:/sets\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n"
                               "0::/user.slice/a:b.scope\n";
    char path[64];
    assert_true(sp_cpu_parse_cgroup(text, "cpu", path, sizeof path));
    assert_string_equal(path, "/docker/abc");
    assert_true(sp_cpu_parse_cgroup(text, "cpuacct", path, sizeof path));
    assert_true(sp_cpu_parse_cgroup(text, NULL, path, sizeof path));
    assert_string_equal(path, "/user.slice/a:b.scope");
    assert_false(sp_cpu_parse_cgroup("12:cpuset:/\n", "cpu", path, sizeof path));
    assert_false(sp_cpu_parse_cgroup("12:cpuset:/\n", NULL, path, sizeof path));
    assert_false(sp_cpu_parse_cgroup("", NULL, path, sizeof path));
    assert_false(sp_cpu_parse_cgroup("0:\n0\n:::\n", NULL, path, sizeof path));
}

static void test_mount_lines(void **state)
{
    (void)state;
    static const char text[] =
        "21 1 0:3 / /proc rw - proc proc rw\n"
        "30 23 0:26 / /sys/fs/cgroup/cpuset rw shared:9 - cgroup cgroup rw,cpuset\n"
        "31 23 0:27 /docker/a /sys/fs/my\\040groups rw shared:9 master:1 - cgroup cgroup "
        "rw,cpu,cpuacct\n"
        "32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    char mount[64], root[64];
    assert_true(sp_cpu_parse_mountinfo(text, "cpu", mount, root, sizeof mount));
    assert_string_equal(mount, "/sys/fs/my groups");
    assert_string_equal(root, "/docker/a");
    assert_true(sp_cpu_parse_mountinfo(text, NULL, mount, root, sizeof mount));
    assert_string_equal(mount, "/sys/fs/cgroup/unified");
    assert_string_equal(root, "/");
    assert_false(sp_cpu_parse_mountinfo(text, "memory", mount, root, sizeof mount));
    assert_false(sp_cpu_parse_mountinfo("1 2 3\n - cgroup2\n\n", NULL, mount, root, sizeof mount));
}

/* A machine made of files. */
static char machine[] = "/tmp/spoton-cpu-XXXXXX";

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", machine, path);
    for (char *slash = whole + strlen(machine) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *walk)
{
    (void)about;
    (void)type;
    (void)walk;
    return remove(path);
}

static int make_machine(void **state)
{
    (void)state;
    snprintf(machine, sizeof machine, "/tmp/spoton-cpu-XXXXXX");
    return mkdtemp(machine) ? 0 : -1;
}

static int remove_machine(void **state)
{
    (void)state;
    return nftw(machine, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_the_tightest_group_binds(void **state)
{
    (void)state;
    assert_true(near(sp_cpu_read_quota(machine), 0)); /* no /proc at all */
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/proc/self/mountinfo", "32 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_true(near(sp_cpu_read_quota(machine), 0));
    put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    assert_true(near(sp_cpu_read_quota(machine), 0));
    put("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    assert_true(near(sp_cpu_read_quota(machine), 4));
    put("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    assert_true(near(sp_cpu_read_quota(machine), 2.5));
    put("/sys/fs/cgroup/a/b/c/cpu.max", "300000 100000\n");
    assert_true(near(sp_cpu_read_quota(machine), 2.5));
    put("/sys/fs/cgroup/other/cpu.max", "100000 100000\n"); /* not above us */
    assert_true(near(sp_cpu_read_quota(machine), 2.5));
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n"); /* a container's own root */
    assert_true(near(sp_cpu_read_quota(machine), 2));
}

static void test_old_groups_in_a_container(void **state)
{
    (void)state;
    /* the mount shows the container's group as its root; the path is the host's */
    put("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n0::/\n");
    put("/proc/self/mountinfo",
        "31 23 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_true(near(sp_cpu_read_quota(machine), 1.5));
    put("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", "100000\n");
    assert_true(near(sp_cpu_read_quota(machine), 0.5));
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "-1\n");
    assert_true(near(sp_cpu_read_quota(machine), 0));
}

static void test_cpuinfo_x86(void **state)
{
    (void)state;
    struct sp_cpu cpu = {0};
    sp_cpu_parse_cpuinfo(&cpu, "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Quick CPU @ 3 GHz\n"
                               "flags\t\t: fpu avx avx2 avx512f avx512_bf16 amx_int8 avx512_vnni\n"
                               "vmx flags\t: avx_vnni\n\nprocessor\t: 1\nmodel name\t: Other\n");
    assert_string_equal(cpu.model, "Quick CPU @ 3 GHz");
    assert_true(cpu.avx2 && cpu.avx512 && cpu.avx512_bf16 && cpu.avx512_vnni && cpu.amx_int8);
    assert_false(cpu.avx_vnni || cpu.amx_bf16 || cpu.avx512_fp16 || cpu.neon);
    assert_string_equal(cpu.features, "avx2 avx512 avx512_vnni avx512_bf16 amx_int8");
}

static void test_cpuinfo_arm(void **state)
{
    (void)state;
    struct sp_cpu cpu = {0};
    sp_cpu_parse_cpuinfo(&cpu, "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp bf16 i8mm\n"
                               "CPU implementer\t: 0x41");
    assert_true(cpu.neon && cpu.arm_fp16 && cpu.arm_dotprod && cpu.arm_bf16 && cpu.arm_i8mm);
    assert_false(cpu.sve || cpu.avx2);
    assert_string_equal(cpu.model, "");
    assert_string_equal(cpu.features, "neon dotprod fp16 bf16 i8mm");
    struct sp_cpu none = {0};
    sp_cpu_parse_cpuinfo(&none, "");
    assert_string_equal(none.features, "");
}

static void test_this_machine(void **state)
{
    (void)state;
    struct sp_cpu cpu;
    cpu_set_t now, one;
    sp_cpu_read(&cpu);
    assert_true(cpu.cores_online >= 1 && cpu.cores_affinity >= 1);
    assert_true(cpu.cores_usable >= 1 && cpu.cores_usable <= cpu.cores_affinity);
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    int first = 0;
    while (!CPU_ISSET(first, &now))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    sp_cpu_read(&cpu);
    assert_int_equal(sched_setaffinity(0, sizeof now, &now), 0);
    assert_int_equal(cpu.cores_affinity, 1);
    assert_int_equal(cpu.cores_usable, 1);
}

/* Choices as on another machine; the cores stay this one's. */
static void test_another_machines_description(void **state)
{
    (void)state;
    static const struct {
        const char *name, *features;
    } cases[] = {
        {"avx2", "avx2"},
        {"avx2-vnni", "avx2 avx_vnni"},
        {"avx512-vnni", "avx2 avx512 avx512_vnni"},
        {"avx512-bf16", "avx2 avx512 avx512_vnni avx512_bf16"},
        {"amx", "avx2 avx_vnni avx512 avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_int8"},
    };
    struct sp_cpu here, cpu;
    char path[4096], model[64];
    const char *before = getenv("SPOTON_CPUINFO");
    char *kept = before ? strdup(before) : NULL;
    sp_cpu_read(&here);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(path, sizeof path, "%s/tests/data/cpu/%s.txt", getenv("SPOTON_SOURCE_DIR"),
                 cases[i].name);
        snprintf(model, sizeof model, "simulated %s", cases[i].name);
        setenv("SPOTON_CPUINFO", path, 1);
        sp_cpu_read(&cpu);
        assert_string_equal(cpu.features, cases[i].features);
        assert_string_equal(cpu.model, model);
        assert_int_equal(cpu.cores_usable, here.cores_usable);
    }
    unsetenv("SPOTON_CPUINFO");
    assert_string_equal(sp_cpu_info_path(), "/proc/cpuinfo");
    if (kept)
        setenv("SPOTON_CPUINFO", kept, 1);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota_texts),
        cmocka_unit_test(test_usable_cores),
        cmocka_unit_test(test_cgroup_lines),
        cmocka_unit_test(test_mount_lines),
        cmocka_unit_test_setup_teardown(test_the_tightest_group_binds, make_machine,
                                        remove_machine),
        cmocka_unit_test_setup_teardown(test_old_groups_in_a_container, make_machine,
                                        remove_machine),
        cmocka_unit_test(test_cpuinfo_x86),
        cmocka_unit_test(test_cpuinfo_arm),
        cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_another_machines_description),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
