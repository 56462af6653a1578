#!/usr/bin/env python3
"""What no schema says about the units and manifests below deploy/: that each pod and container is as hardened as the
others, that files which are named are there, that quadlet's keys are ones it knows. Needs PyYAML.

    deploy/check/units.py
"""
import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
# The user of the image.
USER = 65532
# Of podman 5.0; those that our units use and their neighbours. An unknown key stops the generator.
QUADLET = {
    "Container": """AddCapability AddDevice Annotation AutoUpdate ContainerName DNS DropCapability Entrypoint Environment
        EnvironmentFile Exec ExposeHostPort Group HealthCmd HealthInterval HealthOnFailure HealthRetries
        HealthStartPeriod HealthTimeout HostName Image Label LogDriver Mount Network NoNewPrivileges Notify PidsLimit
        PodmanArgs PublishPort Pull ReadOnly ReadOnlyTmpfs RunInit SeccompProfile Secret StopTimeout Sysctl Timezone
        Tmpfs Ulimit User UserNS Volume WorkingDir""".split(),
    "Volume": "Copy Device Driver GlobalArgs Group Image Label Options PodmanArgs Type User VolumeName".split(),
    "Network": """DisableDNS DNS Driver Gateway GlobalArgs Internal IPAMDriver IPRange IPv6 Label NetworkName Options
        PodmanArgs Subnet""".split(),
}
SYSTEMD = {"Unit", "Service", "Install"}
problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def sections(path):
    """Section, key and value of each line of a unit."""
    section, found = None, []
    for line in path.read_text().splitlines():
        if not line.strip() or line[0] in "#;":
            continue
        if line[0] == "[":
            section = line.strip("[]")
        else:
            key, equals, value = line.partition("=")
            expect(equals, f"{path.name}: `{line}` is no setting")
            found.append((section, key, value))
    return found


def quadlet():
    folder = ROOT / "deploy/quadlet"
    for path in sorted(folder.glob("*.*")):
        own = path.suffix[1:].capitalize()
        if own not in QUADLET:
            continue
        settings = sections(path)
        for section, key, value in settings:
            known = section in SYSTEMD or (section == own and key in QUADLET[own])
            expect(known, f"{path.name}: [{section}] {key} is not known to quadlet")
            if key in ("Volume", "Network") and re.match(r"[\w-]+\.(volume|network)", value):
                name = value.split(":")[0]
                expect((folder / name).exists(), f"{path.name}: there is no {name}")
        if own == "Container":
            told = {(key, value) for _, key, value in settings}
            hard = {"ReadOnly": "true", "DropCapability": "all", "NoNewPrivileges": "true", "User": str(USER)}
            for needed in hard.items():
                expect(needed in told, f"{path.name}: {needed[0]}={needed[1]} is missing")
            secrets = {value.split(",")[0] for _, key, value in settings if key == "Secret"}
            used = set(re.findall(r"file:/run/secrets/([\w-]+)", path.read_text()))
            expect(secrets == used, f"{path.name}: the secrets {secrets ^ used} are not both given and used")


