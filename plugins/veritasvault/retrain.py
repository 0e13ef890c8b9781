"""`python -m veritasvault.retrain`: trains once more with the code of this commit, for later commits to ask.

The protocol is published in docs/reproduction.md and may grow, but nothing in it may change: a version is
reproduced by the entry point of the commit that trained it. On standard input come a line with the request
and a line for each further step; on standard output go lines of JSON, one for each step. When the input ends,
the process ends at once.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO, Any

from domain.registry.errors import DomainException
from domain.risk.reproduction.retraining import Retraining, retrain
from veritasvault.bootstrap import bootstrap
from veritasvault.quick_end import end_at_once


def main() -> int:
    """Answer one request; the exit code is 0 if all that was asked for was answered."""
    end_at_once()
    answers = _only_answers()
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    try:
        request = Retraining.from_json(json.loads(asked.get()))
        for step in retrain(request, bootstrap()):
            _say(answers, step.to_json())
            asked.get()
        _say(answers, {"done": True})
    except DomainException as error:
        _say(answers, {"error": type(error).__name__, "message": str(error), "retriable": error.retriable})
        return 1
    return 0


def _only_answers() -> IO[bytes]:
    """Standard output; what else is printed, by engines for example, goes to standard error from here on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(asked: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        asked.put(line)
    # Whoever asked has seen enough or is dead; nothing here is worth finishing.
    os._exit(1)


def _say(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
