"""The programs that drive the brokers: fetched, built once into the cache, and started so that their figures can be read.

None of the clients is ours: librdkafka's rdkafka_performance, Kafka's ProducerPerformance, ConsumerPerformance and EndToEndLatency, and franz-go
under `go/load`, which only counts and waits.
"""

import contextlib
import json
import mmap
import os
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("QUIPU_CACHE") or Path.home() / ".cache" / "quipu")
FOLDER = CACHE / "compare"
BIN = FOLDER / "bin"
JARS = CACHE / "kafka-4.3.1" / "libs"
KAFKA_START = ROOT / "tests" / "suites" / "kafka" / "start"

# The crate that carries librdkafka's source, examples included.
RDKAFKA_SYS = "4.10.0"


class Failed(Exception):
    """A client did not do its work; what it said."""


def run(command, limit_s=180, **options):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=limit_s, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within {limit_s} s: {' '.join(map(str, command))}") from None
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout + done.stderr


class Busy:
    """How busy the busiest thread of a process is, looked at every now and then while it runs."""

    EVERY_S = 0.02

    def __init__(self, pid):
        self.folder, self.seen = Path(f"/proc/{pid}/task"), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(self.EVERY_S):
            ran = {}
            with contextlib.suppress(OSError):
                for task in self.folder.iterdir():
                    with contextlib.suppress(OSError, ValueError, IndexError):
                        # Run, and then waited for a core: it had something to do in both.
                        fields = (task / "schedstat").read_text().split()
                        ran[task.name] = (int(fields[0]) / 1e9, int(fields[1]) / 1e9)
                self.seen.append((time.monotonic(), ran))

    def share(self, seconds):
        """Of the busiest `seconds` of the process, which are those of its work: the share in which that thread ran or waited for a core."""
        self.over.set()
        self.thread.join()
        looks = [look for look in self.seen if look[1]]
        shares = []
        for n, (last, end) in enumerate(looks):
            first, begin = next(((at, ran) for at, ran in reversed(looks[:n]) if last - at >= seconds), (None, None))
            if first is not None:
                shares += [(sum(end[task]) - sum(begin.get(task, (0, 0)))) / (last - first) for task in end]
        return min(max(shares), 1.0) if shares else None


def warm_memory(mib):
    """Takes so much memory and gives it back. Where the host of a virtual machine takes free pages away, whoever touches one next waits for
    the host, which may cost three times what is measured; and who that is would be chance."""
    with mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
        pass


def prepare():
    """Builds what is missing. The only step that may use the network."""
    BIN.mkdir(parents=True, exist_ok=True)
    if not (BIN / "rdkafka_performance").exists() or not (BIN / "mock").exists():
        build_librdkafka()
    # Go knows by itself what is up to date.
    run(["go", "build", "-o", BIN, "./kfake", "./load"], 900, cwd=HERE / "go")
    run([KAFKA_START, "fetch"], 600)


def build_librdkafka():
    """rdkafka_performance and the mock broker, from the source in crate rdkafka-sys."""
    scratch = FOLDER / "crate"
    (scratch / "src").mkdir(parents=True, exist_ok=True)
    (scratch / "src" / "lib.rs").write_text("")
    manifest = scratch / "Cargo.toml"
    manifest.write_text(
        f'[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n'
        f'[dependencies]\nrdkafka-sys = {{ version = "={RDKAFKA_SYS}", default-features = false }}\n'
    )
    told = json.loads(subprocess.run(["cargo", "metadata", "--format-version=1"], cwd=scratch, check=True, capture_output=True, text=True).stdout)
    crate = next(Path(package["manifest_path"]).parent for package in told["packages"] if package["name"] == "rdkafka-sys")
    source = FOLDER / "librdkafka"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(crate / "librdkafka", source)
    run(["chmod", "-R", "u+w", source])
    without = [f"--disable-{what}" for what in ("gssapi", "ssl", "sasl", "curl", "zlib", "zstd")]
    run(["./configure", *without, "--enable-static"], 300, cwd=source)
    run(["make", "-C", "src", f"-j{os.cpu_count()}", "librdkafka.a"], 1800, cwd=source)
    (source / "include").mkdir(exist_ok=True)
    (source / "include" / "librdkafka").symlink_to("../src")
    for program, code in (("rdkafka_performance", source / "examples" / "rdkafka_performance.c"), ("mock", HERE / "mock.c")):
        here = ["-I", source / "include", "-I", source / "src", "-I", source]
        run(["gcc", "-O2", "-o", BIN / program, code, *here, source / "src" / "librdkafka.a", "-lm", "-lpthread"], 300)


def versions():
    told = subprocess.run([BIN / "rdkafka_performance"], capture_output=True, text=True)
    found = re.search(r"librdkafka version ([\d.]+)", told.stdout + told.stderr)
    modules = (HERE / "go" / "go.mod").read_text()
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()
    return {
        "librdkafka": found[1] if found else "unknown",
        "franz-go": re.search(r"franz-go (v\S+)", modules)[1],
        "kfake": re.search(r"kfake (v\S+)", modules)[1],
        "java": java[0] if java else "none",
    }


def percentiles(values):
    """p50, p99 and p99.9 of some numbers."""
    ordered = sorted(values)
    if not ordered:
        return {}
    at = lambda share: ordered[min(int(len(ordered) * share), len(ordered) - 1)]
    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999)}


RDKAFKA = ["-q", "-X", "log_level=0"]


