"""What a restart must not change, seen by clients: records, groups' offsets, topics, and what was acknowledged.

And what is left on disk after a clean stop, seen by Kafka's own tool.
"""

import json
import re
import time
from collections import Counter
from contextlib import contextmanager

from .base import KAFKA_JARS, Failure, end, run, start
from .broker import Broker
from .install import DATASETS, GO_CLIENT
from .workloads import CODECS, PUBLISHER, RUST_CLIENT, check_market, flight_files

ROWS = 20_000
FIRST_SHARE = 12_000
ROUNDS = 100


@contextmanager
def own_broker(binary, log):
    """A broker of the scenario's own; at the end it has to stop cleanly too."""
    broker = Broker(binary, log.parent, name=f"{log.stem}-broker")
    try:
        yield broker
        broker.stop_cleanly()
    finally:
        broker.stop_hard()


def group_goes_on(binary, how):
    """A group reads part of a topic, the broker starts again, and the group reads the rest: nothing twice, nothing lost."""

    def scenario(_bootstrap, prefix, log, folder):
        lines, expected = flight_files(ROWS, log)
        topic, group, output = f"{prefix}-flights", f"{prefix}-group", folder / "output"
        with own_broker(binary, log) as broker:
            at = broker.bootstrap
            run([RUST_CLIENT, at, prefix, "create", topic, 6], log, 30)
            run([RUST_CLIENT, at, prefix, "publish", topic, lines, "lz4"], log, 60)
            seen = []
            for share in (FIRST_SHARE, ROWS - FIRST_SHARE):
                run([GO_CLIENT, at, prefix, "take", topic, group, share], log, 60, stdout=output)
                seen += output.read_text().splitlines()
                broker.stop_cleanly() if how == "clean" else broker.kill()
                broker.begin()
            if len(set(seen)) != ROWS:
                raise Failure(f"the group read {len(seen)} records, {len(set(seen))} different ones of {ROWS}")
            run([GO_CLIENT, at, prefix, "summary", topic, ROWS], log, 60, stdout=output)
            if json.loads(output.read_text()) != expected:
                raise Failure("the records are not those that were published")
        return f"{ROWS} records"

    return scenario


def publisher_goes_on(binary):
    """The broker is killed under the publisher of market data: each event has to be there once, and in order."""

    def scenario(_bootstrap, _prefix, log, folder):
        account, stocks = folder / "account", DATASETS / "stocks.csv"
        with own_broker(binary, log) as broker:
            publisher = start([PUBLISHER, broker.bootstrap, stocks, ROUNDS], log, stdout=account)
            try:
                for _ in range(2):
                    time.sleep(0.7)
                    broker.kill()
                    broker.begin()
                if publisher.wait(60) != 0:
                    raise Failure(f"the publisher ended with {publisher.returncode}: {account.read_text()!r}")
            finally:
                end(publisher, 0)
            taken, refused = check_market(broker.bootstrap, stocks, ROUNDS, account, log, folder)
        return f"{taken} events, {refused} refused meanwhile"

    return scenario


def segments_for_kafka(binary):
    """The sealed segments of a stopped broker are read, record by record, by Kafka's DumpLogSegments."""

    def scenario(_bootstrap, prefix, log, folder):
        lines, _ = flight_files(ROWS, log)
        output = folder / "output"
        with own_broker(binary, log) as broker:
            for codec in CODECS:
                topic = f"{prefix}-{codec}"
                run([RUST_CLIENT, broker.bootstrap, prefix, "create", topic, 1], log, 30)
                run([RUST_CLIENT, broker.bootstrap, prefix, "publish", topic, lines, codec], log, 60)
            broker.stop_cleanly()
            segments = [path for path in broker.folder.rglob("*.log") if path.parts[-4] == "topics" and path.stat().st_size > 0]
            read = []
            for segment in segments:
                dump = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{KAFKA_JARS}/*"]
                dump += ["org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", segment]
                run(dump, log, 60, stdout=output)
                text = output.read_text()
                if "isvalid: false" in text or "isvalid: true" not in text:
                    raise Failure(f"{segment.name} of {segment.parent.parent.name} is not valid to Kafka: {text[:300]!r}")
                # A batch of one record may be sent as it is, when the codec would make it larger.
                codecs = Counter(re.findall(r"compresscodec: (\w+)", text))
                read.append((text.count("\n| offset:"), codecs.most_common(1)[0][0]))
            if sorted(read) != sorted((ROWS, codec) for codec in CODECS):
                raise Failure(f"Kafka's tool read {read}, expected {ROWS} records of each codec")
            broker.begin()
        return f"{len(read)} segments, {ROWS} records each"

    return scenario
