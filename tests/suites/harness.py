"""Runs another project's test suite, unmodified, against a broker of its own, and judges it by the lists beside it.

A suite is a folder with three files:

    run       prepares the suite and says how it is started (an instance of `Suite`)
    pass      the tests that pass, one a line; each of them must run and pass.
              `NAME # tries N: REASON` is for a test that loses a race of its own client now and then,
              `NAME # long: REASON` for one that takes so long that it is only run with --all
    not-yet   every other test of the suite, with its reason: `NAME # REASON`.
              `~ NAME # REASON` is a test whose result says nothing about the broker,
              `- NAME # REASON` one that is not even run (without --all), as it would only run into a timeout

Tests that are in neither list are new: they are printed, and fail the run, so that the lists stay complete.

The suite and its broker share a private network namespace, where localhost:9092 is always free.
"""

import argparse
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("QUIPU_CACHE") or Path.home() / ".cache" / "quipu")
ADDRESS = "localhost:9092"
ISOLATED = "QUIPU_SUITE_ISOLATED"

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Suite:
    """One suite. Subclasses say how to prepare it, what to start, and how to read its output."""

    name = ""
    settings = {}  # what the suite wants of a broker, in Kafka's property names
    kafka_settings = {}  # what only a real Kafka needs on top
    quipu_settings = {}  # what only Quipu needs on top
    lanes = ()  # first words of the tests' names, up to a slash: each lane has a broker of its own, and all run at once
    lane = None  # the one that this process runs
    limit_s = 600  # the whole run
    silence_s = 150  # no output at all: a hang

    def __init__(self):
        self.cache = CACHE / "suites" / self.name
        self.folder = HERE / self.name

    def prepare(self):
        """Fetches and builds what is missing. The only step that may use the network."""
        raise NotImplementedError

    def commands(self, only, without):
        """The processes to run, in turn: (label, arguments, folder, environment).

        `only` names the tests to run, all of them when it is empty; `without` those to leave out.
        """
        raise NotImplementedError

    def read_line(self, label, line, seen):
        """Reads a line of output, which may still lack its end, and notes on `seen` what it tells."""
        raise NotImplementedError


class Seen:
    """What a run has shown so far."""

    def __init__(self):
        self.results = {}
        self.running = {}  # an ordered set: the tests that have begun and not ended

    def began(self, test):
        if test not in self.results:
            self.running[test] = True

    def ended(self, test, result):
        self.running.pop(test, None)
        if self.results.get(test) != FAILED:  # a failure while cleaning up comes after the pass
            self.results[test] = result


class Broken(Exception):
    """The run cannot go on: no broker, no port, no suite."""


def run(command, **options):
    """Runs a step of a preparation; its output belongs into the log only when it fails."""
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode:
        raise Broken(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def crate_source(name, version, drop=()):
    """Copies a crate out of Cargo's own cache, where it lies unpacked once a package that names it was fetched."""
    cache = CACHE / "suites" / name
    source = cache / f"{name}-{version}"
    if source.exists():
        return source
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch) / "Cargo.toml"
        manifest.write_text(
            f'[package]\nname = "scratch"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[dependencies]\n{name} = "={version}"\n[workspace]\n'
        )
        (Path(scratch) / "lib.rs").touch()
        run(["cargo", "fetch", "--manifest-path", manifest])
        metadata = json.loads(run(["cargo", "metadata", "--offline", "--quiet", "--format-version=1", "--manifest-path", manifest]))
    package = next(p for p in metadata["packages"] if p["name"] == name and p["version"] == version)
    half = cache / "half-copied"
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(Path(package["manifest_path"]).parent, half)
    for unwanted in drop:
        (half / unwanted).unlink(missing_ok=True)
    half.rename(source)
    return source


