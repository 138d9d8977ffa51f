"""A group that moves from the classic to the consumer protocol and back, member by member, while records keep coming.

Members of the classic protocol are kafka-python's and librdkafka's, those of the consumer protocol librdkafka's. Nothing
may be lost, and what the group has read it must not read again: members leave in order and commit when they do.
"""

import time
from collections import Counter

from .base import Failure, end, run, wait_until
from .group import PARTITIONS, Member, halves

# How many records come between one change and the next.
PIECE = 60
# In kafka-python's and librdkafka's defaults a member hears within 3 s that it has to join again.
PATIENCE_S = 60
# Records that a member may have read and not committed when a partition is taken from it.
AGAIN_MAX = 0.2

# Who comes (+) and who goes (-), in turn: all classic, mixed, all consumer, mixed, all classic.
CHANGES = ["+python", "+classic", "+consumer", "-python", "+consumer", "-classic", "-consumer", "+classic", "-consumer", "+python"]


def scenario(python, confluent):
    def play(bootstrap, prefix, log, folder):
        topic, group = f"{prefix}-migrate", f"{prefix}-migrating"
        lines = sum(halves()[:2], [])
        run([*python, bootstrap, prefix, "create", topic, PARTITIONS], log, 60)
        commands = {
            "python": [*python, bootstrap, prefix, "member", topic, group],
            "classic": [*confluent, bootstrap, prefix, "member", topic, group, "classic"],
            "consumer": [*confluent, bootstrap, prefix, "member", topic, group, "consumer"],
        }
        members, working, published = [], [], []

        def seen():
            together = {}
            for member in members:
                together.update(member.read())
            return together

        def publish():
            piece = [lines[number % len(lines)] for number in range(len(published), len(published) + PIECE)]
            file = folder / "lines.tsv"
            file.write_text("".join(piece))
            run([*python, bootstrap, prefix, "publish", topic, file], log, 60)
            published.extend(piece)
            time.sleep(0.5)

        def reads_something(member, before):
            publish()
            return len(member.read()) > before

        try:
            for number, change in enumerate(CHANGES):
                kind = change[1:]
                if change[0] == "+":
                    member = Member(commands[kind], log, folder / f"member-{number}.out")
                    member.kind = kind
                    members.append(member)
                    working.append(member)
                else:
                    member = next(one for one in working if one.kind == kind)
                    working.remove(member)
                    if (code := end(member.process)) != 0:
                        raise Failure(f"{kind} member told to stop ended with exit code {code}")
                # The group has come to rest when everybody who is left reads again.
                for member in working:
                    before = len(member.read())
                    missing = lambda: f"after {change} a {member.kind} member reads nothing"
                    wait_until(lambda: reads_something(member, before), PATIENCE_S, missing)
            count = len(published)
            wait_until(lambda: len(seen()) >= count, PATIENCE_S, lambda: f"{len(seen())} of {count} records read")
            records = seen()
            expected = Counter(line.split("\t", 1)[0] for line in published)
            if Counter(records.values()) != expected:
                raise Failure("the keys that were read are not those that were published")
            again = sum(len(member.records) for member in members) - len(records)
            if again > AGAIN_MAX * count:
                raise Failure(f"{again} of {count} records were read more than once")
            for member in working:
                if (code := end(member.process)) != 0:
                    raise Failure(f"{member.kind} member told to stop ended with exit code {code}")
        finally:
            for member in members:
                end(member.process, 0.1)
        return f"{count} records, {again} of them read again"

    return play
