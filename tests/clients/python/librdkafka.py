"""One scenario per run: librdkafka.py BOOTSTRAP PREFIX SCENARIO, through confluent-kafka.

What the other Python client's program says of itself holds here too.
"""

import os
import signal
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

PATIENCE_S = 30


class Mismatch(Exception):
    """A check that did not hold."""


def same(what, found, expected):
    if found != expected:
        raise Mismatch(f"{what}: found {found!r}, expected {expected!r}")


def refused(expected, call):
    try:
        answer = call()
    except KafkaException as refusal:
        same("refused with", refusal.args[0].name(), expected)
        return
    raise Mismatch(f"not refused with {expected}: {answer!r}")


class Bench:
    """Where a scenario runs."""

    def __init__(self, bootstrap, prefix):
        self.bootstrap, self.prefix = bootstrap, f"{prefix}-librdkafka"
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def name(self, suffix):
        return f"{self.prefix}-{suffix}"

    def topic(self, suffix, partitions, **config):
        name = self.name(suffix)
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(PATIENCE_S)
        return name

    def producer(self, **more):
        return Producer({"bootstrap.servers": self.bootstrap, **{key.replace("_", "."): value for key, value in more.items()}})

    def consumer(self, group, **more):
        settings = {"bootstrap.servers": self.bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        return Consumer({**settings, **{key.replace("_", "."): value for key, value in more.items()}})

    def read(self, topic, partitions, isolation):
        """All values from the start to the end that the isolation level shows."""
        consumer = self.consumer(self.name("reader"), isolation_level=isolation, enable_partition_eof=True)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        found, at_end, deadline = [], set(), time.monotonic() + PATIENCE_S
        while len(at_end) < partitions:
            if time.monotonic() > deadline:
                raise Mismatch(f"{topic}: the ends of {at_end} alone were reached")
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
            elif message.error():
                raise KafkaException(message.error())
            else:
                found.append(message.value())
        consumer.close()
        return found


def acknowledged(producer, topic, values, partition=0):
    """Publishes and waits; gives the offsets."""
    offsets = []

    def told(error, message):
        offsets.append(error or message.offset())

    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=told)
    if producer.flush(PATIENCE_S):
        raise Mismatch(f"not everything was acknowledged: {offsets}")
    return offsets


def idempotent(bench):
    """An idempotent producer with many requests in flight: each record once, in order."""
    topic = bench.topic("idempotent", 1)
    values = [b"%d" % n for n in range(5000)]
    producer = bench.producer(enable_idempotence=True, linger_ms=0, batch_num_messages=50)
    same("offsets", acknowledged(producer, topic, values), list(range(5000)))
    same("values", bench.read(topic, 1, "read_uncommitted"), values)


def transactions(bench):
    """Transactions committed, aborted and fenced; a copy with its offsets in the transaction."""
    source, target, group = bench.topic("from", 2), bench.topic("to", 2), bench.name("group")
    writer = bench.producer(transactional_id=bench.name("writer"))
    writer.init_transactions(PATIENCE_S)
    ends = ((writer.commit_transaction, [b"0", b"1"]), (writer.abort_transaction, [b"no", b"no"]), (writer.commit_transaction, [b"2"]))
    for end, values in ends:
        writer.begin_transaction()
        acknowledged(writer, source, values)
        acknowledged(writer, source, values, partition=1)
        end(PATIENCE_S)
    writer.begin_transaction()
    acknowledged(writer, source, [b"open"])
    same("committed", sorted(bench.read(source, 2, "read_committed")), [b"0", b"0", b"1", b"1", b"2", b"2"])
    same("all there is", len(bench.read(source, 2, "read_uncommitted")), 11)

    heir = bench.producer(transactional_id=bench.name("writer"))
    heir.init_transactions(PATIENCE_S)
    refused("_FENCED", lambda: writer.commit_transaction(PATIENCE_S))

    for protocol in ("classic", "consumer"):
        copied, consumer = 0, bench.consumer(f"{group}-{protocol}", isolation_level="read_committed", group_protocol=protocol)
        consumer.subscribe([source])
        deadline = time.monotonic() + PATIENCE_S
        while copied < 6:
            if time.monotonic() > deadline:
                raise Mismatch(f"{copied} of 6 records were copied")
            message = consumer.poll(1)
            if message is None:
                continue
            heir.begin_transaction()
            heir.produce(target, message.value(), partition=message.partition())
            heir.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), PATIENCE_S)
            heir.commit_transaction(PATIENCE_S)
            copied += 1
        at = consumer.committed([TopicPartition(source, 1)], PATIENCE_S)[0].offset
        same("committed offset", at, consumer.position([TopicPartition(source, 1)])[0].offset)
        consumer.close()
    same("copied", sorted(bench.read(target, 2, "read_committed")), sorted([b"0", b"1", b"2"] * 4))


