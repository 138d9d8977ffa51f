"""The brokers that are compared: how each is started, and what the kernel tells of its process."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import clients
import wire

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    """Below the range that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Broker:
    """One broker process with a directory of its own."""

    name = ""
    # What it cannot do, and why it is left out there.
    lacks = {}

    def __init__(self, folder, **options):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        self.start_ms = None
        self.peak_mb = 0

    def command(self):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def prepare(self):
        """What has to happen once before the first start."""

    def start(self, limit_s=120):
        """Starts the process; done when it has acknowledged a record. Notes how long that took."""
        self.prepare()
        began = time.monotonic()
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([str(word) for word in self.command()], stdout=log, stderr=log, start_new_session=True, env=self.environment())
        while not self.acknowledges():
            if self.process.poll() is not None or time.monotonic() - began > limit_s:
                self.stop()
                raise clients.Failed(f"{self.name} does not serve; see {self.folder / 'log'}")
            time.sleep(0.0005)
        self.start_ms = (time.monotonic() - began) * 1000
        return self

    def environment(self):
        return dict(os.environ)

    def acknowledges(self):
        """Whether a topic can be made and a record written to it, now."""
        try:
            connection = wire.Connection(("127.0.0.1", self.port), 30)
        except OSError:
            return False
        try:
            connection.ask(wire.create_topic("first"))
            wire.produced(connection.ask(wire.produce("first", wire.batch([b"first"]))))
            return True
        except (OSError, RuntimeError):
            return False
        finally:
            connection.close()

    def create(self, topic, partitions=1, **configs):
        connection = wire.Connection(("127.0.0.1", self.port))
        configs = [(key.replace("_", "."), str(value)) for key, value in {**self.topic_settings(), **configs}.items()]
        answer = wire.Cursor(connection.ask(wire.create_topic(topic, partitions, configs)), 1)
        answer.take("i"), answer.uvarint(), answer.compact()
        error = answer.take("h")
        connection.close()
        if error:
            raise clients.Failed(f"{self.name} could not create {topic}: error code {error}")

    def topic_settings(self):
        """Settings for the durability that was asked for."""
        return {}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.peak_mb = self.peak_memory_mb()
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def settle(self, seconds):
        """Waits for something outside to have begun."""
        time.sleep(seconds)

    # What /proc tells.

    def _status(self, field):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        return 0

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def running_us(self):
        """What the process's own clock says: exact where `cpu_s` knows only hundredths of a second."""
        # As clock_getcpuclockid(3) makes it, for the scheduler's count.
        return time.clock_gettime_ns(~self.process.pid << 3 | 2) / 1000

    def memory_mb(self):
        return self._status("VmRSS") / 1024

    def own_memory_mb(self):
        """Without what only maps files, which the kernel takes back when it likes."""
        return self._status("RssAnon") / 1024

    def peak_memory_mb(self):
        """Since the first start."""
        return max(self.peak_mb, self._status("VmHWM") / 1024)

    def wake_ups(self):
        """How often its threads, as far as they live, went to sleep by themselves."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                lines = (task / "status").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
        return total

    def written_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return 0

    def disk_bytes(self):
        """Blocks that its files take, space reserved ahead included."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except OSError:
                    continue
        return total

    def forget_cache(self):
        """Drops the page cache of its files. What a process still maps stays, so it is called between stop and start."""
        os.sync()
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Quipu(Broker):
    name = "quipu"
    binary = None

    def command(self):
        yield from (self.binary, "serve", "--listen", self.address, "--data-dir", self.folder / "data")
        for setting in ("quipu.durability=os", "group.initial.rebalance.delay.ms=0", "max.connections.per.ip=100000", "log.cleaner.backoff.ms=1000"):
            yield from ("--override", setting)

    def environment(self):
        return dict(os.environ, QUIPU_LOG="error")

    def version(self):
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout.strip()

    def topic_settings(self):
        durability = self.options.get("durability")
        return {"quipu.durability": durability} if durability else {}


class QuipuDev(Quipu):
    """The form for tests, which keeps everything in memory."""

    def command(self):
        return [self.binary, "dev", "--port", self.port]


class Kafka(Broker):
    """As Kafka's documentation advises for a single node: its own start script's heap and collector."""

    name = "kafka"
    java = "-Xmx1g -Xms1g -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true".split()

    def jvm(self, *words):
        return ["java", *self.java, f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties", "-cp", f"{clients.JARS}/*", *words]

    def prepare(self):
        if (self.folder / "server.properties").exists():
            return
        controller = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": 0,
            "controller.quorum.voters": f"0@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "offsets.topic.num.partitions": 5,
            "transaction.state.log.num.partitions": 5,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.backoff.ms": 1000,
            "group.max.size": 2000,
        }
        (self.folder / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        (self.folder / "log4j2.properties").write_text(
            "appender.console.type=Console\nappender.console.name=console\nappender.console.layout.type=PatternLayout\n"
            "appender.console.layout.pattern=[%d] %p %m (%c)%n\nrootLogger.level=WARN\nrootLogger.appenderRef.console.ref=console\n"
        )
        format_ = ["kafka.tools.StorageTool", "format", "--cluster-id", "QuipuCompareQuipuComp0", "-c", self.folder / "server.properties"]
        clients.run(self.jvm(*format_), 120)

    def command(self):
        return self.jvm("kafka.Kafka", self.folder / "server.properties")

    def version(self):
        return "Apache Kafka 4.3.1"

    def topic_settings(self):
        return {"sync": {"flush.messages": 1}, "interval": {"flush.ms": 50}}.get(self.options.get("durability"), {})


class Kfake(Broker):
    name = "kfake"
    lacks = {"cold": "reads its whole directory at start", "compaction": "compacts once an hour"}

    def command(self):
        (self.folder / "data").mkdir(exist_ok=True)
        return [clients.BIN / "kfake", self.port, self.folder / "data", *(["sync"] if self.options.get("durability") == "sync" else [])]

    def version(self):
        return f"franz-go's kfake {clients.versions()['kfake']}"


class Mock(Broker):
    """librdkafka's mock: keeps a few megabytes per partition in memory, writes nothing."""

    name = "mock"
    lacks = dict.fromkeys(
        ["consume", "cold", "partitions", "group", "transactions", "compaction", "fanout", "publishers", "start", "idle", "java"],
        "keeps only the newest records, in memory, and knows no CreateTopics",
    )

    def command(self):
        return [clients.BIN / "mock"]

    def start(self, limit_s=10):
        began = time.monotonic()
        self.process = subprocess.Popen([clients.BIN / "mock"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        line = self.process.stdout.readline().decode()
        self.address = line.split()[1]
        self.start_ms = (time.monotonic() - began) * 1000
        return self

    def create(self, topic, partitions=1, **configs):
        """It makes a topic of four partitions when somebody asks for it."""

    def version(self):
        return f"librdkafka {clients.versions()['librdkafka']}'s mock"


ALL = {broker.name: broker for broker in (Quipu, Kafka, Kfake, Mock)}
