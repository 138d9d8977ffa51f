"""W1 to W13: what is asked of each broker. A workload is a function; what it measures goes through `Run.each`.

`run.scale` holds how much a run does; long forms are reached by options, and a short form says its size in the name of its case.
"""

import contextlib
import itertools
import mmap
import os
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import brokers
import clients
import wire

ALL = {}


def workload(name, title):
    def register(function):
        ALL[name] = (title, function)
        return function

    return register


def short(count):
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


@workload("W1", "100-byte records, one producer")
def w1(run):
    count = run.scale.small_records
    for codec in run.scale.codecs:
        run.each(f"rdkafka, {codec}, {short(count)}", lambda b, t, codec=codec: {"seconds": clients.rdkafka_produce(b, t, count, 100, codec)}, count, keep=f"100B-{codec}")

    def java(broker, topic):
        seconds, latency = clients.java_produce(broker, topic, count, 100)
        return {"seconds": seconds, "ack": latency}

    if run.scale.java:
        run.each(f"ProducerPerformance, none, {short(count)}", java, count, needs="java", rounds=1)


@workload("W2", "1 KiB records, one producer")
def w2(run):
    count = run.scale.large_records
    run.each(f"rdkafka, none, {short(count)}", lambda b, t: {"seconds": clients.rdkafka_produce(b, t, count, 1024)}, count, keep="1KiB-none")


@workload("W3", "reading what W1 and W2 wrote")
def w3(run):
    small, large = run.scale.small_records, run.scale.large_records
    for label, count, size in (("100B", small, 100), ("1KiB", large, 1024)):
        run.written(f"{label}-none", count, size)
        run.each(f"rdkafka, {label}, hot", lambda b, t, c=count: clients.rdkafka_consume(b, t, c), count, needs="consume", read=f"{label}-none")
    if run.scale.java:
        run.each("ConsumerPerformance, 100B, hot", lambda b, t: {"seconds": clients.java_consume(b, t, small)}, small, needs="consume", read="100B-none", rounds=1)

    def cold(broker, topic):
        broker.stop()
        broker.forget_cache()
        broker.start()
        run.reset(broker)
        return clients.rdkafka_consume(broker, topic, large)

    run.each("rdkafka, 1KiB, cold (restarted, page cache dropped)", cold, large, needs="cold", read="1KiB-none", rounds=1)


