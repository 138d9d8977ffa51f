"""The broker under test: a `quipu` of its own, or one that runs already."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .base import CACHE, Failure, end, last_line, start


def quipu_binary(given):
    if given:
        return Path(given).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
    binary = target / "fast" / "quipu"
    if not binary.exists():
        raise Failure(f"no broker at {binary}: build it with `cargo build --profile fast --target-dir {target}`, or name one with --quipu")
    return binary


def free_port():
    """A free port below the range from which clients' own ports are drawn."""
    for port in range(19092 + os.getpid() % 5000, 32768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no port below 32768 is free")


class Broker:
    """`quipu serve` on a fresh data directory, from its ready line to a clean stop."""

    def __init__(self, binary, logs, port=None, name="broker", overrides=()):
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.path = Path(binary).parent
        self.folder = Path(tempfile.mkdtemp(prefix="quipu-clients-"))
        self.log = logs / f"{name}.log"
        # On Kafka's port the broker starts as a newcomer starts it: with no argument at all.
        self.command = [binary] if port == 9092 else [binary, "serve", "--data-dir", self.folder / "data", "--listen", self.bootstrap]
        self.command += [word for override in overrides for word in ("--override", override)]
        self.begin()

    def begin(self):
        """Starts it, again if it ran before, and waits for its ready line."""
        before = self.log.read_text(errors="replace").count(" ready") if self.log.exists() else 0
        self.process = start(self.command, self.log, cwd=self.folder)
        deadline = time.monotonic() + 20
        while self.log.read_text(errors="replace").count(" ready") == before:
            if self.process.poll() is not None or time.monotonic() > deadline:
                code = self.process.poll()
                self.stop_hard()
                raise Failure(f"the broker did not get ready (exit code {code}): {last_line(self.log)}")
            time.sleep(0.01)

    def kill(self):
        """Ends it as a crash does."""
        end(self.process, 0)

    def stop(self):
        """Stops it cleanly for good, and fails unless it was clean."""
        try:
            self.stop_cleanly()
        finally:
            self.stop_hard()

    def stop_cleanly(self):
        died = self.process.poll()
        if died is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        code = self.process.poll()
        if died is not None:
            raise Failure(f"the broker ended by itself with exit code {died}: {last_line(self.log)}")
        if code != 0:
            raise Failure(f"the broker did not stop cleanly (exit code {code}): {last_line(self.log)}")
        for line in self.log.read_text(errors="replace").splitlines():
            if "panicked" in line or " ERROR " in line:
                raise Failure(f"the broker's log has: {line}")

    def stop_hard(self):
        end(self.process, 0.1)
        shutil.rmtree(self.folder, ignore_errors=True)


class Running:
    """A broker that somebody else started, a real Kafka say."""

    def __init__(self, bootstrap, logs):
        self.bootstrap = bootstrap
        self.log = logs / "broker.log"

    def stop(self):
        """Leaves it alone."""
