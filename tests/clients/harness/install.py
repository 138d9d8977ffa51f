"""Installs the clients by name into the cache, each once per version of its manifest."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .base import CLIENTS, INSTALLED, KAFKA_JARS, ROOT, Failure

GO_CLIENT = INSTALLED / "go-client"
GO_WORKERS = INSTALLED / "trading-workers"
PYTHON = INSTALLED / "python" / "bin" / "python"
RUST_TARGET = INSTALLED / "rust-target"
JAVA = INSTALLED / "java"
STREAMS = INSTALLED / "streams"
NODE = INSTALLED / "node"
CKJS = INSTALLED / "ckjs"
DATASETS = NODE / "node_modules" / "vega-datasets" / "data"


def step(command, **options):
    """One command of an installation; its output is shown only when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout[-4000:]}")


def once(name, manifests, install):
    """Runs `install` unless it has run with exactly these manifests."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in manifests)).hexdigest()
    stamp = INSTALLED / f"{name}.installed"
    if stamp.exists() and stamp.read_text() == digest:
        return
    began = time.monotonic()
    install()
    stamp.write_text(digest)
    print(f"      {name + ' installed':<28}{time.monotonic() - began:7.1f} s", flush=True)


def rust():
    for package in (CLIENTS / "rust", ROOT / "examples" / "market-publisher"):
        step(["cargo", "build", "--locked", "--quiet"], cwd=package, env=dict(os.environ, CARGO_TARGET_DIR=str(RUST_TARGET)))


def go():
    step(["go", "build", "-o", GO_CLIENT, "."], cwd=CLIENTS / "go")
    step(["go", "build", "-o", GO_WORKERS, "."], cwd=ROOT / "examples" / "trading-workers")


def python():
    requirements = CLIENTS / "python" / "requirements.txt"

    def install():
        shutil.rmtree(INSTALLED / "python", ignore_errors=True)
        step([sys.executable, "-m", "venv", INSTALLED / "python"])
        step([PYTHON, "-m", "pip", "install", "--quiet", "-r", requirements])

    once("python", [requirements], install)


def node():
    manifests = [CLIENTS / "node" / "package.json", CLIENTS / "node" / "package-lock.json"]

    def install():
        NODE.mkdir(parents=True, exist_ok=True)
        for manifest in manifests:
            shutil.copy(manifest, NODE)
        step(["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE)

    once("node", manifests, install)


def ckjs():
    """The client that wraps librdkafka, against Debian's libraries: no ready-made binary is fetched."""
    manifest = CLIENTS / "node" / "ckjs" / "package.json"

    def install():
        if not Path("/usr/include/zstd.h").exists():
            packages = ["libcurl4-openssl-dev", "libsasl2-dev", "libssl-dev", "libzstd-dev", "zlib1g-dev"]
            step(["apt-get", "update", "-qq"])
            step(["apt-get", "install", "-y", "-qq", *packages], env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
        CKJS.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest, CKJS)
        step(["npm", "install", "--no-audit", "--no-fund"], cwd=CKJS, env=dict(os.environ, CKJS_LINKING="dynamic"))

    once("ckjs", [manifest], install)


def java():
    compile_java("java", JAVA)


def streams():
    compile_java("streams", STREAMS)


def compile_java(name, target):
    """The jars that a folder's pom names, and its classes."""
    pom, sources = CLIENTS / name / "pom.xml", sorted((CLIENTS / name).glob("src/main/java/*.java"))

    def install():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        step(jar_copy(pom, target / "libs"))
        step(["javac", "-d", target / "classes", "-cp", f"{target}/libs/*", *sources])

    once(name, [pom, *sources], install)


def tools():
    """Kafka's own jars, shared with the suites that start a real Kafka."""
    if not any(KAFKA_JARS.glob("kafka-tools-4*.jar")):
        step(jar_copy(ROOT / "tests" / "suites" / "kafka" / "pom.xml", KAFKA_JARS))


def jar_copy(pom, folder):
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    return ["mvn", "-q", "-B", "-f", pom, *goal]


def kcat():
    if not shutil.which("kcat"):
        step(["apt-get", "update", "-qq"])
        step(["apt-get", "install", "-y", "-qq", "kcat"], env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
