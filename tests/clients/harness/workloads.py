"""Real input at size, and the workload that this broker was asked for."""

import csv
import json
import os
import re
from collections import Counter

from .base import CLIENTS, INSTALLED, Failure, run
from .install import DATASETS, GO_CLIENT, GO_WORKERS, PYTHON, RUST_TARGET

CODECS = ["snappy", "lz4", "zstd", "gzip", "none"]
PARTITIONS = 12
RUST_CLIENT = RUST_TARGET / "debug" / "rust-client"
PUBLISHER = RUST_TARGET / "debug" / "market-publisher"
TRADING_TOPICS = ["trading.events", "market.data", "order.events", "user.actions"]


def flight_files(rows, log):
    """The flights as lines to publish, and what they add up to, made once per number of rows."""
    folder = INSTALLED / "flights"
    folder.mkdir(parents=True, exist_ok=True)
    lines, summary = folder / f"{rows}.tsv", folder / f"{rows}.json"
    if not lines.exists():
        parquet = DATASETS / "flights-3m.parquet"
        run([PYTHON, CLIENTS / "harness" / "flights.py", parquet, rows, lines, summary], log, 300)
    return lines, json.loads(summary.read_text())


def flights(codec):
    """Flights published by librdkafka and read back by franz-go, compared with what the file says."""

    def scenario(bootstrap, prefix, log, folder):
        rows = int(os.environ.get("QUIPU_FLIGHTS", "300000"))
        lines, expected = flight_files(rows, log)
        topic = f"{prefix}-flights-{codec}"
        run([RUST_CLIENT, bootstrap, prefix, "create", topic, PARTITIONS], log, 30)
        run([RUST_CLIENT, bootstrap, prefix, "publish", topic, lines, codec], log, 60 + rows // 10_000)
        output = folder / "summary.json"
        run([GO_CLIENT, bootstrap, prefix, "summary", topic, rows], log, 60 + rows // 10_000, stdout=output)
        found = json.loads(output.read_text())
        if found.keys() != expected.keys():
            raise Failure(f"the airports differ: {sorted(found.keys() ^ expected.keys())[:5]}")
        for airport, sums in expected.items():
            if found[airport] != sums:
                raise Failure(f"{airport}: found {found[airport]}, expected {sums}")
        return f"{rows} flights, {len(expected)} airports"

    return scenario


def market(bootstrap, prefix, log, folder):
    """The publisher that never waits, against its own account of what it published."""
    stocks, rounds = DATASETS / "stocks.csv", 50
    remove(bootstrap, log, "market-intel-analytics")
    account = folder / "account"
    run([PUBLISHER, bootstrap, stocks, rounds], log, 60, stdout=account)
    taken, refused = check_market(bootstrap, stocks, rounds, account, log, folder)
    return f"{taken} events, {refused} refused"


def check_market(bootstrap, stocks, rounds, account, log, folder):
    """Holds the topic against the publisher's account of it: each event once, those of a symbol in order."""
    said = re.fullmatch(r"taken (\d+) refused (\d+) acknowledged (\d+) failed 0 batches (\d+)\n", account.read_text())
    if not said:
        raise Failure(f"the publisher said {account.read_text()!r}")
    taken, refused, acknowledged, batches = map(int, said.groups())
    with open(stocks, encoding="utf-8") as file:
        prices = [row["symbol"] for row in csv.DictReader(file)]
    if taken + refused != rounds * len(prices) or acknowledged != taken or batches * 100 < taken:
        raise Failure(f"the publisher's account does not add up: {account.read_text()}")

    records = folder / "records"
    command = ["kcat", "-b", bootstrap, "-C", "-t", "market-intel-analytics", "-o", "beginning", "-e", "-q"]
    run([*command, "-f", "%p %k %s\n"], log, 60, stdout=records)
    last, homes, read = {}, {}, Counter()
    for line in records.read_text().splitlines():
        partition, symbol, value = line.split(" ", 2)
        event = json.loads(value)
        if homes.setdefault(symbol, partition) != partition:
            raise Failure(f"{symbol} is in partitions {homes[symbol]} and {partition}")
        if last.get(symbol, -1) >= event["sequence"]:
            raise Failure(f"{symbol}: sequence {event['sequence']} came after {last[symbol]}")
        last[symbol] = event["sequence"]
        read[symbol] += 1
    if read.total() != taken:
        raise Failure(f"{taken} events were acknowledged, {read.total()} are in the topic")
    if not refused and read != Counter({symbol: n * rounds for symbol, n in Counter(prices).items()}):
        raise Failure(f"events by symbol differ: {read}")
    return taken, refused


def trading(bootstrap, prefix, log, folder):
    """Four workers in a group, reading four topics that other clients have filled."""
    records = {}
    remove(bootstrap, log, *TRADING_TOPICS)
    flights = json.loads((DATASETS / "flights-20k.json").read_text())
    for n, topic in enumerate(TRADING_TOPICS):
        share = [f"{flight['origin']}\t{json.dumps(flight)}\n" for flight in flights[n::4]]
        lines = folder / f"{topic}.tsv"
        lines.write_text("".join(share))
        records[topic] = (len(share), sum(len(line.rstrip("\n").split("\t", 1)[1]) for line in share))
        run([RUST_CLIENT, bootstrap, prefix, "create", topic, 4], log, 30)
        run([RUST_CLIENT, bootstrap, prefix, "publish", topic, lines, "snappy"], log, 60)
    total = sum(count for count, _ in records.values())
    output = folder / "workers"
    group = f"{prefix}-workers"
    run([GO_WORKERS, bootstrap, "-group", group, "-until", total], log, 60, stdout=output)
    text = output.read_text()
    closing = re.search(r"^records (\d+) batches (\d+) largest (\d+) repeated (\d+)$", text, re.M)
    if not closing:
        raise Failure(f"the workers said {text!r}")
    if int(closing[3]) > 1000:
        raise Failure(f"a batch had {closing[3]} records")
    found = {}
    for topic, count, size in re.findall(r"^worker \d topic (\S+) records (\d+) bytes (\d+)$", text, re.M):
        sums = found.setdefault(topic, [0, 0])
        sums[0] += int(count)
        sums[1] += int(size)
    # Workers that join one after the other may hand a partition over before its first commit and read it twice.
    for topic, (count, size) in records.items():
        if found.get(topic, [0, 0])[0] < count or found[topic][1] < size:
            raise Failure(f"{topic}: read {found.get(topic)}, published {(count, size)}")
    check_committed(bootstrap, group, records, log, folder)
    return f"{total} records"


def remove(bootstrap, log, *topics):
    """These topics have names of their own: a broker that has seen an earlier run may have them."""
    run([PYTHON, CLIENTS / "python" / "client.py", bootstrap, "-", "remove", *topics], log, 30)


def check_committed(bootstrap, group, records, log, folder):
    """Auto-commit has to leave the group at the end of every partition."""
    output = folder / "offsets"
    run([PYTHON, CLIENTS / "python" / "client.py", bootstrap, "-", "committed", group], log, 30, stdout=output)
    found = Counter()
    for line in output.read_text().splitlines():
        topic, _, offset = line.split()
        found[topic] += int(offset)
    expected = {topic: count for topic, (count, _) in records.items()}
    if found != expected:
        raise Failure(f"committed offsets add up to {dict(found)}, expected {expected}")