def service():
    path = ROOT / "deploy/systemd/starkeep.service"
    told = {f"{key}={value}" for _, key, value in sections(path)}
    for needed in ("NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "User=starkeep"):
        expect(needed in told, f"{path.name}: {needed} is missing")


def pod(name, spec):
    """What the strictest of the pod security standards asks for, and a little more."""
    security = spec.get("securityContext", {})
    expect(security.get("runAsNonRoot") is True and security.get("runAsUser") == USER, f"{name}: runs as root")
    expect(security.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name}: no seccomp profile")
    expect(spec.get("automountServiceAccountToken") is False, f"{name}: gets a token of the cluster")
    expect(spec.get("terminationGracePeriodSeconds", 30) >= 60, f"{name}: a drain would be cut off")
    volumes = {it["name"] for it in spec.get("volumes", [])}
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        expect(own.get("readOnlyRootFilesystem") is True, f"{name}: its root file system may be written")
        expect(own.get("allowPrivilegeEscalation") is False, f"{name}: may gain privileges")
        expect(own.get("capabilities") == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            expect("httpGet" in container.get(probe, {}), f"{name}: has no {probe}")
        expect(container["readinessProbe"]["httpGet"]["path"] == "/readyz", f"{name}: ready is not /readyz")
        expect(container["livenessProbe"]["httpGet"]["path"] == "/healthz", f"{name}: alive is not /healthz")
        expect("memory" in container.get("resources", {}).get("limits", {}), f"{name}: no limit of memory")
    return volumes


def kubernetes():
    containers = {}
    for path in sorted(KUBERNETES.rglob("kustomization.yaml")):
        text = yaml.safe_load(path.read_text())
        named = text.get("resources", []) + text.get("components", [])
        named += [file for it in text.get("configMapGenerator", []) for file in it.get("files", [])]
        for name in named:
            expect((path.parent / name).exists(), f"{path.relative_to(ROOT)}: there is no {name}")
        here = {it.name for it in path.parent.iterdir()} - {path.name}
        expect(here <= set(named), f"{path.relative_to(ROOT)}: does not name {here - set(named)}")
        for file in path.parent.glob("*.yaml"):
            for it in yaml.safe_load_all(file.read_text()):
                spec = it.get("spec", {}) if it else {}
                if "template" not in spec:
                    continue
                template = spec["template"]["spec"]
                volumes = pod(file.name, template)
                volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
                mounts = {mount["name"] for mount in template["containers"][0]["volumeMounts"]}
                expect(mounts == volumes, f"{file.name}: the volumes {mounts ^ volumes} are not both given and mounted")
                containers[file.name] = template["containers"]
    roles = {"statefulset.yaml": [], "web.yaml": ["--role", "web"], "worker.yaml": ["--role", "worker"]}
    expect(containers.keys() == roles.keys(), f"there should be the pods {list(roles)}")
    for name, its in containers.items():
        command = its[0].pop("args")
        expect(command[2:] == ["serve", *roles.get(name, [])], f"{name}: has another role")
    expect(len({str(it) for it in containers.values()}) == 1, "the containers of the pods differ")


def configurations():
    """The configuration files that come with the units: no secret stands in them."""
    # Beside this file stand the checks' own.
    for path in sorted(it for it in (ROOT / "deploy").rglob("*.toml") if it.parent.name != "check"):
        text = tomllib.loads(path.read_text())
        for key in ("github.token", "github.webhook_secret", "onedev.token", "admin.token"):
            section, name = key.split(".")
            value = text.get(section, {}).get(name, "")
            expect(value.startswith("file:/"), f"{path.relative_to(ROOT)}: {key} is no file")


def image():
    """The parts agree about the image's user and its health check."""
    containerfile = (ROOT / "Containerfile").read_text()
    expect(f"USER {USER}:{USER}" in containerfile, "Containerfile: another user")
    final = containerfile.rsplit("\nFROM ", 1)[1]
    expect(not re.search(r"^RUN ", final, re.M), "Containerfile: the final stage runs something, which needs a shell")
    expect("DATABASE__URL" not in final, "Containerfile: a variable for the database would win over a mounted file")
    compose = yaml.safe_load((ROOT / "podman-compose.yml").read_text())
    starkeep = compose["services"]["starkeep"]
    # One word alone is a line for a shell to podman, and there is none.
    check = ["/usr/local/bin/ready", "/readyz"]
    expect(f"CMD {json.dumps(check)}" in final, "Containerfile: another health check")
    expect(starkeep["healthcheck"]["test"] == ["CMD", *check], "compose: another health check")
    for unit in (ROOT / "deploy/quadlet").glob("*.container"):
        expect(f"HealthCmd={json.dumps(check)}\n" in unit.read_text(), f"{unit.name}: another health check")
    for name in ("starkeep", "worker"):
        it = compose["services"][name]
        hard = it.get("read_only") is True and it.get("cap_drop") == ["ALL"]
        expect(hard, f"compose: {name} is not hardened")
    for name, it in compose["services"].items():
        for port in it.get("ports", []):
            expect(str(port).startswith("127.0.0.1:"), f"compose: {name} opens {port} to everybody")
        for volume in it.get("volumes", []):
            source = str(volume).split(":")[0]
            if source.startswith("./"):
                expect((ROOT / source).exists(), f"compose: {name} mounts {source}, which is not there")
    made = set(re.findall(r"^put (\w+) ", (ROOT / "deploy/secrets.sh").read_text(), re.M)) | {"github_token"}
    differ = made ^ set(compose["secrets"])
    expect(not differ, f"deploy/secrets.sh and the compose file differ: {differ}")


def main():
    for check in (quadlet, service, kubernetes, configurations, image):
        check()
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"units and manifests: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
