"""Places, and processes that always end."""

import os
import signal
import subprocess
import time
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent.parent
ROOT = CLIENTS.parent.parent
CACHE = Path(os.environ.get("QUIPU_CACHE") or Path.home() / ".cache" / "quipu")
INSTALLED = CACHE / "clients"
KAFKA_JARS = CACHE / "kafka-4.3.1" / "libs"


class Failure(Exception):
    """A scenario that failed, in one line that says why."""


def last_line(path):
    lines = [line for line in Path(path).read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def end(process, patience_s=10):
    """Ends a process and all it started: SIGTERM first, unless there is no patience. Returns its exit code."""
    if process.poll() is None and patience_s > 0:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return process.wait()


def start(command, log, stdout=None, **options):
    """Starts a process in a group of its own. Standard error goes to `log`, so does output unless `stdout` is given."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as sink:
        out = open(stdout, "wb") if stdout else sink
        try:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=sink,
                start_new_session=True,
                **options,
            )
        finally:
            if stdout:
                out.close()


def run(command, log, limit_s, stdout=None, **options):
    """Runs a process to its end. Fails when it takes longer than `limit_s` or exits with anything but 0."""
    process = start(command, log, stdout, **options)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        raise Failure(f"not done after {limit_s} s: {last_line(log)}") from None
    finally:
        end(process, 0)
    if code:
        raise Failure(f"exit code {code}: {last_line(log)}")


def wait_until(holds, limit_s, otherwise):
    """Waits for a condition; `otherwise` says, when called, what is still missing."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise Failure(f"after {limit_s} s: {otherwise()}")
        time.sleep(0.05)
