#!/usr/bin/env python3
"""Every error code that the code can give has its line in docs/runbook.md or docs/operations.md, and none is told
there that the code cannot give. `deploy/check/codes.py --list` prints them. The tests that docs/security.md names as
its evidence are there too.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs/runbook.md", ROOT / "docs/operations.md"]
WORD = r'"([a-z][a-z0-9]*(?:_[a-z0-9]+)*)"'
# What makes an error out of a word: the constructors, and the shape of the few that are written down directly.
MAKERS = [
    rf"\bFailure::new\(\s*{WORD}",
    rf"\bProblem::[a-z_]+\(\s*(?:[A-Za-z_:]+,\s*)?{WORD}",
    rf"\brecord_error\([^()]*\(\s*{WORD}",
]
# In the two files where those constructors live.
OWN_MAKERS = [
    rf"\bSelf::(?:new|bad_request|not_found|conflict|unavailable|unauthorized|too_many)\(\s*(?:[A-Za-z_:]+,\s*)?{WORD}",
    rf"=>\s*\{{?\s*\({WORD},",
]
OWNERS = {"src/stages/failure.rs", "src/http/problem.rs"}


def production(path):
    """A file without its tests, which stand at its end."""
    return path.read_text().split("#[cfg(test)]\nmod ", 1)[0]


def given():
    """Each code with the first file that gives it."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.rs")):
        name = path.relative_to(ROOT).as_posix()
        if "/tests/" in name or "/simulator/" in name or name.endswith(("tests.rs", "testing.rs")):
            continue
        text = production(path)
        words = [it for pattern in MAKERS for it in re.findall(pattern, text)]
        if name in OWNERS:
            words += [it for pattern in OWN_MAKERS for it in re.findall(pattern, text)]
        # Up to the brace that closes a function of an `impl`.
        for body in re.findall(r"fn code\(.*?\n    \}\n", text, re.S):
            words += re.findall(rf"(?:=>|\(|,)\s*{WORD}", body)
        for word in words:
            found.setdefault(word, name)
    return found


def told():
    """Each code that has a line in a table, with its page."""
    found = {}
    for page in PAGES:
        text = page.read_text() if page.exists() else ""
        for row in re.findall(r"^\|\s*((?:`[a-z0-9_]+`(?:,\s*|<br>|\s+)?)+)\|", text, re.M):
            for word in re.findall(r"`([a-z0-9_]+)`", row):
                found.setdefault(word, page.name)
    return found


def explained():
    """The codes of the runbook alone, which is checked in the other direction too."""
    text = PAGES[0].read_text() if PAGES[0].exists() else ""
    part = text.split("<!-- codes -->", 1)[-1].split("<!-- end of codes -->", 1)[0]
    rows = re.findall(r"^\|\s*((?:`[a-z0-9_]+`(?:,\s*|<br>|\s+)?)+)\|", part, re.M)
    return {word for row in rows for word in re.findall(r"`([a-z0-9_]+)`", row)}


def evidence():
    """Tests that docs/security.md names and nobody has."""
    names = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`", (ROOT / "docs/security.md").read_text()))
    tests = {
        name
        for folder in ("src", "tests")
        for path in (ROOT / folder).rglob("*.rs")
        for name in re.findall(r"\bfn (\w+)", path.read_text())
    }
    return sorted(names - tests)


def main():
    codes = given()
    if "--list" in sys.argv:
        print("\n".join(f"{word}\t{name}" for word, name in sorted(codes.items())))
        return 0
    known = told()
    problems = [
        f"{word} ({name}) has no line in docs/runbook.md: say there what it means and what to do"
        for word, name in sorted(codes.items())
        if word not in known
    ]
    strange = sorted(explained() - codes.keys())
    problems += [f"docs/runbook.md explains {word}, which the code never gives" for word in strange]
    problems += [f"docs/security.md names the test {name}, which is not there" for name in evidence()]
    if len(codes) < 80:
        problems.append(f"only {len(codes)} codes were found: this script no longer understands the code")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(codes)} error codes, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