class CargoSuite(Suite):
    """The tests of a crate, each test program started by itself."""

    crate = version = ""
    drop = ()  # files of the crate that keep it from building here
    features = ()
    targets = ()  # the test targets to run, "lib" for the unit tests
    environment = {}
    test_threads = 1

    def prepare(self):
        source = crate_source(self.crate, self.version, self.drop)
        target = self.cache / "target"
        kinds = [flag for name in self.targets for flag in (["--lib"] if name == "lib" else ["--test", name])]
        features = ["--features", ",".join(self.features)] if self.features else []
        environment = dict(os.environ, CARGO_TARGET_DIR=str(target))
        build = ["cargo", "test", "--no-run", "--message-format=json", *features, *kinds]
        # Once everything is fetched, the build needs no network; what an interrupted run left may need it again.
        for offline in ["--offline"], []:
            done = subprocess.run(
                build + offline, cwd=source, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            if not done.returncode:
                break
        if done.returncode:
            raise Broken(f"{self.crate} does not build:\n{done.stderr[-4000:]}")
        programs = {}
        for line in done.stdout.splitlines():
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("reason") == "compiler-artifact" and message.get("executable"):
                label = "lib" if "lib" in message["target"]["kind"] else message["target"]["name"]
                programs[label] = message["executable"]
        missing = set(self.targets) - set(programs)
        if missing:
            raise Broken(f"{self.crate} has no test target {', '.join(sorted(missing))}")
        (self.cache / "programs.json").write_text(json.dumps({"source": str(source), "programs": programs}))

    def commands(self, only, without):
        built = json.loads((self.cache / "programs.json").read_text())
        environment = dict(os.environ, CARGO_MANIFEST_DIR=built["source"], **self.environment)
        for label in self.targets:
            wanted = [test.split("/", 1)[1] for test in only if test.startswith(label + "/")]
            if only and not wanted:
                continue
            skipped = [word for test in without if test.startswith(label + "/") for word in ("--skip", test.split("/", 1)[1])]
            arguments = [built["programs"][label], "--test-threads", str(self.test_threads), *wanted, *skipped, "--exact"]
            yield label, arguments, built["source"], environment

    OUTCOME = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)?")
    LATE = re.compile(r"^(ok|FAILED|ignored)(?:$|,| )")  # after output of the test itself

    def read_line(self, label, line, seen):
        found = self.OUTCOME.match(line)
        if found:
            test, outcome = f"{label}/{found[1]}", found[2]
        else:
            late = self.LATE.match(line)
            if not late or len(seen.running) != 1:
                return
            test, outcome = next(iter(seen.running)), late[1]
        if outcome:
            seen.ended(test, {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}[outcome])
        else:
            seen.began(test)


def quipu_binary(given):
    if given:
        return Path(given).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
    binary = target / "fast" / "quipu"
    if not binary.exists():
        raise Broken(f"no broker at {binary}: build it with `cargo build --profile fast --target-dir {target}`, or name one with --quipu")
    return binary