@workload("W4", "latency, acks=all")
def w4(run):
    for rate, seconds in ((1_000, run.scale.latency_s), (50_000, max(run.scale.latency_s // 2, 2))):
        run.each(f"rdkafka, {short(rate)}/s, os", lambda b, t, r=rate, s=seconds: clients.rdkafka_latency(b, t, r, s), rate * seconds)
    if run.scale.java:
        run.each("EndToEndLatency, os", lambda b, t: {"end_to_end": clients.java_end_to_end(b, t, run.scale.one_by_one)}, None, needs="java", rounds=1)
    for mode, names in (("sync", ("quipu", "kafka", "kfake")), ("interval", ("quipu", "kafka"))):
        with run.others(names, durability=mode) as some:
            for rate in (1_000,):
                count = rate * run.scale.latency_s
                run.each(f"rdkafka, {short(rate)}/s, {mode}", lambda b, t: clients.rdkafka_latency(b, t, rate, run.scale.latency_s), count, among=some, rounds=1)


@workload("W5", "keyed over 1,000 partitions")
def w5(run):
    count = run.scale.small_records // 2
    # No key is a random partition for each record, which is what as many keys as records come to.
    def spread(broker, topic, count):
        return clients.rdkafka_produce(broker, topic, count, 100, partition=None, sticky_partitioning_linger_ms=0, linger_ms=50)

    def first(broker, topic):
        return {"seconds": spread(broker, topic, 20_000)}

    def act(broker, topic):
        spread(broker, topic, 20_000)
        run.reset(broker)
        return {"seconds": spread(broker, topic, count)}

    run.each("rdkafka, 20k x 100B, the first of each partition", first, 20_000, needs="partitions", partitions=1_000, rounds=1)
    run.each(f"rdkafka, {short(count)} x 100B", act, count, needs="partitions", partitions=1_000)


def loaded(what, limit_s=120, **flags):
    """An act in which franz-go clients do `what`."""

    def act(broker, topic):
        found = clients.load(broker, what, topic, limit_s, **flags)
        out = {"seconds": found["seconds"], **found.get("more", {})}
        if taken := found.get("latencies_us"):
            out["ack"] = clients.percentiles(taken)
        return out

    return act


@workload("W6", "1,000 small producers, each waiting for its acknowledgement")
def w6(run):
    each = run.scale.publisher_records
    run.each(f"franz-go, 1,000 x {each} x 100B", loaded("publishers", clients=1_000, each=each), 1_000 * each, needs="publishers")


@workload("W7", "transactions")
def w7(run):
    for size in (10, 1_000):
        count = run.scale.transactions
        run.each(f"franz-go, {count} x {short(size)} records", loaded("transactions", each=count, size=size), count * size, needs="transactions", rounds=1)


@workload("W8", "groups: all members join, one leaves")
def w8(run):
    for broker in run.brokers:
        if "group" not in broker.lacks:
            # The first group of a broker makes the topic that offsets are kept in.
            broker.create("w8-first", 2)
            clients.load(broker, "group", "w8-first", 60, clients=1, each=2)
    for members in run.scale.members:
        run.each(f"franz-go, {members:,} members", loaded("group", clients=members, each=max(members, 2), limit_s=90), None, needs="group", partitions=max(members, 2), rounds=None if members == 1 else 1)


@workload("W9", "start to the first acknowledged record")
def w9(run):
    def started(broker_class, partitions):
        broker = broker_class(run.folder / f"start-{broker_class.name}-{partitions}-{random.randrange(1 << 30)}")
        try:
            broker.start()
            if partitions:
                for part in range(0, partitions, 1_000):
                    broker.create(f"many-{part}", min(partitions - part, 1_000))
                broker.stop()
                broker.start()
            # What a start leaves to do is done before memory is read.
            time.sleep(1)
            return {"start_ms": broker.start_ms, "memory_mb": broker.memory_mb(), "own_memory_mb": broker.own_memory_mb()}
        finally:
            broker.remove()

    for number in range(run.rounds):
        for broker in run.brokers:
            if broker.name == "quipu":
                run.note("dev, in memory", broker, lambda b: started(brokers.QuipuDev, 0))
    for partitions in run.scale.start_partitions:
        for number in range(run.rounds):
            for broker in run.order(number):
                if "start" in broker.lacks or (partitions > run.scale.peers_partitions and broker.name != "quipu"):
                    continue
                run.note(f"{partitions:,} partitions", broker, lambda b, p=partitions: started(type(b), p))


@workload("W10", "compaction while serving")
def w10(run):
    value, keys = 1_000, 10_000
    count = run.scale.compact_bytes // value

    def act(broker, topic):
        # Serving: another topic at a steady pace, from before the writing until the cleaning is done.
        side = f"{topic}-side"
        broker.create(side)
        clients.load(broker, "keyed", topic, 3_600, each=count, keys=keys, bytes=value)
        written = broker.cpu_s()
        latency = []
        beside = threading.Thread(target=lambda: latency.append(clients.rdkafka_latency(broker, side, 1_000, run.scale.latency_s)))
        began, least, at = time.monotonic(), broker.disk_bytes(), time.monotonic()
        first = least
        beside.start()
        # Done when nothing more goes away; a cleaner that looks now and then is given time to begin.
        while time.monotonic() - at < run.scale.compact_patience_s * (1 if least < first else 3):
            time.sleep(0.2)
            now = broker.disk_bytes()
            if now < least * 0.995:
                least, at = now, time.monotonic()
        beside.join()
        out = {"compact_s": at - began, "freed_mb": (first - least) / 1e6, "cleaning_cpu_s": broker.cpu_s() - written}
        return {**out, **latency[0]} if latency else out

    run.each(
        f"{run.scale.compact_bytes >> 20} MiB of {short(value)}B records, 10k keys", act, count, needs="compaction", rounds=1,
        configs={"cleanup.policy": "compact", "segment.bytes": 16 << 20, "min.cleanable.dirty.ratio": "0.01"},
    )  # fmt: skip


@workload("W11", "ten idle topics")
def w11(run):
    seconds = run.scale.idle_s
    some = [broker for broker in run.order(0) if "idle" not in broker.lacks]
    fresh = [type(broker)(run.folder / f"idle-{broker.name}") for broker in some]
    try:
        for broker in fresh:
            broker.start()
            for n in range(10):
                broker.create(f"idle-{n}")
        time.sleep(5)
        before = {broker.name: (broker.cpu_s(), broker.wake_ups(), broker.written_bytes()) for broker in fresh}
        time.sleep(seconds)
        for broker in fresh:
            cpu, woken, written = before[broker.name]
            run.note(
                f"idle for {seconds} s", broker,
                lambda b: {
                    "memory_mb": b.memory_mb(), "own_memory_mb": b.own_memory_mb(), "cpu_ms_per_s": (b.cpu_s() - cpu) * 1000 / seconds,
                    "wake_ups_per_s": (b.wake_ups() - woken) / seconds, "written_kb": (b.written_bytes() - written) / 1000,
                },
            )  # fmt: skip
        for broker in fresh:
            run.note("1,000 idle connections", broker, idle_connections)
    finally:
        for broker in fresh:
            broker.remove()


def idle_connections(broker, count=1_000):
    before = broker.own_memory_mb()
    connections = [wire.Connection(("127.0.0.1", broker.port)) for _ in range(count)]
    for connection in connections:
        connection.ask(wire.api_versions())
    time.sleep(0.5)
    after = broker.own_memory_mb()
    for connection in connections:
        connection.close()
    return {"kib_per_connection": (after - before) * 1024 / count}


@workload("W12", "100 consumers of one partition")
def w12(run):
    count = run.scale.fanout_records
    run.written("fanout", count, 100)
    run.each(f"franz-go, 100 x {short(count)} x 100B", loaded("fanout", clients=100, each=count), 100 * count, needs="fanout", read="fanout", rounds=1)


@workload("W13", "does a record cost more beside more of them")
def w13(run):
    """The same requests by the same client, to more partitions and to longer logs. Only ours: it is compared with itself.

    100 GiB take too long to write, and more disk than many have. What grows with a log is the number of its segments, and the index of each: so
    one log is of one long segment, and one of as many short ones, of a MiB each, as half a TiB has of the usual size.

    Beside each MiB of requests this process asks the kernel for the same with nothing of a broker: writes as many bytes into as many files in the same
    turns, or sends as many from a fresh map of the same segments, from as random places or in the same order. What new pages cost is chance (the host of a virtual machine may have taken them), so the lower quartile
    over the MiBs is told beside the mean: it says what a request costs where the pages are at hand."""
    count, many, together = run.scale.growth_requests, wire.batch([b"x" * 100] * 36), 16
    fetched = 16 << 10

    def ask_all(connection, frames):
        """Sixteen at a time, so that sleeping and waking are not what is measured."""
        for at in range(0, len(frames), together):
            part = frames[at : at + together]
            connection.send(b"".join(part))
            for _ in part:
                connection.receive()

    def timed(broker, frames, floor):
        ours, least = [], []
        with contextlib.closing(wire.Connection(("127.0.0.1", broker.port))) as connection:
            clients.warm_memory(768)
            for at in range(0, len(frames) - 255, 256):
                before = broker.running_us()
                ask_all(connection, frames[at : at + 256])
                ours.append((broker.running_us() - before) / 256)
                least.append(floor(256) / 256)

        def quartile(values):
            return sorted(values)[len(values) // 4]

        return {
            "us_per_op": sum(ours) / len(ours), "floor_us_per_op": sum(least) / len(least), "at_hand_us_per_op": quartile(ours),
            "at_hand_floor_us_per_op": quartile(least),
        }  # fmt: skip

    @contextlib.contextmanager
    def writing(broker, files=1, row=together):
        """Writes what as many batches have, `row` of them into each file in turn; tells the processor time of it in µs."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=broker.folder))
            opened = [stack.enter_context(open(Path(folder) / str(n), "wb", 0)).fileno() for n in range(files)]
            for file in opened:
                os.posix_fallocate(file, 0, (count // files + row) * len(many))
            turns, many_of_row = itertools.count(), [many] * row

            def write(batches):
                before = time.thread_time_ns()
                for _ in range(0, batches, row):
                    turn = next(turns)
                    os.pwritev(opened[turn % files], many_of_row, turn // files * row * len(many))
                return (time.thread_time_ns() - before) / 1000

            yield write

    @contextlib.contextmanager
    def sending(broker, began, in_order):
        """Sends as many pieces from the topic's own segments; tells the processor time of that, without taking them."""
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            near = stack.enter_context(socket.create_connection(listener.getsockname()))
            far = stack.enter_context(listener.accept()[0])
            maps = []
            for path in sorted((broker.folder / "data" / "topics").rglob("*.log")):
                # Topics of the cases before may be on their way out.
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    told = os.stat(file.fileno())
                    if told.st_size > 2 * fetched and told.st_mtime >= began:
                        maps.append(stack.enter_context(mmap.mmap(file.fileno(), told.st_size, prot=mmap.PROT_READ)))
            if not maps:
                raise clients.Failed("there are no segments")
            taken = bytearray(fetched)
            one_by_one = itertools.cycle((pages, at) for pages in maps for at in range(0, len(pages) - fetched, fetched))

            def send(pieces):
                spent = 0
                for _ in range(pieces):
                    if in_order:
                        pages, at = next(one_by_one)
                    else:
                        pages = random.choice(maps)
                        at = random.randrange(len(pages) - fetched)
                    with memoryview(pages) as view, view[at : at + fetched] as piece:
                        before = time.thread_time_ns()
                        near.sendall(piece)
                        spent += time.thread_time_ns() - before
                    far.recv_into(taken, fetched, socket.MSG_WAITALL)
                return spent / 1000

            yield send

    def produces(topic, partitions, requests, row=together):
        frames = [wire.produce(topic, many, partition) for partition in range(partitions)]
        return [frames[n // row % partitions] for n in range(requests)]

    def spread(broker, topic, partitions, row):
        with contextlib.closing(wire.Connection(("127.0.0.1", broker.port))) as connection:
            ask_all(connection, produces(topic, partitions, partitions, 1))
        with writing(broker, partitions, row) as floor:
            return timed(broker, produces(topic, partitions, count, row), floor)

    def long(broker, topic, mib, what):
        random.seed(mib)
        began = time.time() - 1
        requests = (mib << 20) // len(many)
        with contextlib.closing(wire.Connection(("127.0.0.1", broker.port))) as connection:
            ask_all(connection, produces(topic, 1, requests))
        if what == "produce 4 KiB":
            with writing(broker) as floor:
                return timed(broker, produces(topic, 1, count), floor)
        in_order, last = "in order" in what, requests * 36 - 1_000
        # As many whole batches as an answer has room for.
        step = fetched // len(many) * 36
        offsets = [n % (last // step) * step if in_order else random.randrange(last) for n in range(count // 2)]
        with sending(broker, began, in_order) as floor:
            return timed(broker, [wire.fetch(topic, offset, fetched) for offset in offsets], floor)

    among = [broker for broker in run.brokers if broker.name == "quipu"]
    for partitions in (1, 10, 100, 1_000):
        run.each(f"produce 4 KiB, 16 in a row, {partitions:,} partitions", lambda b, t, p=partitions: spread(b, t, p, together), None, partitions=partitions, among=among)
    run.each("produce 4 KiB, another of 1,000 partitions each time", lambda b, t: spread(b, t, 1_000, 1), None, partitions=1_000, among=among)
    most = run.scale.growth_mib
    short_segments = {"segment.bytes": 1 << 20}
    sizes = ((1, {}, ""), (64, {}, ""), (most, {}, ""), (1, short_segments, ", segments of 1 MiB"), (most, short_segments, ", segments of 1 MiB"))
    for what in ("produce 4 KiB", "fetch 16 KiB", "fetch 16 KiB in order"):
        for mib, configs, form in sizes:
            run.each(f"{what}, log of {mib:,} MiB{form}", lambda b, t, m=mib, w=what: long(b, t, m, w), None, among=among, configs=configs)
