"""One scenario per run: client.py BOOTSTRAP PREFIX SCENARIO [ARGUMENT...], through kafka-python.

Everything a scenario creates is named after PREFIX. Exit code 0 means that every check held; otherwise the last
line on standard error names the first that did not. Client settings stay at their defaults, but for what a
scenario is about.
"""

import signal
import socket
import struct
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.structs import OffsetAndMetadata

PATIENCE_S = 30
FIRST_TIMESTAMP = 946_684_800_000


class Mismatch(Exception):
    """A check that did not hold."""


def same(what, found, expected):
    if found != expected:
        raise Mismatch(f"{what}: found {found!r}, expected {expected!r}")


def stocks(bench, csv):
    """Prices by symbol, published to a topic that nobody created, read back field by field."""
    topic = bench.name("stocks")
    lines = open(csv, encoding="utf-8").read().splitlines()[1:]
    if len(lines) < 500:
        raise Mismatch(f"{csv} has only {len(lines)} rows")
    sent, futures = [], []
    with KafkaProducer(bootstrap_servers=bench.bootstrap) as producer:
        for row, line in enumerate(lines):
            key = line.split(",")[0].encode()
            headers = [("source", b"vega-datasets"), ("row", str(row).encode())]
            sent.append((key, line.encode(), FIRST_TIMESTAMP + row * 1000, headers))
            futures.append(producer.send(topic, key=key, value=line.encode(), headers=headers, timestamp_ms=sent[-1][2]))
        missing = {}
        for row, future in enumerate(futures):
            at = future.get(timeout=PATIENCE_S)
            place = (at.partition, at.offset)
            if place in missing:
                raise Mismatch(f"rows {missing[place]} and {row} were both acknowledged at {place}")
            missing[place] = row

    consumer = KafkaConsumer(bootstrap_servers=bench.bootstrap, consumer_timeout_ms=PATIENCE_S * 1000)
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    ends = consumer.end_offsets(partitions)
    same("starts", set(consumer.beginning_offsets(partitions).values()), {0})
    same("ends", {p.partition: ends[p] for p in partitions}, {p.partition: sum(1 for q, _ in missing if q == p.partition) for p in partitions})
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    last = {}
    for record in consumer:
        place = (record.partition, record.offset)
        if place not in missing:
            raise Mismatch(f"nobody wrote a record at {place}, or it came twice")
        row = missing.pop(place)
        found = (record.key, record.value, record.timestamp, [tuple(header) for header in record.headers])
        same("key, value, timestamp and headers", found, sent[row])
        if last.get(record.key, -1) >= row:
            raise Mismatch(f"{record.key}: row {row} came after row {last[record.key]}")
        last[record.key] = row
        if not missing:
            break
    same("records that never arrived", len(missing), 0)
    if len(partitions) == 1:
        half = len(sent) // 2
        found = consumer.offsets_for_times({partitions[0]: sent[half][2]})[partitions[0]]
        same("offset for the time of the middle row", (found.offset, found.timestamp), (half, sent[half][2]))
    consumer.close()


