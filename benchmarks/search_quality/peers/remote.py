"""A peer in a process of another Python, as a searcher of this one."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.search_quality.peers.peer import PEERS
from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.searcher import Job, Verdict

ROOT = Path(__file__).parents[3]
WORKER = "benchmarks.search_quality.peers.worker"
CHECK = """
import importlib.metadata as metadata, sys
for need in sys.argv[1:]:
    name, _, version = need.partition("==")
    if not metadata.version(name).startswith(version):
        sys.exit(f"{name} {metadata.version(name)} is not {version}")
"""


class PeerError(Exception):
    """A peer cannot be run, raised an error, or took too long; the message says which."""


class RemotePeer:
    """A peer that runs in a process of its own. Use as a context manager: the process ends with it.

    Args:
        python: the Python that has the peer's package.
        name: a name of `PEERS`.
        problem: the search.
        time_limit: real seconds that the peer may take for a search.
    """

    def __init__(self, python: str, name: str, problem: Problem, time_limit: float) -> None:
        self._name, self._left = name, time_limit
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(  # noqa: S603 (the Python that the user names)
            [python, "-m", WORKER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, **threads, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._write(problem.to_json())
        self._answer()

    def __enter__(self) -> RemotePeer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def suggest(self) -> Job | None:
        """The peer's next trial."""
        answer = self._request({"suggest": True})
        return None if answer["trial"] is None else Job(answer["trial"], answer["config"])

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Pass on an epoch."""
        verdict: Verdict = self._request({"report": [trial, epoch, value, seconds]})["verdict"]
        return verdict

    def _request(self, content: Mapping[str, Any]) -> dict[str, Any]:
        self._write(content)
        answer = self._answer()
        self._left -= answer["seconds"]
        return answer

    def _write(self, content: Mapping[str, Any]) -> None:
        assert self._process.stdin  # noqa: S101 (for the type checker)
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PeerError("its process ended") from None

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 (for the type checker)
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=max(self._left, 0.0))
        except queue.Empty:
            raise PeerError("took longer than --time-limit") from None
        if not line:
            raise PeerError("its process ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer


def python_for(name: str, pythons: Sequence[str]) -> str:
    """The first of several Pythons that has a peer's packages.

    Raises:
        PeerError: none has.
    """
    for python in pythons:
        command = [python, "-c", CHECK, *PEERS[name].needs]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:  # noqa: S603
                return python
        except OSError:
            raise PeerError(f"--peers-python: '{python}' cannot be started") from None
    raise PeerError(f"no Python of --peers-python has {', '.join(PEERS[name].needs)}")
