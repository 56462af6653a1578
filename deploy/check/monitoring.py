#!/usr/bin/env python3
"""What the rules and the dashboard say is what the code measures.

    deploy/check/monitoring.py [PROMTOOL]

Every metric that is named in the alerts and in the dashboard is registered in src/telemetry/metrics.rs (or is one of
the process's own), with the labels that are used. Every alert has its page in the runbook and a test. The dashboard
shows every metric. With PROMTOOL every expression of the dashboard is parsed too.
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
METRICS = ROOT / "src/telemetry/metrics.rs"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
TESTS = sorted(ROOT.glob("deploy/prometheus/*_test.yml"))
DASHBOARD = ROOT / "deploy/grafana/starkeep.json"
# Of the scrape itself, and of the collector for the process.
FOREIGN = {
    "up", "process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
    "process_start_time_seconds", "process_threads", "process_virtual_memory_bytes",
}
NAME = re.compile(r"\b((?:starkeep|process)_[a-z_]+|up)\b(?:\s*\{([^}]*)\})?")
problems = []


def wrong(what):
    problems.append(what)


def defined():
    """Each metric of the code with its labels."""
    found = {}
    for name, rest in re.findall(r'"(starkeep_[a-z_]+)",(.*?)(?=\?;|\?,|"starkeep_|\Z)', METRICS.read_text(), re.S):
        labels = re.search(r"&\[((?:\s*\"[a-z_]+\",?)+)\s*\]", rest)
        found[name] = set(re.findall(r'"([a-z_]+)"', labels.group(1))) if labels else set()
    return found


def used(expression, known, where):
    """The metrics of an expression; names and labels that the code does not have are problems."""
    names = set()
    for name, selector in NAME.findall(expression):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        base = name if name in known or name in FOREIGN else base
        if base not in known and name not in FOREIGN:
            wrong(f"{where}: the code has no metric {name}")
            continue
        names.add(base)
        allowed = known.get(base, set()) | {"job", "instance", "le"}
        for label in re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector):
            if label not in allowed:
                wrong(f"{where}: {base} has no label {label}")
    return names


def alerts(known):
    text = ALERTS.read_text()
    tests = "".join(path.read_text() for path in TESTS)
    shown = set()
    for block in re.split(r"\n\s*- alert: ", text)[1:]:
        name = block.split("\n", 1)[0].strip()
        expression = re.search(r"expr:(.*?)\n\s*(?:for|labels):", block, re.S)
        shown |= used(expression.group(1) if expression else "", known, f"alert {name}")
        if not re.search(r"severity: (critical|warning)\b", block) or "summary:" not in block:
            wrong(f"alert {name} has no severity or no summary")
        page = re.search(r"runbook_url: (\S+)#(\S+)", block)
        if not page:
            wrong(f"alert {name} has no runbook_url")
        else:
            path = ROOT / page.group(1)
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M) if path.exists() else []
            if page.group(2) != name.lower() or name not in headings:
                wrong(f"alert {name}: {page.group(1)} has no section `{name}`")
        if not re.search(rf"alertname: {name}\n\s+exp_alerts:\n", tests):
            wrong(f"alert {name} has no test in which it fires")
    return shown


def expressions():
    """Title and text of each expression of the dashboard, its variables filled in."""
    board = json.loads(DASHBOARD.read_text())
    found = [(it["name"], it["expr"]) for it in board["annotations"]["list"] if "expr" in it]
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        wrong("dashboard: two panels have one id")
    for panel in board["panels"]:
        if panel["type"] != "row" and not panel.get("targets"):
            wrong(f"dashboard: {panel['title']} shows nothing")
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    return [(title, text.replace("$__rate_interval", "5m").replace("$job", ".+")) for title, text in found]


def parse(promtool, found):
    rules = [{"record": f"dashboard:{n}", "expr": text} for n, (_, text) in enumerate(found)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # JSON is YAML.
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True, check=False)
    if done.returncode:
        wrong(f"dashboard: {done.stdout}{done.stderr}")


def main():
    known = defined()
    if len(known) < 15:
        wrong(f"only {len(known)} metrics were found in {METRICS}: this script no longer understands it")
    alerts(known)
    found = expressions()
    shown = set()
    for title, text in found:
        shown |= used(text, known, f"dashboard, {title}")
    for name in sorted(set(known) - shown):
        wrong(f"dashboard: {name} is shown nowhere")
    if len(sys.argv) > 1:
        parse(sys.argv[1], found)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(known)} metrics, {len(found)} expressions of the dashboard, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
