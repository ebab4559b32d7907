/* Hosts librdkafka's mock cluster, a protocol peer without Java, and consumes from it. Prints the
 * address of the brokers, then "TOPIC KEY ID PAYLOAD" for each message. A line "down" or "up" on
 * standard input takes the broker away or brings it back.
 *
 * cc kafka_mock.c -lrdkafka */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static rd_kafka_t *make(rd_kafka_type_t type, const char *const pairs[][2], size_t count)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], text, sizeof text) !=
            RD_KAFKA_CONF_OK)
            return NULL;
    return rd_kafka_new(type, conf, text, sizeof text);
}

static void print(const rd_kafka_message_t *m)
{
    const void *id = "";
    size_t bytes = 0;
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_header_get_last(headers, "id", &id, &bytes);
    printf("%s %.*s %.*s %.*s\n", rd_kafka_topic_name(m->rkt), (int)m->key_len,
           (const char *)m->key, (int)bytes, (const char *)id, (int)m->len,
           (const char *)m->payload);
}

int main(int argc, char **argv)
{
    const char *const host[][2] = {{"client.id", "mock"}};
    rd_kafka_t *owner = make(RD_KAFKA_PRODUCER, host, 1);
    rd_kafka_mock_cluster_t *cluster = owner ? rd_kafka_mock_cluster_new(owner, 1) : NULL;
    if (!cluster)
        return 1;
    const char *servers = rd_kafka_mock_cluster_bootstraps(cluster);
    for (int i = 1; i < argc; i++)
        rd_kafka_mock_topic_create(cluster, argv[i], 4, 1);
    printf("%s\n", servers);
    fflush(stdout);
    const char *const client[][2] = {
        {"bootstrap.servers", servers}, {"group.id", "test"}, {"auto.offset.reset", "earliest"}};
    rd_kafka_t *consumer = make(RD_KAFKA_CONSUMER, client, 3);
    if (!consumer)
        return 1;
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(argc);
    for (int i = 1; i < argc; i++)
        rd_kafka_topic_partition_list_add(topics, argv[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(consumer, topics);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    for (;;) {
        char line[16] = "";
        ssize_t got = read(STDIN_FILENO, line, sizeof line - 1);
        if (got == 0)
            return 0;
        if (got > 0 && strncmp(line, "down", 4) == 0)
            rd_kafka_mock_broker_set_down(cluster, 1);
        if (got > 0 && strncmp(line, "up", 2) == 0)
            rd_kafka_mock_broker_set_up(cluster, 1);
        rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 50);
        if (m && !m->err)
            print(m);
        if (m)
            rd_kafka_message_destroy(m);
        fflush(stdout);
    }
}
