"""Runs a peer; requests come on standard input and answers leave on standard output, a line of JSON each.

python -m benchmarks.search_quality.peers.worker PEER

The first line is the problem; then `{"suggest": true}` or `{"report": [trial, epoch, value, seconds]}`. Each answer has
the peer's own `seconds`. What the peer prints goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

from benchmarks.search_quality.peers.peer import PEERS
from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.searcher import Searcher


def answer(searcher: Searcher, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    start = time.perf_counter()
    if "report" in request:
        trial, epoch, value, seconds = request["report"]
        content: dict[str, Any] = {"verdict": searcher.report(trial, epoch, value, seconds)}
    else:
        job = searcher.suggest()
        content = {"trial": job.trial, "config": job.config} if job else {"trial": None}
    return content | {"seconds": time.perf_counter() - start}


def serve(peer: str, requests: TextIO, answers: TextIO) -> None:
    """Answer all requests; an error of the peer is an answer too, and the last one."""

    def send(content: Mapping[str, Any]) -> None:
        print(json.dumps(content, default=_plain), file=answers, flush=True)

    try:
        problem = Problem.from_json(json.loads(requests.readline()))
        searcher = PEERS[peer].make(problem)
        send({"ready": True})
        for line in requests:
            send(answer(searcher, json.loads(line)))
    except Exception as error:
        traceback.print_exc()
        send({"error": f"{type(error).__name__}: {error}"})


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    return value.item()


def main() -> None:
    """Serve on this process's standard input and output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # peers print to standard output
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    serve(sys.argv[1], sys.stdin, answers)


if __name__ == "__main__":
    main()
