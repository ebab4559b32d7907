#include "cluster/placement.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { MOST = 64 };

static char names[MOST][16];

/* `count` cameras without an owner. */
static void make_cameras(struct sp_placement_camera cameras[MOST], int count)
{
    for (int k = 0; k < count; k++) {
        snprintf(names[k], sizeof names[k], "camera-%d", k);
        cameras[k] = (struct sp_placement_camera){names[k], 1, -1};
    }
}

static void adopt(struct sp_placement_camera *cameras, int count, const int *node_of)
{
    for (int k = 0; k < count; k++)
        cameras[k].owner = node_of[k];
}

static int count_of(const int *node_of, int count, int node)
{
    int found = 0;
    for (int k = 0; k < count; k++)
        found += node_of[k] == node;
    return found;
}

static void test_no_node_runs_more_than_its_share_and_one(void **state)
{
    (void)state;
    struct sp_placement_node nodes[] = {{"a", 10, false}, {"b", 10, false}, {"c", 20, false}};
    struct sp_placement_camera cameras[MOST];
    int node_of[MOST];
    make_cameras(cameras, 48);
    assert_int_equal(sp_placement(nodes, 3, cameras, 48, node_of), 0);
    assert_in_range(count_of(node_of, 48, 0), 10, 12);
    assert_in_range(count_of(node_of, 48, 1), 10, 12);
    assert_in_range(count_of(node_of, 48, 2), 22, 24);
}

static void test_what_is_placed_stays(void **state)
{
    (void)state;
    struct sp_placement_node nodes[] = {{"a", 1, false}, {"b", 1, false}, {"c", 1, false}};
    struct sp_placement_camera cameras[MOST];
    int first[MOST], second[MOST];
    for (int count = 1; count < 20; count++) {
        make_cameras(cameras, count);
        sp_placement(nodes, 3, cameras, count, first);
        adopt(cameras, count, first);
        sp_placement(nodes, 3, cameras, count, second);
        assert_memory_equal(first, second, (size_t)count * sizeof first[0]);
    }
}

static void test_a_node_that_joins_gets_its_share_and_nothing_else_moves(void **state)
{
    (void)state;
    struct sp_placement_node nodes[] = {
        {"a", 1, false}, {"b", 1, false}, {"c", 1, false}, {"d", 1, false}};
    struct sp_placement_camera cameras[MOST];
    int before[MOST], after[MOST];
    make_cameras(cameras, 48);
    sp_placement(nodes, 3, cameras, 48, before);
    adopt(cameras, 48, before);
    sp_placement(nodes, 4, cameras, 48, after);
    assert_int_equal(count_of(after, 48, 3), 12);
    for (int k = 0; k < 48; k++)
        assert_true(after[k] == before[k] || after[k] == 3);
}

static void test_only_the_cameras_of_a_node_that_leaves_move(void **state)
{
    (void)state;
    struct sp_placement_node nodes[] = {{"a", 1, false}, {"b", 1, false}, {"c", 1, false}};
    struct sp_placement_camera cameras[MOST];
    int before[MOST], after[MOST];
    make_cameras(cameras, 48);
    sp_placement(nodes, 3, cameras, 48, before);
    adopt(cameras, 48, before);
    for (int k = 0; k < 48; k++)
        if (cameras[k].owner == 2)
            cameras[k].owner = -1;
    sp_placement(nodes, 2, cameras, 48, after);
    for (int k = 0; k < 48; k++)
        assert_true(before[k] == 2 ? after[k] < 2 : after[k] == before[k]);
    assert_int_equal(count_of(after, 48, 0), 24);
}

static void test_a_node_that_drains_runs_nothing(void **state)
{
    (void)state;
    struct sp_placement_node nodes[] = {{"a", 1, false}, {"b", 1, false}};
    struct sp_placement_camera cameras[MOST];
    int node_of[MOST];
    make_cameras(cameras, 9);
    sp_placement(nodes, 2, cameras, 9, node_of);
    adopt(cameras, 9, node_of);
    nodes[0].draining = true;
    sp_placement(nodes, 2, cameras, 9, node_of);
    assert_int_equal(count_of(node_of, 9, 1), 9);
    /* Where all drain, cameras rather run than not. */
    nodes[1].draining = true;
    sp_placement(nodes, 2, cameras, 9, node_of);
    assert_int_equal(count_of(node_of, 9, -1), 0);
}

static void test_costs_count(void **state)
{
    (void)state;
    struct sp_placement_node nodes[] = {{"a", 1, false}, {"b", 1, false}};
    struct sp_placement_camera cameras[MOST];
    int node_of[MOST];
    make_cameras(cameras, 9);
    cameras[0].cost = 8; /* as much as the other eight */
    sp_placement(nodes, 2, cameras, 9, node_of);
    assert_true(node_of[0] >= 0);
    assert_in_range(count_of(node_of, 9, node_of[0]), 1, 9);
    double load[2] = {0};
    for (int k = 0; k < 9; k++)
        load[node_of[k]] += cameras[k].cost;
    assert_true(load[0] < 16 && load[1] < 16);
}

static void test_without_a_node_nothing_is_placed(void **state)
{
    (void)state;
    struct sp_placement_camera cameras[MOST];
    int node_of[MOST];
    make_cameras(cameras, 3);
    assert_int_equal(sp_placement(NULL, 0, cameras, 3, node_of), 0);
    assert_int_equal(count_of(node_of, 3, -1), 3);
    /* An owner that is no node of the list. */
    cameras[0].owner = 7;
    struct sp_placement_node node = {"a", 1, false};
    assert_int_equal(sp_placement(&node, 1, cameras, 3, node_of), 0);
    assert_int_equal(count_of(node_of, 3, 0), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_node_runs_more_than_its_share_and_one),
        cmocka_unit_test(test_what_is_placed_stays),
        cmocka_unit_test(test_a_node_that_joins_gets_its_share_and_nothing_else_moves),
        cmocka_unit_test(test_only_the_cameras_of_a_node_that_leaves_move),
        cmocka_unit_test(test_a_node_that_drains_runs_nothing),
        cmocka_unit_test(test_costs_count),
        cmocka_unit_test(test_without_a_node_nothing_is_placed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
