"""The README's examples, run exactly as they are printed.

Each section below "Five minutes" is a scenario. Its fenced blocks are taken in order: one with a file name behind its
language is saved under that name, a `sh` block is run, and a `text` block is what the `sh` block before it prints.
"""

import os
import re
from pathlib import Path

from .base import ROOT, Failure, run
from .broker import Broker
from .install import RUST_TARGET

README = ROOT / "README.md"
CHAPTER = "Five minutes"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
# A cold build of librdkafka on a busy machine takes most of it.
LIMIT_S = 600


def sections():
    """The sections of the chapter, each with its blocks: language, file name, text."""
    text = README.read_text() if README.exists() else ""
    chapter = re.search(rf"^## {CHAPTER}\b.*?(?=^## |\Z)", text, re.M | re.S)
    if not chapter:
        return {}
    parts = re.split(r"^### (.+)$", chapter[0], flags=re.M)[1:]
    return {title: BLOCK.findall(body) for title, body in zip(parts[::2], parts[1::2])}


class NewcomersBroker:
    """One broker for all examples, started without arguments when the first example runs: it owns port 9092."""

    def __init__(self, binary):
        self.binary, self.broker = binary, None

    def get(self, logs):
        if self.broker is None:
            self.broker = Broker(self.binary, logs, port=9092, name="readme-broker")
        return self.broker


def scenarios(newcomers):
    return {f"readme/{slug(title)}": section(blocks, newcomers) for title, blocks in sections().items()}


def slug(title):
    return re.match(r"\w+", title)[0].lower()


def section(blocks, newcomers):
    return lambda _bootstrap, _prefix, log, folder: execute(blocks, newcomers.get(log.parent), folder, log)


def execute(blocks, running, folder, log):
    path = f"{running.path}:{os.environ['PATH']}"
    environment = dict(os.environ, CARGO_TARGET_DIR=str(RUST_TARGET), PATH=path)
    output = Path(folder) / ".output"
    for language, name, text in blocks:
        if name:
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        elif language == "sh":
            try:
                run(["bash", "-euo", "pipefail", "-c", text], log, LIMIT_S, stdout=output, cwd=folder, env=environment)
            except Failure as failure:
                printed = output.read_text(errors="replace").strip()
                raise Failure(f"{failure}; it printed {printed[-300:]!r}") from None
        elif language == "text":
            printed = output.read_text()
            if printed != text:
                raise Failure(f"printed {printed!r}, the README says {text!r}")
        else:
            raise Failure(f"a block of {language} without a file name")