def resume(bench):
    """A consumer commits part of a topic and leaves; the next one of its group goes on exactly there."""
    topic, group, records, first_share = bench.name("resume"), bench.name("resume-group"), 300, 100
    create(bench, topic, "3")
    with KafkaProducer(bootstrap_servers=bench.bootstrap) as producer:
        futures = [producer.send(topic, key=b"%d" % n, value=b"value %d" % n) for n in range(records)]
        for future in futures:
            future.get(timeout=PATIENCE_S)
    seen = set()
    for share in (first_share, records - first_share):
        consumer = KafkaConsumer(
            topic,
            bootstrap_servers=bench.bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        deadline, taken = time.monotonic() + PATIENCE_S, 0
        while taken < share:
            if time.monotonic() > deadline:
                raise Mismatch(f"record {taken} of {share} did not arrive")
            for polled in consumer.poll(timeout_ms=1000, max_records=share - taken).values():
                for record in polled:
                    if record.value in seen:
                        raise Mismatch(f"{record.value} was read twice in spite of its commit")
                    seen.add(record.value)
                    taken += 1
        consumer.commit()
        for partition in consumer.assignment():
            same("committed offset", consumer.committed(partition), consumer.position(partition))
        consumer.close()
    same("different values read", len(seen), records)


def transactions(bench):
    """Transactions committed, aborted and fenced; a copy with its offsets in the transaction."""
    source, target, group = bench.name("txn-from"), bench.name("txn-to"), bench.name("txn-group")
    create(bench, source, "2")
    create(bench, target, "2")

    def producer(name):
        return KafkaProducer(bootstrap_servers=bench.bootstrap, transactional_id=bench.name(name))

    with KafkaProducer(bootstrap_servers=bench.bootstrap, enable_idempotence=True) as idempotent:
        offsets = [idempotent.send(source, b"%d" % n, partition=0).get(timeout=PATIENCE_S).offset for n in range(5)]
        same("offsets of an idempotent producer", offsets, list(range(5)))

    writer = producer("txn-writer")
    writer.init_transactions()
    for ends, values in ((writer.commit_transaction, (b"5", b"6")), (writer.abort_transaction, (b"no", b"no")), (writer.commit_transaction, (b"7",))):
        writer.begin_transaction()
        for value in values:
            writer.send(source, value, partition=0).get(timeout=PATIENCE_S)
        ends()
    same("committed", committed_values(bench, source, 8), [b"%d" % n for n in range(8)])

    writer.begin_transaction()
    writer.send(source, b"fenced", partition=1).get(timeout=PATIENCE_S)
    heir = producer("txn-writer")
    heir.init_transactions()
    refused(KafkaError, writer.commit_transaction)
    writer.close(timeout=0)

    consumer = KafkaConsumer(
        bootstrap_servers=bench.bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    consumer.subscribe([source])
    copied = []
    deadline = time.monotonic() + PATIENCE_S
    while len(copied) < 8:
        if time.monotonic() > deadline:
            raise Mismatch(f"{len(copied)} of 8 records were copied")
        polled = consumer.poll(timeout_ms=500, max_records=3)
        if not polled:
            continue
        heir.begin_transaction()
        for records in polled.values():
            for record in records:
                heir.send(target, record.value, partition=record.partition)
                copied.append(record.value)
        positions = {part: OffsetAndMetadata(records[-1].offset + 1, "", -1) for part, records in polled.items()}
        heir.send_offsets_to_transaction(positions, group)
        heir.commit_transaction()
    # The last marker of the partition follows its last record.
    same("committed offset", consumer.committed(TopicPartition(source, 0)), positions[TopicPartition(source, 0)].offset)
    consumer.close()
    heir.close()
    same("copied", committed_values(bench, target, 8), [b"%d" % n for n in range(8)])


def committed_values(bench, topic, count):
    """What a reader of committed records finds: so many values, and nothing more before the ends."""
    consumer = KafkaConsumer(bootstrap_servers=bench.bootstrap, isolation_level="read_committed")
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends, found = consumer.end_offsets(partitions), []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count or any(consumer.position(partition) < end for partition, end in ends.items()):
        if time.monotonic() > deadline:
            raise Mismatch(f"{topic}: {len(found)} of {count} records arrived")
        for records in consumer.poll(timeout_ms=200).values():
            found += [record.value for record in records]
    consumer.close()
    return found


def create(bench, topic, partitions):
    admin = KafkaAdminClient(bootstrap_servers=bench.bootstrap)
    admin.create_topics([NewTopic(topic, int(partitions), 1)])
    admin.close()


def admin(bench):
    """Topics created, described, altered and deleted; a group described and deleted."""
    topic = bench.name("admin")
    client = KafkaAdminClient(bootstrap_servers=bench.bootstrap)
    client.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "3600000"})])
    refused(TopicAlreadyExistsError, client.create_topics, [NewTopic(topic, 3, 1)])
    described = eventually(lambda: client.describe_topics([topic])[0], lambda t: len(t["partitions"]) == 3)
    same("partitions", sorted(p["partition_index"] for p in described["partitions"]), [0, 1, 2])
    config(client, topic, "retention.ms", "3600000")
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "65536"})])
    config(client, topic, "max.message.bytes", "65536")
    client.create_partitions({topic: 5})
    eventually(lambda: client.describe_topics([topic])[0], lambda t: len(t["partitions"]) == 5)

    group = bench.name("admin-group")
    with KafkaProducer(bootstrap_servers=bench.bootstrap) as producer:
        producer.send(topic, b"one", partition=0).get(timeout=PATIENCE_S)
    consumer = KafkaConsumer(topic, bootstrap_servers=bench.bootstrap, group_id=group, auto_offset_reset="earliest")
    while not any(r.value == b"one" for records in consumer.poll(timeout_ms=1000).values() for r in records):
        pass
    consumer.close()
    same("the group is listed", [g["group_state"] for g in client.list_groups() if g["group_id"] == group], ["Empty"])
    same("the group's offset", client.list_group_offsets(group)[group][TopicPartition(topic, 0)].offset, 1)
    client.delete_groups([group])

    client.delete_topics([topic])
    refused(UnknownTopicOrPartitionError, client.delete_topics, [topic])
    client.close()


