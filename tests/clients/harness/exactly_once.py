"""Exactly once while brokers and applications are killed: a copy in transactions, and a Kafka Streams application.

QUIPU_EOS_SECONDS=600 kills for ten minutes; for a few seconds otherwise.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time

from . import install
from .base import Failure, end, run, start
from .broker import Broker
from .workloads import flight_files

SECONDS = int(os.environ.get("QUIPU_EOS_SECONDS", "20"))
# Longest that the rest may take once nobody is killed any more: sessions and transactions of the dead run out first, and
# applications restore their stores on a busy machine. Less than the 300 s after which Streams gives a rebalance up.
DRAIN_S = 150
WORKERS = 3
RATE = 200
FLIGHTS_PER_S = 100
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx300m"]
COPY = [*JAVA, "-cp", f"{install.JAVA}/classes:{install.JAVA}/libs/*", "Copy"]
FLIGHTS = [*JAVA, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
FLIGHTS += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", f"{install.STREAMS}/classes:{install.STREAMS}/libs/*", "Flights"]
# What the dead left behind is found within seconds: a run is short.
OVERRIDES = [
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
    "group.consumer.min.session.timeout.ms=6000",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=1000",
    "group.consumer.heartbeat.interval.ms=1000",
]


class Killing:
    """A broker and applications that are killed in turn, at random times, and started again at once."""

    def __init__(self, broker, commands, log, seed):
        self.broker, self.commands, self.log = broker, commands, log
        self.running = [start(command, log) for command in commands]
        self.random = random.Random(seed)
        self.brokers = self.applications = 0

    def go_on(self, seconds, apart):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, self.random.uniform(*apart)))
            if time.monotonic() >= until:
                break
            if self.brokers <= self.applications:
                self.broker.kill()
                time.sleep(self.random.uniform(0, 0.5))
                self.broker.begin()
                self.brokers += 1
            else:
                victim = self.random.randrange(len(self.running))
                end(self.running[victim], 0)
                self.running[victim] = start(self.commands[victim], self.log)
                self.applications += 1

    def autopsy(self, log):
        """Writes down where everybody stands: what the broker knows of groups, transactions and topics, and what all
        threads of the applications do. The broker's data directory is kept beside the log."""
        with open(log, "ab") as sink:

            def ask(*question):
                sink.write(f"==== quipu {' '.join(question)}\n".encode())
                sink.flush()
                command = [self.broker.command[0], *question, "--bootstrap", self.broker.bootstrap]
                try:
                    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30).stdout
                except subprocess.TimeoutExpired:
                    told = b"no answer in 30 s\n"
                sink.write(told)
                return [line.split()[0].decode() for line in told.splitlines()[1:] if line.strip()]

            for group in ask("group", "list"):
                ask("group", "describe", group)
            ask("txn", "list")
            for topic in ask("topic", "list", "--internal"):
                ask("topic", "describe", topic)
        for process in self.running:
            # A Java machine prints its threads then.
            process.send_signal(signal.SIGQUIT)
        time.sleep(2)
        shutil.copytree(self.broker.folder / "data", log.with_suffix(".data"), dirs_exist_ok=True)

    def stop(self):
        for process in self.running:
            end(process, 0)

    def __str__(self):
        return f"{self.brokers} kills of the broker, {self.applications} of applications"


def wait_for(path, word, process):
    while word not in path.read_text():
        if process.poll() is not None:
            raise Failure(f"ended with {process.returncode} before it {word}")
        time.sleep(0.05)


def kills(binary, log, feed, commands, check, folder, apart):
    """Feeds, kills meanwhile, and checks. `check` takes what the feed printed."""
    broker = Broker(binary, log.parent, name=f"{log.stem}-broker", overrides=OVERRIDES)
    seed = int(os.environ.get("QUIPU_EOS_SEED") or random.randrange(1 << 32))
    began, output, feeder, killing = time.monotonic(), folder / "feed", None, None
    try:
        output.touch()
        feeder = start(feed(broker.bootstrap), log, stdout=output)
        wait_for(output, "created", feeder)
        killing = Killing(broker, commands(broker.bootstrap), log, seed)
        killing.go_on(SECONDS, apart)
        if feeder.wait(DRAIN_S):
            raise Failure("not everything could be published")
        fed = time.monotonic()
        found = folder / "found"
        run(check(broker.bootstrap, output.read_text()), log, DRAIN_S + 30, stdout=found)
        broker.stop_cleanly()
        drained = time.monotonic() - fed
        return f"{found.read_text().strip()}; {killing} in {fed - began:.0f} s, drained in {drained:.0f} s"
    except Failure as failure:
        if killing:
            killing.autopsy(log)
        raise Failure(f"{failure} (seed {seed}, {killing})") from None
    finally:
        if killing:
            killing.stop()
        if feeder:
            end(feeder, 0)
        broker.stop_hard()


def copy(binary, version, protocol):
    """Three workers copy a topic in transactions of a version, as members of a group under a protocol: the copy is the
    original, record for record."""

    def scenario(_bootstrap, prefix, log, folder):
        return kills(
            binary,
            log,
            lambda at: [*COPY, at, prefix, "feed", SECONDS, RATE, version],
            lambda at: [[*COPY, at, prefix, "work", f"{prefix}-{n}", protocol] for n in range(WORKERS)],
            lambda at, fed: [*COPY, at, prefix, "check", re.search(r"published (\d+)", fed)[1], DRAIN_S],
            folder,
            (1.5, 4),
        )

    return scenario


def streams(binary):
    """Two instances of a Kafka Streams application: its output is that of a batch computation."""

    def scenario(_bootstrap, prefix, log, folder):
        count = min(SECONDS * FLIGHTS_PER_S, 20_000)
        lines, _ = flight_files(20_000, log)
        return kills(
            binary,
            log,
            lambda at: [*FLIGHTS, at, prefix, "publish", lines, count, SECONDS],
            lambda at: [[*FLIGHTS, at, prefix, "run", folder / f"state-{n}"] for n in range(2)],
            lambda at, _: [*FLIGHTS, at, prefix, "check", lines, count, DRAIN_S],
            folder,
            (4, 7),
        )

    return scenario
