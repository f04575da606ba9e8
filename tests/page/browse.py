#!/usr/bin/env python3
"""Looks at the status page and at a plan's page in headless Chromium, as people would, and fails where something is wrong.

    browse.py URL TOKEN PLAN.html PICTURES

The service at URL has held steps, a hostile directory and more users than fit on a page. What is done here: every page in
both themes, on a desk and on a phone, with axe-core; then pause, resume, approve and sync, by clicking. Ends with one JSON
object on stdout that says what was seen."""

import json
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

URL, TOKEN, PLAN, PICTURES = sys.argv[1:5]
PAGES = {
    "status": "/",
    "users": "/objects",
    "users-2": "/objects?page=2",
    "hostile": "/objects?q=%3Cscript%3E&standing=all",
    "groups": "/objects?kind=group",
    "nobody": "/objects?q=nobody-at-all",
    "held": "/held",
    "leaving": "/leaving",
    "findings": "/findings",
}
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
wrong = []
sizes = {}


def expect(what, holds):
    if not holds:
        wrong.append(what)


def soon(page, what, holds):
    """For what follows a key or a click: the browser takes its time for it, on a busy machine a good deal."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(100)
    wrong.append(what)


def watch(page, name, expected=()):
    """No error on the console, no exception, nothing that could not be loaded."""

    def console(message):
        if message.type in ("error", "warning") and not any(part in message.text for part in expected):
            wrong.append(f"{name}: console: {message.text}")

    page.on("console", console)
    page.on("pageerror", lambda error: wrong.append(f"{name}: exception: {error}"))
    # The icon is asked for last: a page that is left before it came ends the asking.
    left = lambda request: request.failure == "net::ERR_ABORTED" and request.url == URL + "/icon.svg"
    page.on("requestfailed", lambda r: expect(f"{name}: not loaded: {r.url}: {r.failure}", left(r)))
    page.on("request", lambda r: expect(f"{name}: asks elsewhere: {r.url}", r.url.startswith((URL, "file:"))))


def look(page, name):
    """What goes for every page."""
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    expect(f"{name}: {wide} px too wide", wide <= 0)
    expect(f"{name}: a value became markup", page.locator("img, iframe, main script, b b").count() == 0)
    expect(f"{name}: a script of a value ran", page.evaluate("window.hacked === undefined"))
    expect(f"{name}: no heading", page.locator("h1").count() == 1)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    for violation in found.response["violations"]:
        nodes = [node["html"][:200] for node in violation["nodes"][:3]]
        wrong.append(f"{name}: axe {violation['id']} ({violation['impact']}): {violation['help']}: {nodes}")
    page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def every_page(browser):
    for theme in ("light", "dark"):
        for size, viewport in SIZES.items():
            context = browser.new_context(color_scheme=theme, viewport=viewport)
            for name, path in PAGES.items():
                page = context.new_page()
                full = f"{name}-{theme}-{size}"
                watch(page, full)
                answer = page.goto(URL + path)
                expect(f"{full}: {answer.status}", answer.status == 200)
                sizes[name] = len(answer.body())
                look(page, full)
                page.close()
            page = context.new_page()
            watch(page, f"plan-{theme}-{size}")
            page.goto(Path(PLAN).resolve().as_uri())
            look(page, f"plan-{theme}-{size}")
            page.close()
            context.close()


def is_readable_without_script(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    icon = page.request.get(URL + "/icon.svg")
    expect("no icon", icon.status == 200 and icon.headers["content-type"] == "image/svg+xml")
    page.goto(URL + "/")
    expect("without script: no notice", page.get_by_text("These controls need the page's script").is_visible())
    expect("without script: a control that does nothing", page.get_by_role("button", name="Pause").count() == 0)
    page.get_by_label("Name, address, DN or id").fill("p07")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=p07*")
    soon(page, "without script: the search", lambda: page.locator("tbody tr").count() == 1)
    context.close()


def by_keyboard(browser):
    page = browser.new_page()
    watch(page, "keyboard")
    page.goto(URL + "/")
    page.keyboard.press("Tab")
    soon(page, "keyboard: the first stop skips", lambda: page.evaluate("document.activeElement.className") == "skip")
    page.keyboard.press("Enter")
    soon(page, "keyboard: not at the content", lambda: page.evaluate("document.activeElement.id") == "main")
    page.goto(URL + "/objects")
    page.get_by_role("link", name="Next").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**page=2")
    soon(page, "paging: not on page 2", page.get_by_text("Page 2 of").is_visible)
    page.close()


def changes(browser):
    page = browser.new_page()
    watch(page, "changes", expected=["401 (Unauthorized)"])
    page.on("dialog", lambda dialog: dialog.accept())
    said = page.locator("#said")

    def state():
        return page.request.get(URL + "/api/status").json()

    def click(button, text):
        page.get_by_role("button", name=button).first.click()
        said.filter(has_text=text).wait_for(timeout=20000)

    page.goto(URL + "/")
    click("Sync now", "Type the token first.")
    page.get_by_label("Token of").fill("wrong-token")
    click("Sync now", "this is not the token")
    expect("a wrong token is kept", page.evaluate("sessionStorage.length") == 0)
    page.get_by_label("Token of").fill(TOKEN)
    page.get_by_label("Your name").fill("Ada <b>")
    page.get_by_label("Reason for a pause").fill("<img src=x onerror=window.hacked=1>")
    page.get_by_label("Until").fill("4h")
    click("Pause", "Paused.")
    paused = state()["paused"]
    expect(f"not paused as asked: {paused}", paused and paused["by"] == "Ada <b>" and "onerror" in paused["reason"])
    expect("the pause is not shown", page.get_by_text("<img src=x onerror=window.hacked=1>").count() == 1)
    look(page, "paused-light-desk")
    click("Resume", "Resumed.")
    expect("still paused", state()["paused"] is None)
    page.goto(URL + "/held")
    # The field for the name is on the first page only.
    with page.expect_request("**/api/approve") as sent:
        click("Approve", "Approved until")
    expect(f"not approved by name: {sent.value.post_data}", sent.value.post_data_json.get("by") == "Ada <b>")
    expect("approved steps still wait", page.get_by_text("all are approved").is_visible())
    expect("approvals are not on record", state()["approvals"] > 0)
    look(page, "approved-light-desk")
    click("Sync now", "A cycle has been asked for.")
    page.get_by_role("button", name="Forget the token").click()
    expect("the token is not forgotten", page.evaluate("sessionStorage.length") == 0)
    expect("a cookie was set", not page.context.cookies())
    page.close()


with sync_playwright() as playwright:
    # The pages are ours, and a container gives its root no other sandbox.
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    every_page(browser)
    is_readable_without_script(browser)
    by_keyboard(browser)
    changes(browser)
    version = browser.version
    browser.close()

for line in wrong:
    print(line, file=sys.stderr)
print(json.dumps({"chromium": version, "bytes": sizes, "plan": Path(PLAN).stat().st_size, "wrong": len(wrong)}))
sys.exit(1 if wrong else 0)