class Broker:
    """A broker of its own for one run, with its data and its log in `folder`."""

    def __init__(self, suite, kind, binary, folder):
        self.log = folder / "broker.log"
        settings = {"group.initial.rebalance.delay.ms": "0", **suite.settings}
        if kind == "kafka":
            settings.update(suite.kafka_settings)
            pairs = [f"{key}={value}" for key, value in settings.items()]
            command = [HERE / "kafka" / "start", folder / "data", *pairs]
            self.ready = re.compile(rb"Kafka Server started")
        else:
            settings.update(suite.quipu_settings)
            overrides = [part for key, value in settings.items() for part in ("--override", f"{key}={value}")]
            command = [binary, "serve", "--data-dir", folder / "data", "--listen", ADDRESS, *overrides]
            self.ready = re.compile(rb"(?m)Quipu \S+ ready")
        self.command = [str(part) for part in command]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def wait_until_ready(self, limit_s=60):
        end = time.monotonic() + limit_s
        while not self.ready.search(self.log.read_bytes()):
            if self.process.poll() is not None:
                raise Broken(f"the broker ended with code {self.process.returncode}: {' '.join(self.command)}\n{self.tail()}")
            if time.monotonic() > end:
                raise Broken(f"the broker was not ready within {limit_s} s\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self):
        """Ends the broker and returns what was wrong with it, or nothing."""
        code = self.process.poll()
        if code is not None:
            return f"the broker ended by itself with code {code}"
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return "the broker did not stop within 20 s of SIGTERM"
        if re.search(rb"thread '[^']*' (\(\d+\) )?panicked at", self.log.read_bytes()):
            return "the broker panicked"
        return None


def follow(suite, command, seen, log, end):
    """Runs one process of a suite to its end, reading what it prints. Returns what stopped it early, or nothing."""
    label, arguments, folder, environment = command
    process = subprocess.Popen(
        [str(part) for part in arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    waiting = selectors.DefaultSelector()
    waiting.register(process.stdout, selectors.EVENT_READ)
    unread = ""
    try:
        while True:
            patience = min(suite.silence_s, end - time.monotonic())
            if patience <= 0 or not waiting.select(patience):
                what = f"no end within {suite.limit_s} s" if end <= time.monotonic() else f"no output for {suite.silence_s} s"
                return f"{label}: {what}, while running {', '.join(seen.running) or 'no test'}"
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                process.wait()
                return None
            log.write(chunk)
            log.flush()
            *lines, unread = (unread + chunk.decode(errors="replace")).split("\n")
            for line in lines:
                suite.read_line(label, line, seen)
            if unread:
                suite.read_line(label, unread, seen)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


class Lists:
    """What `pass` and `not-yet` say: how often each listed test may be tried, and the reasons of the others."""

    def __init__(self, folder, lane=None):
        self.tries, self.reasons, self.either_way, self.left_out, self.long = {}, {}, set(), set(), set()
        for where, name, remark in self.lines(folder / "pass"):
            tries = re.match(r"tries (\d+): .", remark)
            is_long = re.match(r"long: .", remark)
            if remark and not tries and not is_long:
                raise Broken(f"{where}: a remark in this list has the form `tries N: REASON` or `long: REASON`")
            if is_long:
                self.long.add(name)
            self.add(where, name, self.tries, int(tries[1]) if tries else 1)
        for where, name, remark in self.lines(folder / "not-yet"):
            if not remark:
                raise Broken(f"{where}: a reason is missing")
            mark, _, rest = name.partition(" ")
            special = {"~": self.either_way, "-": self.left_out}.get(mark)
            if special is not None:
                name = rest.strip()
                special.add(name)
            self.add(where, name, self.reasons, remark)
        if lane:
            for names in self.tries, self.reasons:
                for name in [name for name in names if not name.startswith(f"{lane}/")]:
                    del names[name]
            for names in self.either_way, self.left_out, self.long:
                names.intersection_update({*self.tries, *self.reasons})

    def add(self, where, name, names, value):
        if name in self.tries or name in self.reasons:
            raise Broken(f"{where}: {name} is listed twice")
        names[name] = value

    @staticmethod
    def lines(file):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                name, _, remark = line.partition(" # ")
                yield f"{file.parent.name}/{file.name}:{number}", name.strip(), remark.strip()


def judge(lists, seen, only, without):
    """Compares a run with the lists; returns the counts, the complaints and the new passes."""
    listed = [test for test in lists.tries if (not only or test in only) and test not in without]
    complaints, new = [], []
    for test in listed:
        result = seen.results.get(test, "missing")
        if result != PASSED:
            complaints.append(f"{result}: {test}")
    for test, result in seen.results.items():
        if test not in lists.tries and test not in lists.reasons:
            complaints.append(f"in neither list: {test} ({result})")
        if test in lists.reasons and test not in lists.either_way and result == PASSED:
            new.append(test)
    counts = {
        "listed": len(listed),
        "passed": sum(seen.results.get(test) == PASSED for test in listed),
        "failed": len(complaints),
        "not_yet": 0 if only else len(lists.reasons),
        "new": len(new),
    }
    return counts, complaints, new


def isolate():
    """Goes on in a network namespace of its own, or makes sure that the port is free where that is not allowed."""
    if os.environ.get(ISOLATED):
        return
    if shutil.which("unshare") and shutil.which("ip") and not subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True).returncode:
        os.environ[ISOLATED] = "1"
        again = [sys.executable, *sys.argv]
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *again])
    import socket

    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if not probe.connect_ex((host, 9092)):
                raise Broken(f"something listens on {host}:9092, and a private network namespace is not allowed here: stop it first")


def report(suite, arguments, counts, complaints, new, seconds, folder):
    for test in new:
        print(f"  passes now, move it into the list: {test}")
    for complaint in complaints:
        print(f"  {complaint}")
    print(
        f"{suite.name} on {arguments.broker}{f' ({suite.lane})' if suite.lane else ''}: {counts['listed']} listed, {counts['passed']} of them passed, {counts['failed']} complaints, "
        f"{counts['not_yet']} not yet, {counts['new']} new passes, {seconds:.0f} s; logs in {folder}"
    )
    if arguments.report:
        Path(arguments.report).write_text(json.dumps({"passed": counts["passed"], "failed": counts["failed"], "skipped": counts["not_yet"]}))