def admin(bench):
    """Topics, configs, offsets and groups as an administrator sees and changes them."""
    topic, group = bench.topic("admin", 3, **{"retention.ms": "3600000"}), bench.name("admin-group")
    refused("TOPIC_ALREADY_EXISTS", lambda: bench.topic("admin", 3))
    bench.admin.create_partitions([NewPartitions(topic, 5)])[topic].result(PATIENCE_S)
    deadline = time.monotonic() + 5
    while len(bench.admin.list_topics(topic).topics[topic].partitions) != 5:
        if time.monotonic() > deadline:
            raise Mismatch("five partitions never showed")

    def value(name):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return bench.admin.describe_configs([resource])[resource].result(PATIENCE_S)[name].value

    same("retention.ms", value("retention.ms"), "3600000")
    change = ConfigEntry("max.message.bytes", "65536", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    bench.admin.incremental_alter_configs([resource])[resource].result(PATIENCE_S)
    same("max.message.bytes", value("max.message.bytes"), "65536")

    acknowledged(bench.producer(), topic, [b"%d" % n for n in range(10)], partition=4)
    part = TopicPartition(topic, 4, 7)
    same("low watermark", bench.admin.delete_records([part])[part].result(PATIENCE_S).low_watermark, 7)
    for spec, offset in ((OffsetSpec.earliest(), 7), (OffsetSpec.latest(), 10)):
        asked = TopicPartition(topic, 4)
        same("offset", bench.admin.list_offsets({asked: spec})[asked].result(PATIENCE_S).offset, offset)

    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 4, 8)])
    bench.admin.alter_consumer_group_offsets([wanted])[group].result(PATIENCE_S)
    found = bench.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(PATIENCE_S)
    same("the group's offsets", [(at.topic, at.partition, at.offset) for at in found.topic_partitions], [(topic, 4, 8)])
    same("state", bench.admin.describe_consumer_groups([group])[group].result(PATIENCE_S).state.name, "EMPTY")
    bench.admin.delete_consumer_groups([group])[group].result(PATIENCE_S)
    refused("GROUP_ID_NOT_FOUND", lambda: bench.admin.delete_consumer_groups([group])[group].result(PATIENCE_S))

    same("brokers", len(bench.admin.describe_cluster().result(PATIENCE_S).nodes), 1)
    bench.admin.delete_topics([topic])[topic].result(PATIENCE_S)
    refused("UNKNOWN_TOPIC_OR_PART", lambda: bench.admin.delete_topics([topic])[topic].result(PATIENCE_S))


def leave(bench):
    """Begins a transaction, publishes a record in it, and goes away without a word."""
    topic = bench.topic("left", 1)
    producer = bench.producer(transactional_id=bench.name("leaver"))
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    acknowledged(producer, topic, [b"left behind"])
    os._exit(0)


def member(bench, topic, group, protocol):
    """One member of a group, of the classic or the consumer protocol: prints what it reads until it is told to stop."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    settings = {"bootstrap.servers": bench.bootstrap, "group.id": group, "auto.offset.reset": "earliest", "group.protocol": protocol}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    while not stop:
        for record in consumer.consume(500, 0.2):
            if record.error():
                raise KafkaException(record.error())
            sys.stdout.write(f"record {record.partition()} {record.offset()} {record.key().decode()}\n")
        sys.stdout.flush()
    consumer.close()


SCENARIOS = {f.__name__: f for f in (idempotent, transactions, admin, leave, member)}


def main():
    if len(sys.argv) < 4 or sys.argv[3] not in SCENARIOS:
        sys.exit(f"usage: librdkafka.py BOOTSTRAP PREFIX {'|'.join(SCENARIOS)} [ARGUMENT...]")
    try:
        SCENARIOS[sys.argv[3]](Bench(sys.argv[1], sys.argv[2]), *sys.argv[4:])
    except (Mismatch, KafkaException) as error:
        sys.exit(f"{sys.argv[3]}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