def refused(expected, call, *arguments):
    try:
        answer = call(*arguments)
    except expected:
        return
    raise Mismatch(f"{call.__name__} answered {answer!r}, expected {expected.__name__}")


def eventually(ask, holds):
    """Repeats a question: Kafka answers a change before every part of it shows."""
    deadline = time.monotonic() + 5
    while True:
        answer = ask()
        if holds(answer):
            return answer
        if time.monotonic() > deadline:
            raise Mismatch(f"still {answer!r}")
        time.sleep(0.05)


def config(client, topic, name, value):
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    eventually(lambda: client.describe_configs([resource], config_filter="all")["topic"][topic][name]["value"], lambda found: found == value)


def publish(bench, topic, file):
    """Publishes the lines of a file, key<TAB>value, and waits for every acknowledgement."""
    with KafkaProducer(bootstrap_servers=bench.bootstrap) as producer:
        futures = []
        for line in open(file, "rb"):
            key, value = line.rstrip(b"\n").split(b"\t", 1)
            futures.append(producer.send(topic, key=key, value=value))
        for future in futures:
            future.get(timeout=PATIENCE_S)
    print("published", len(futures))


def member(bench, topic, group):
    """One member of a consumer group with everything at its default: prints what it reads until it is told to stop."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    consumer = KafkaConsumer(topic, bootstrap_servers=bench.bootstrap, group_id=group, auto_offset_reset="earliest")
    while not stop:
        lines = [
            f"record {record.partition} {record.offset} {record.key.decode()}\n"
            for records in consumer.poll(timeout_ms=200).values()
            for record in records
        ]
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
    consumer.close()


def remove(bench, *topics):
    """Deletes those of the topics that exist."""
    client = KafkaAdminClient(bootstrap_servers=bench.bootstrap)
    there = [topic for topic in topics if topic in client.list_topics()]
    if there:
        client.delete_topics(there)
        eventually(client.list_topics, lambda listed: not set(there) & set(listed))
    client.close()


def committed(bench, group):
    """Prints what a group has committed: topic, partition, offset."""
    client = KafkaAdminClient(bootstrap_servers=bench.bootstrap)
    for partition, at in sorted(client.list_group_offsets(group)[group].items()):
        print(partition.topic, partition.partition, at.offset)
    client.close()


class Bench:
    """Where a scenario runs."""

    def __init__(self, bootstrap, prefix):
        self.bootstrap, self.prefix = bootstrap, prefix

    def name(self, suffix):
        return f"{self.prefix}-{suffix}"


def hang(bench, topic):
    """Writes a record of a transaction that no coordinator knows of, which a broker takes that does not verify. No client
    would: the request (Produce 7) is made by hand. Its record is from long ago, as tools leave out what is recent."""
    create(bench, topic, "1")
    batch = DefaultRecordBatchBuilder(2, 0, True, 7_000_000, 3, 0, 1_000)
    batch.append(0, timestamp=FIRST_TIMESTAMP, key=None, value=b"lost", headers=[])
    records = bytes(batch.build())

    def text(value):
        return struct.pack(">h", len(value)) + value.encode()

    partition = struct.pack(">iii", 1, 0, len(records)) + records
    body = text("nobody") + struct.pack(">hii", -1, 10_000, 1) + text(topic) + partition
    request = struct.pack(">hhi", 0, 7, 1) + text("by-hand") + body
    host, port = bench.bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection, connection.makefile("rwb") as stream:
        stream.write(struct.pack(">i", len(request)) + request)
        stream.flush()
        answer = stream.read(struct.unpack(">i", stream.read(4))[0])
    # Correlation id, one topic, its name, one partition, its number, and the error.
    at = 4 + 4 + 2 + len(topic) + 4 + 4
    same("error", struct.unpack_from(">h", answer, at)[0], 0)


SCENARIOS = {f.__name__: f for f in (stocks, resume, admin, transactions, create, publish, member, remove, committed, hang)}


def main():
    if len(sys.argv) < 4 or sys.argv[3] not in SCENARIOS:
        sys.exit(f"usage: client.py BOOTSTRAP PREFIX {'|'.join(SCENARIOS)} [ARGUMENT...]")
    try:
        SCENARIOS[sys.argv[3]](Bench(sys.argv[1], sys.argv[2]), *sys.argv[4:])
    except (Mismatch, KafkaError) as error:
        sys.exit(f"{sys.argv[3]}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