def main(suite):
    parser = argparse.ArgumentParser(description=f"Runs the suite of {suite.name} against a broker of its own.")
    parser.add_argument("--broker", choices=["quipu", "kafka"], default="quipu", help="which broker to start")
    parser.add_argument("--quipu", metavar="FILE", help="the quipu to start (default: the cached build of profile fast)")
    parser.add_argument("--all", action="store_true", help="run those tests, too, that take long or only run into a timeout")
    parser.add_argument("--lane", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help="only fetch and build the suite")
    parser.add_argument("--report", metavar="FILE", help="write the counts there, as JSON")
    parser.add_argument("--logs", metavar="DIR", help="where the logs go (default: the cache's folder logs)")
    parser.add_argument("test", nargs="*", help="run only these tests, named as in the lists")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if not os.environ.get(ISOLATED):
            suite.cache.mkdir(parents=True, exist_ok=True)
            suite.prepare()
            if arguments.broker == "kafka":
                run([HERE / "kafka" / "start", "fetch"])
        if arguments.prepare:
            return
        suite.lane = arguments.lane
        if suite.lanes and not arguments.lane and not arguments.test:
            sys.exit(run_lanes(suite, arguments))
        isolate()
        sys.exit(run_against_broker(suite, arguments))
    except Broken as broken:
        sys.exit(f"{suite.name}: {broken}")


def run_lanes(suite, arguments):
    """Runs the lanes at the same time, each in a namespace of its own, and adds up what they found."""
    with tempfile.TemporaryDirectory(prefix=f"quipu-{suite.name}-") as scratch:
        reports = [Path(scratch) / f"{lane}.json" for lane in suite.lanes]
        options = [word for word in sys.argv[1:] if word != "--report" and word != arguments.report]
        running = [
            subprocess.Popen([sys.executable, sys.argv[0], *options, "--lane", lane, "--report", report])
            for lane, report in zip(suite.lanes, reports)
        ]
        try:
            codes = [process.wait() for process in running]
        finally:
            for process in running:
                process.terminate()
        counts = [json.loads(report.read_text()) if report.exists() else {"failed": 1} for report in reports]
    if arguments.report:
        total = {word: sum(count.get(word, 0) for count in counts) for word in ("passed", "failed", "skipped")}
        Path(arguments.report).write_text(json.dumps(total))
    return max(codes)


def run_against_broker(suite, arguments):
    lane = f"-{suite.lane}" if suite.lane else ""
    logs = Path(arguments.logs or CACHE / "logs") / f"{suite.name}-{arguments.broker}{lane}"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    lists = Lists(suite.folder, suite.lane)
    binary = quipu_binary(arguments.quipu) if arguments.broker == "quipu" else None
    broken = []
    without = set() if arguments.all else (lists.left_out | lists.long) - set(arguments.test)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"quipu-{suite.name}-") as scratch:
        broker = Broker(suite, arguments.broker, binary, Path(scratch))
        try:
            broker.wait_until_ready()
            with open(logs / "suite.log", "wb") as log:
                seen = run_tests(suite, arguments.test, without, log, began + suite.limit_s, broken)
                if not broken:
                    try_again(suite, lists, seen, log, began + suite.limit_s, broken)
        finally:
            wrong = broker.stop()
            shutil.copy(broker.log, logs / "broker.log")
        if wrong and not (arguments.broker == "kafka" and "by itself" not in wrong):
            broken.append(f"{wrong}\n{broker.tail()}")
    counts, complaints, new = judge(lists, seen, arguments.test, without)
    complaints += broken
    counts["failed"] = len(complaints)
    report(suite, arguments, counts, complaints, new, time.monotonic() - began, logs)
    return 1 if complaints else 0


def run_tests(suite, only, without, log, end, broken):
    """Runs the suite, or some of its tests; what cuts it short goes to `broken`."""
    seen = Seen()
    for command in suite.commands(only, without):
        stopped = follow(suite, command, seen, log, end)
        for test in list(seen.running):
            seen.ended(test, FAILED)
        if stopped:
            broken.append(stopped)
            break
    return seen


def try_again(suite, lists, seen, log, end, broken):
    """Gives the tests whose client has a race the tries that the list allows them."""
    for test, tries in lists.tries.items():
        for number in range(2, tries + 1):
            if seen.results.get(test) != FAILED or broken:
                break
            again = run_tests(suite, [test], set(), log, end, broken)
            if again.results.get(test) == PASSED:
                seen.results[test] = PASSED
                print(f"  passed at try {number}: {test}")
