"""A running `starkeep demo`, for checks that ask a whole service from outside."""

import contextlib
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

PATIENCE = 120
TOLD = {
    "address": r"keeps serving at (\S+)",
    "token": r"admin token: (\S+)",
    "sign_in": r"(\S+/#sign-in=\S+)",
}


@contextlib.contextmanager
def serving(starkeep: str) -> Iterator[dict[str, str]]:
    """What the demo prints once its play is over: the address, the admin token and the address of the first sign-in.

    Ends with an error if the demo has ended before.
    """
    with tempfile.TemporaryDirectory(prefix="starkeep-demo-") as folder:
        demo = subprocess.Popen(
            [starkeep, "demo"], cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            yield told(demo)
            if demo.poll() is not None:
                sys.exit("the server ended while it was asked")
        finally:
            demo.terminate()
            demo.wait(30)


def told(demo: subprocess.Popen) -> dict[str, str]:
    found: dict[str, str] = {}
    done = threading.Event()

    def read() -> None:
        for line in demo.stderr:
            for name, pattern in TOLD.items():
                match = re.search(pattern, line)
                if match:
                    found[name] = match.group(1)
            if len(found) == len(TOLD):
                done.set()

    threading.Thread(target=read, daemon=True).start()
    if not done.wait(PATIENCE):
        sys.exit("the demo did not come to serve")
    return found
