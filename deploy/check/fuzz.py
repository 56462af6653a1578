"""Fuzzes the HTTP API by its own OpenAPI document, against the demo on loopback: nothing outside is asked.

usage: fuzz.py STARKEEP SCHEMATHESIS

Every call gets requests that fit the document and requests that do not. No answer may be a fault of the server, have a
status or a shape that the document does not promise, or take what the document forbids.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 120
HERE = pathlib.Path(__file__).resolve().parent


def serving(process: subprocess.Popen) -> tuple[str, str]:
    """The address and the token that the demo prints once its play is over."""
    found: dict[str, str] = {}
    done = threading.Event()

    def read() -> None:
        for line in process.stderr:
            for name, pattern in (("address", r"keeps serving at (\S+)"), ("token", r"admin token: (\S+)")):
                match = re.search(pattern, line)
                if match:
                    found[name] = match.group(1)
            if len(found) == 2:
                done.set()

    threading.Thread(target=read, daemon=True).start()
    if not done.wait(PATIENCE):
        sys.exit("the demo did not come to serve")
    return found["address"], found["token"]


def main() -> int:
    starkeep, schemathesis = (str(pathlib.Path(it).resolve()) for it in sys.argv[1:3])
    with tempfile.TemporaryDirectory(prefix="starkeep-fuzz-") as folder:
        demo = subprocess.Popen(
            [starkeep, "demo"], cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            address, token = serving(demo)
            begun = time.monotonic()
            environment = os.environ | {"STARKEEP_FUZZ_TOKEN": token, "NO_COLOR": "1", "NO_PROXY": "*"}
            config = str(HERE / "schemathesis.toml")
            command = [schemathesis, "--config-file", config, "run", f"{address}/openapi.json", *sys.argv[3:]]
            code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
            if demo.poll() is not None:
                print("the server ended while it was fuzzed", file=sys.stderr)
                return 1
            print(f"{time.monotonic() - begun:.0f} s")
            return code
        finally:
            demo.terminate()
            demo.wait(30)


if __name__ == "__main__":
    sys.exit(main())
