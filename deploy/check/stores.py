"""Reads secrets from real secret stores: moto in place of AWS Secrets Manager, and Vault or OpenBao where there is one.

usage: stores.py STARKEEP PYTHON

PYTHON has moto and boto3. Vault is a running one that VAULT_ADDR and VAULT_TOKEN name (it is written to: only one made
for this), or `vault` or `bao` of the path in its development mode; where there is neither, that part is left out loudly.

For each store: `serve` starts with its secrets looked up there; a changed one opens without a restart and the one before
opens no more; while the store is away everything goes on and /readyz says so. With Vault the service signs in by
AppRole, with tokens that live for seconds, and signs in again when they are revoked.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

PATIENCE = 60
MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]))
server.start()
print("ready", flush=True)
sys.stdin.read()
"""
BOTO = """
import sys, boto3
client = boto3.client("secretsmanager", endpoint_url=sys.argv[1], region_name="eu-central-1")
call = client.create_secret if sys.argv[2] == "create" else client.put_secret_value
call(**{"Name" if sys.argv[2] == "create" else "SecretId": "starkeep", "SecretString": sys.argv[3]})
"""
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def call(url: str, token: str | None = None, body: object = None, method: str | None = None, **headers: str):
    """Status and JSON of a request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    for name, value in {"Authorization": f"Bearer {token}" if token else None, **headers}.items():
        if value is not None:
            request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text.strip() else None


def wait(what: str, holds) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: {what}")
        time.sleep(0.2)
    print(f"  {what}")


class Service:
    """A running `serve` whose admin token and webhook secret stand in a store."""

    def __init__(self, starkeep: str, folder: pathlib.Path, reference: str, section: str, environment: dict[str, str]):
        config = folder / "starkeep.toml"
        config.write_text(
            f'[server]\nbind = "127.0.0.1:0"\n[database]\nurl = "sqlite://{folder}/starkeep.db"\n'
            f'[admin]\ntoken = "{reference}#admin"\n[github]\nwebhook_secret = "{reference}#webhook"\n'
            # Nobody is asked for a repository here.
            f'[onedev]\nurl = "http://127.0.0.1:1"\ntoken = "none"\n[stars]\npoll_interval = "off"\n'
            f'[log]\nformat = "json"\n[secrets]\nrefresh = "1s"\ntimeout = "2s"\n{section}'
        )
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [starkeep, "--config", str(config), "serve"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "NO_PROXY": "*", **environment},
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        found = threading.Event()

        def read() -> None:
            for line in self.process.stderr:
                self.log.append(line)
                if match := re.search(r'"address":"(http[^"]+)"', line):
                    self.address = match.group(1)
                    found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        if not found.wait(PATIENCE) or not hasattr(self, "address"):
            self.end()
            raise SystemExit(f"FAILED: serve did not start: {''.join(self.log[-5:])}")

    def opens(self, token: str) -> bool:
        return call(f"{self.address}/api/v1/mirrors", token)[0] == 200

    def stores(self) -> str:
        return call(f"{self.address}/readyz")[1]["components"]["secrets"]["status"]

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def said(self, *secrets: str) -> None:
        text = "".join(self.log)
        for secret in secrets:
            if secret in text:
                raise SystemExit("FAILED: a secret was logged")


def changed(number: int) -> dict[str, str]:
    return {"admin": f"the-admin-token-number-{number}", "webhook": f"the-webhook-secret-number-{number}"}


def play(service: Service, put, away, back) -> None:
    """What holds for every store. `put` writes the secret, `away` and `back` take the store away and bring it back."""
    first, second, third = (changed(it) for it in (1, 2, 3))
    wait("the secret of the store opens", lambda: service.opens(first["admin"]))
    put(second)
    wait("a changed one opens without a restart", lambda: service.opens(second["admin"]))
    wait("the one before opens no more", lambda: not service.opens(first["admin"]))
    away()
    wait("a store that is away is told", lambda: service.stores() != "ok")
    wait("what was read stays in use", lambda: service.opens(second["admin"]))
    back()
    put(third)
    wait("when it is back its changes come in", lambda: service.opens(third["admin"]))
    wait("and all is well", lambda: service.stores() == "ok")
    service.said(*(text for it in (first, second, third) for text in it.values()))


def aws(starkeep: str, python: str, folder: pathlib.Path) -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = os.environ | AWS
    moto: list[subprocess.Popen] = []

    def back() -> None:
        it = subprocess.Popen(
            [python, "-c", MOTO, str(port)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        moto.append(it)
        # It says something of its own first.
        if not any(line.strip() == "ready" for line in it.stdout):
            raise SystemExit("FAILED: moto did not start")

    def away() -> None:
        it = moto.pop()
        it.kill()
        it.wait(30)

    def write(verb: str, secret: dict[str, str]) -> None:
        arguments = [python, "-c", BOTO, endpoint, verb, json.dumps(secret)]
        subprocess.run(arguments, env=environment, check=True, timeout=PATIENCE)

    def again() -> None:
        # It keeps nothing on disk.
        back()
        write("create", changed(2))

    back()
    service = None
    try:
        write("create", changed(1))
        section = f'aws_region = "eu-central-1"\naws_endpoint = "{endpoint}"\n'
        service = Service(starkeep, folder, "aws-sm:starkeep", section, AWS)
        play(service, lambda it: write("put", it), away, again)
    finally:
        if service:
            service.end()
        if moto:
            away()


def vault(starkeep: str, folder: pathlib.Path, address: str, root: str) -> None:
    def ask(path: str, body: object = None, method: str | None = None):
        status, answer = call(f"{address}/v1/{path}", None, body, method, X_Vault_Token=root)
        if status >= 400:
            raise SystemExit(f"FAILED: {path} was answered {status}: {answer}")
        return answer

    ask("sys/mounts/starkeep-check", {"type": "kv", "options": {"version": "2"}})
    ask("sys/auth/approle", {"type": "approle"})
    policy = 'path "starkeep-check/data/starkeep" { capabilities = ["read"] }'
    ask("sys/policies/acl/starkeep-check", {"policy": policy}, "PUT")
    ask("auth/approle/role/starkeep", {"token_policies": "starkeep-check", "token_ttl": "4s", "token_max_ttl": "12s"})
    role = ask("auth/approle/role/starkeep/role-id")["data"]["role_id"]
    secret = ask("auth/approle/role/starkeep/secret-id", {})["data"]["secret_id"]

    def put(fields: dict[str, str]) -> None:
        # A mount of version 2 needs a moment before it takes writes.
        def done() -> bool:
            return call(f"{address}/v1/starkeep-check/data/starkeep", None, {"data": fields}, X_Vault_Token=root)[0] < 400

        wait("written", done)

    def away() -> None:
        # Its door is shut and its token revoked; what it holds stays.
        ask("sys/policies/acl/starkeep-check", {"policy": 'path "nothing" { capabilities = ["deny"] }'}, "PUT")
        ask("sys/leases/revoke-prefix/auth/approle", {}, "PUT")

    def back() -> None:
        ask("sys/policies/acl/starkeep-check", {"policy": policy}, "PUT")

    put(changed(1))
    section = f'vault_address = "{address}"\nvault_role_id = "{role}"\nvault_secret_id = "{secret}"\n'
    service = Service(starkeep, folder, "vault:starkeep-check/starkeep", section, {})
    try:
        play(service, put, away, back)
        time.sleep(15)
        put(changed(4))
        wait("past the longest life of a token it signs in again", lambda: service.opens(changed(4)["admin"]))
        service.said(secret)
    finally:
        service.end()


def a_vault(folder: pathlib.Path):
    """Address and token of a Vault, and what ends it; `None` where there is none."""
    if "VAULT_ADDR" in os.environ:
        return os.environ["VAULT_ADDR"].rstrip("/"), os.environ["VAULT_TOKEN"], None
    program = shutil.which("bao") or shutil.which("vault")
    if program is None:
        return None
    port = free_port()
    arguments = ["server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = subprocess.Popen([program, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return call(f"{address}/v1/sys/health")[0] == 200
        except OSError:
            return False

    wait(f"{program} runs", answers)
    return address, "root", process


def main() -> None:
    starkeep, python = str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="starkeep-stores-") as name:
        folder = pathlib.Path(name)
        (folder / "aws").mkdir()
        print("AWS Secrets Manager (moto)")
        aws(starkeep, python, folder / "aws")
        found = a_vault(folder)
        if found is None:
            print("NOT CHECKED: Vault; there is no `vault` or `bao`, and VAULT_ADDR names none", file=sys.stderr)
            return
        address, token, process = found
        (folder / "vault").mkdir()
        print("Vault")
        try:
            vault(starkeep, folder / "vault", address, token)
        finally:
            if process is not None:
                process.terminate()
                process.wait(30)


if __name__ == "__main__":
    main()