def rdkafka_produce(broker, topic, count, size, codec="none", partition=0, **settings):
    """Seconds until the last of `count` records was acknowledged."""
    settings = {"batch.size": 16384, "linger.ms": 5, "queue.buffering.max.messages": 500_000, **{key.replace("_", "."): value for key, value in settings.items()}}
    command = [BIN / "rdkafka_performance", "-P", "-t", topic, "-b", broker.address, "-s", size, "-c", count, *RDKAFKA]
    command += ["-X", f"compression.codec={codec}"]
    command += ["-p", partition] if partition is not None else []
    command += [word for key, value in settings.items() for word in ("-X", f"{key}={value}")]
    told = run(command)
    found = re.search(r"(\d+) delivered \(offset -?\d+, (\d+) failed\) in (\d+)ms", told)
    if not found or int(found[1]) != count:
        raise Failed(f"rdkafka_performance delivered {found[1] if found else 'nothing'} of {count}: {told[-400:]}")
    return int(found[3]) / 1000


def rdkafka_consume(broker, topic, count):
    """Seconds from the first to the last of `count` records of partition 0."""
    command = [BIN / "rdkafka_performance", "-C", "-t", topic, "-b", broker.address, "-p", 0, "-o", "beginning", "-c", count, *RDKAFKA]
    words = [str(word) for word in [*command, "-X", "fetch.wait.max.ms=100", "-X", "queued.max.messages.kbytes=65536"]]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        busy = Busy(process.pid)
        try:
            told = process.communicate(timeout=180)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"no end within 180 s: {' '.join(words)}") from None
        finally:
            busy.over.set()
    found = re.search(r"(\d+) messages \(\d+ bytes\) consumed in (\d+)ms", told)
    if not found or int(found[1]) < count:
        raise Failed(f"rdkafka_performance read {found[1] if found else 'nothing'} of {count}: {told[-400:]}")
    seconds = max(int(found[2]), 1) / 1000
    # The client's own work: the same bytes, whoever serves them.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    out = {"seconds": seconds, "client_cpu_s_per_million": spent / count * 1e6}
    if (share := busy.share(seconds)) is not None:
        out["client_busy"] = share
    return out


def rdkafka_latency(broker, topic, rate, seconds, size=100):
    """Latencies in microseconds: until the acknowledgement, and until a consumer that runs beside has the record."""
    count = rate * seconds
    with tempfile.TemporaryDirectory() as folder:
        acks, reads = Path(folder) / "acks", Path(folder) / "reads"
        common = ["-t", topic, "-b", broker.address, "-p", 0, "-l", *RDKAFKA]
        write = [BIN / "rdkafka_performance", "-P", "-s", size, "-c", count, "-r", rate, "-A", acks, *common, "-X", "linger.ms=0"]
        limit_s = seconds * 4 + 30
        if "consume" in broker.lacks:
            run(write, limit_s)
            return {"ack": percentiles([int(line) for line in acks.read_text().split()][100:])}
        reader = [BIN / "rdkafka_performance", "-C", "-o", "beginning", "-c", count, "-A", reads, *common, "-X", "fetch.wait.max.ms=100"]
        consumer = subprocess.Popen([str(word) for word in reader], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # It waits at the end of the log before the first record is sent; whether it does, no record is lost on it.
            broker.settle(1.0)
            run(write, limit_s)
            consumer.wait(10)
        except subprocess.TimeoutExpired:
            raise Failed(f"the consumer did not see all {count} records") from None
        finally:
            consumer.kill()
            consumer.wait()
        # The first hundred find leaders and open connections.
        taken = [[int(line) for line in path.read_text().split()][100:] for path in (acks, reads)]
        return {"ack": percentiles(taken[0]), "end_to_end": percentiles(taken[1])}


def java(tool, *arguments, limit_s=180):
    return run(["java", "-Xmx512m", "-cp", f"{JARS}/*", f"org.apache.kafka.tools.{tool}", *arguments], limit_s)


def java_produce(broker, topic, count, size, throughput=-1, codec="none"):
    told = java(
        "ProducerPerformance", "--topic", topic, "--num-records", count, "--record-size", size, "--throughput", throughput,
        "--bootstrap-server", broker.address, "--reporting-interval", 600_000,
        "--command-property", f"compression.type={codec}", "batch.size=16384", "linger.ms=5",
    )  # fmt: skip
    line = [line for line in told.splitlines() if "99.9th" in line][-1]
    rate = float(re.search(r"([\d.]+) records/sec", line)[1])
    at = {name: float(value) for value, name in re.findall(r"(\d+) ms (50|99|99\.9)th", line)}
    return count / rate, {"p50": at["50"] * 1000, "p99": at["99"] * 1000, "p999": at["99.9"] * 1000}


def java_consume(broker, topic, count):
    told = java("ConsumerPerformance", "--topic", topic, "--num-records", count, "--bootstrap-server", broker.address, "--hide-header", "--timeout", 20_000)
    fields = [line for line in told.splitlines() if line.count(",") >= 9][-1].split(",")
    # start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    if int(fields[4]) < count:
        raise Failed(f"ConsumerPerformance read {fields[4].strip()} of {count}")
    return float(fields[7]) / 1000


def java_end_to_end(broker, topic, count, size=100):
    told = java("EndToEndLatency", broker.address, topic, count, "all", size)
    found = re.search(r"50th = ([\d.]+), 99th = ([\d.]+), 99\.9th = ([\d.]+)", told)
    if not found:
        raise Failed(f"EndToEndLatency printed no percentiles: {told[-400:]}")
    # Milliseconds, in whole numbers.
    return {name: float(value) * 1000 for name, value in zip(("p50", "p99", "p999"), found.groups())}


def load(broker, what, topic, limit_s=120, **flags):
    """Many franz-go clients in one process; what it measured."""
    words = [f"-{key}={value}" for key, value in flags.items()]
    told = run([BIN / "load", what, f"-broker={broker.address}", f"-topic={topic}", f"-limit={limit_s}s", *words], limit_s + 30)
    return json.loads(told.splitlines()[-1])
