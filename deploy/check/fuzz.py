"""Fuzzes the HTTP API by its own OpenAPI document, against the demo on loopback: nothing outside is asked.

usage: fuzz.py STARKEEP SCHEMATHESIS

Every call gets requests that fit the document and requests that do not. No answer may be a fault of the server, have a
status or a shape that the document does not promise, or take what the document forbids.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import demo

HERE = pathlib.Path(__file__).resolve().parent


def main() -> int:
    starkeep, schemathesis = (str(pathlib.Path(it).resolve()) for it in sys.argv[1:3])
    # It leaves files of its own where it runs.
    with demo.serving(starkeep) as told, tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        environment = os.environ | {"STARKEEP_FUZZ_TOKEN": told["token"], "NO_COLOR": "1", "NO_PROXY": "*"}
        config = str(HERE / "schemathesis.toml")
        command = [schemathesis, "--config-file", config, "run", f"{told['address']}/openapi.json", *sys.argv[3:]]
        code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        print(f"{time.monotonic() - begun:.0f} s")
        return code


if __name__ == "__main__":
    sys.exit(main())
