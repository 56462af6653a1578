"""Uses the dashboard as a person does, in a browser: every view of it, and what can be done there.

    python3 deploy/check/dashboard.py STARKEEP CHROMIUM [FOLDER]

Fails if the page says an error, if a call is refused, if it asks anything but its own server, or if its policy stops
something. With FOLDER, each view is left there as a picture, wide and narrow, light and dark.
"""

import pathlib
import re
import sys

from playwright.sync_api import Browser, Page, expect, sync_playwright

import demo

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 380, "height": 800}
VIEWS = ("overview", "mirrors", "add", "jobs", "deliveries", "audit", "keys")
PARTS = ("", "/history", "/kept", "/refs", "/files", "/catalog")


class Person:
    """Somebody before the page, who writes down whatever goes wrong."""

    def __init__(self, browser: Browser, home: str, faults: list[str], **looks: object) -> None:
        self.page: Page = browser.new_context(**looks).new_page()
        self.home, self.faults, self.is_in = home, faults, False
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda it: faults.append(f"the script failed: {it}"))
        self.page.on("request", self.see)
        self.page.on("response", self.judge)

    def hear(self, message: object) -> None:
        # What the network says of a call is judged by its answer.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"the console says: {message.text}")

    def see(self, request: object) -> None:
        if not request.url.startswith((self.home, "data:")):
            self.faults.append(f"it asks somebody else: {request.url}")

    def judge(self, response: object) -> None:
        # Before the sign-in there is no session; a wiki that was never looked for is none.
        is_known = (response.status == 401 and not self.is_in) or response.url.endswith("/wiki")
        if response.status >= 400 and not is_known:
            self.faults.append(f"{response.status} for {response.request.method} {response.url}")

    def go(self, place: str) -> None:
        self.page.goto(f"{self.home}/#/{place}")
        expect(self.page.locator(".view-head")).to_be_visible()
        expect(self.page.locator(".view[aria-busy]")).to_have_count(0)
        wide = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        if wide:
            self.faults.append(f"{place} is wider than the window")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def told(self, text: str) -> None:
        expect(self.page.locator(".notice.done", has_text=text).first).to_be_visible()


def sign_in_first(person: Person, address: str) -> None:
    person.page.goto(address)
    key = person.page.locator(".secret")
    expect(key).to_have_value(re.compile("^sk_"))
    if "sign-in" in person.page.url:
        person.faults.append("the code stays in the address bar")
    person.press("I have put it away")
    expect(person.page.locator(".tiles")).to_be_visible()
    person.is_in = True


def look_at_all(person: Person, shots: pathlib.Path | None, name: str) -> None:
    person.go("mirrors")
    one = person.page.get_by_role("link", name="octo/rewritten", exact=True).first.get_attribute("href")
    places = [*VIEWS, *(one.removeprefix("#/") + it for it in PARTS)]
    for number, place in enumerate(places):
        person.go(place)
        if shots:
            person.page.screenshot(path=shots / f"{name}-{number:02}.png", full_page=True)


def do_things(person: Person) -> None:
    page = person.page
    person.go("mirrors")
    page.get_by_role("link", name="octo/hello", exact=True).first.click()
    person.press("Sync now")
    person.told("A sync is queued")
    person.press("Pause")
    status = page.locator(".mirror-name .badge")
    expect(status).to_have_text("paused")
    person.press("Resume")
    expect(status).to_have_text("healthy")
    person.go("add")
    page.locator("form input").first.fill("octo/hello")
    page.keyboard.press("Enter")
    expect(page.locator(".good", has_text="octo/hello").first).to_be_visible()
    person.go("keys")
    page.locator("summary").first.click()
    page.locator("form input[type=text]").first.fill("for a script")
    page.locator("input[value='mirrors:read']").check()
    person.press("Make it")
    expect(page.locator(".secret")).to_have_value(re.compile("^sk_"))
    person.press("I have put it away")
    page.locator("tbody tr", has_text="for a script").get_by_role("button", name="Revoke").click()
    page.locator("dialog button[type=submit]").click()
    person.told("Revoked")


def sign_out(person: Person) -> None:
    person.press("Sign out")
    person.is_in = False
    expect(person.page.locator(".door")).to_contain_text("You are signed out")
    person.page.reload()
    expect(person.page.locator("input[type=password]")).to_be_visible()


def sign_in(person: Person, token: str) -> None:
    person.page.goto(person.home)
    person.page.locator("input[type=password]").fill(token)
    person.page.keyboard.press("Enter")
    expect(person.page.locator(".tiles")).to_be_visible()
    person.is_in = True


def main() -> int:
    starkeep, chromium = (str(pathlib.Path(it).resolve()) for it in sys.argv[1:3])
    shots = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    faults: list[str] = []
    # Of a machine that has other work too. Milliseconds.
    expect.set_options(timeout=30_000)
    with demo.serving(starkeep) as told, sync_playwright() as playwright:
        # As root there is no sandbox; what is shown is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        person = Person(browser, told["address"], faults, viewport=WIDE, color_scheme="light")
        sign_in_first(person, told["sign_in"])
        look_at_all(person, shots, "wide")
        do_things(person)
        sign_out(person)
        other = Person(browser, told["address"], faults, viewport=NARROW, color_scheme="dark")
        sign_in(other, told["token"])
        look_at_all(other, shots, "narrow")
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(VIEWS) + len(PARTS)} views, wide and narrow, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
