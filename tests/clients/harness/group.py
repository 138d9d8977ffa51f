"""A group of three with one member killed mid-way: nothing may be lost, and the others take over."""

import json
import signal
import time
from collections import Counter

from .base import Failure, end, run, start, wait_until
from .install import DATASETS

MEMBERS = 3
PARTITIONS = 6
RECORDS = 3000
# Members that are still on their way would find everything read already, so the first half comes in small pieces.
PIECE = 100
# A killed member is missed only when its session times out: 45 s with most clients' defaults, 30 s with some.
TAKEOVER_S = 100


class Member:
    """One member of the group, and what it has printed so far."""

    def __init__(self, command, log, output):
        self.output = output
        self.process = start(command, log, stdout=output)
        self.position = 0
        self.records = {}  # (partition, offset) → key

    def read(self):
        with open(self.output, "rb") as lines:
            lines.seek(self.position)
            text = lines.read()
        whole = text.rfind(b"\n") + 1
        self.position += whole
        for line in text[:whole].splitlines():
            word, partition, offset, key = line.decode().split(" ", 3)
            if word != "record":
                raise Failure(f"a member printed {line!r}")
            self.records[int(partition), int(offset)] = key
        return self.records


def halves():
    """Two lists of flights as lines, keyed by origin, and how often each key is in both together."""
    flights = json.loads((DATASETS / "flights-20k.json").read_text())[: 2 * RECORDS]
    lines = [f"{flight['origin']}\t{json.dumps(flight)}\n" for flight in flights]
    return lines[:RECORDS], lines[RECORDS:], Counter(flight["origin"] for flight in flights)


def scenario(client, creator, bootstrap, prefix, log, folder):
    """Runs it: `client` publishes and has the members, `creator` creates the topic."""
    topic, group = f"{prefix}-group", f"{prefix}-members"
    first, second, keys = halves()
    run([*creator, bootstrap, prefix, "create", topic, PARTITIONS], log, 60)
    members = [
        Member([*client, bootstrap, prefix, "member", topic, group], log, folder / f"member-{n}.out")
        for n in range(MEMBERS)
    ]

    def seen():
        together = {}
        for member in members:
            together.update(member.read())
        return together

    def publish(lines):
        file = folder / "lines.tsv"
        file.write_text("".join(lines))
        run([*client, bootstrap, prefix, "publish", topic, file], log, 60)

    def all_have_read():
        seen()
        return all(member.records for member in members)

    try:
        while len(first) > PIECE and not all_have_read():
            publish(first[:PIECE])
            first = first[PIECE:]
            time.sleep(0.5)
        publish(first)
        missing = lambda count: lambda: f"{len(seen())} of {count} records read, {[len(m.records) for m in members]} by the members"
        wait_until(lambda: len(seen()) >= RECORDS, TAKEOVER_S, missing(RECORDS))
        if not all_have_read():
            raise Failure(f"not every member has read something: {[len(m.records) for m in members]}")
        victim = members[1]
        before = set(victim.records)
        victim.process.send_signal(signal.SIGKILL)
        publish(second)
        wait_until(lambda: len(seen()) >= 2 * RECORDS, TAKEOVER_S, missing(2 * RECORDS))

        records = seen()
        offsets = {}
        for partition, offset in records:
            offsets.setdefault(partition, set()).add(offset)
        for partition, found in offsets.items():
            if found != set(range(len(found))):
                raise Failure(f"partition {partition} has gaps: {sorted(set(range(max(found) + 1)) - found)[:5]}")
        if Counter(records.values()) != keys:
            raise Failure("the keys that were read are not those that were published")
        homes = {}
        for (partition, _), key in records.items():
            if homes.setdefault(key, partition) != partition:
                raise Failure(f"{key} is in partitions {homes[key]} and {partition}")
        survivors = set().union(*(m.records for m in members if m is not victim))
        if not survivors - before:
            raise Failure("the survivors read nothing after the kill")
        for member in members:
            if member is not victim and (code := end(member.process)) != 0:
                raise Failure(f"a member told to stop ended with exit code {code}")
    finally:
        for member in members:
            end(member.process, 0.1)
