/* librdkafka's built-in mock broker in a process of its own, so that its processor time can be told from its client's.
 * Prints its address and stays until it is killed. It keeps only the newest few megabytes of a partition. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char error[256];
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), error, sizeof(error));
    if (!client) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(client, 1);
    printf("ready %s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    for (;;)
        pause();
}
