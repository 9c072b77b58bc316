"""The start page in a real browser: axe-core's rules in light, dark and at a phone's width, and the form's script."""

import html
import json
import re
import threading
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.responses import Response

from tests.e2e import browser
from tests.validators import axe

from . import recorded_page

WIDE, PHONE = "--window-size=1200,1500", "--window-size=500,1000"
DARK = "--blink-settings=preferredColorScheme=0"
RESULT = re.compile(r'data-result="([^"]*)"')
AXE = """
axe.run(document, { resultTypes: ["violations"] }).then(found => report(found.violations.map(each =>
  [each.id, each.nodes.map(node => node.html)])));
"""
WIDTHS = """
document.body.style.width = "%dpx";  // no window is narrower than 500, by which the styles of a phone are in force
const sections = [...document.querySelectorAll("section")];
report({ page: document.body.scrollWidth,
  cut: sections.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.id) });
"""
FORM = """
document.querySelector("form").requestSubmit();
const looked = setInterval(() => {
  const text = document.getElementById("prediction").textContent.trim();
  if (text) { clearInterval(looked); report({ text, path: location.pathname }); }
}, 50);
"""
RENEWED = """
const before = document.getElementById("traffic").firstElementChild;
document.querySelector("#model h2").textContent = "changed";
document.querySelector("input[name=Age]").value = "33";
renew().then(() => report({ heading: document.querySelector("#model h2").textContent,
  kept: document.querySelector("input[name=Age]").value,
  same: before === document.getElementById("traffic").firstElementChild }));
"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def model():
    with recorded_page.answering({"predictions": [0.25]}, {"x-model-version": "3"}) as (url, _):
        yield url


@contextmanager
def served(model, script):
    """Address of the page with a script of the test's at its end."""
    inner = recorded_page.app(prediction_url=model)

    async def with_script(scope, receive, send):
        """The page's own answers, the document with one more script, under the nonce that it allows."""
        if scope["type"] != "http" or scope["path"] != "/":
            await inner(scope, receive, send)
            return
        sent = []

        async def keep(message):
            sent.append(message)

        await inner(scope, receive, keep)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:]).decode()
        nonce = re.search(r"script-src 'nonce-([^']+)'", headers["content-security-policy"])[1]
        report = "const report = found => document.documentElement.setAttribute('data-result', JSON.stringify(found));"
        added = f'<script nonce="{nonce}">{report}\n{script}</script></body>'
        answer = Response(body.replace("</body>", added), headers=headers | {"content-length": ""})
        del answer.headers["content-length"]
        await answer(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(with_script, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def found(model, script, *flags):
    """What a script reports from within the page."""
    with served(model, script) as url:
        page = browser.document(url, *flags)
    return json.loads(html.unescape(RESULT.search(page)[1]))


@pytest.mark.parametrize("flags", [(WIDE,), (WIDE, DARK), (PHONE,)], ids=["light", "dark", "phone"])
def test_axe_finds_no_violation(model, flags):
    assert found(model, f"{axe()}\n{AXE}", *flags) == []


def test_axe_finds_what_is_planted(model):
    planted = "document.querySelector('label').remove(); document.documentElement.lang = '';"
    violations = dict(found(model, f"{axe()}\n{planted}\n{AXE}", WIDE))
    assert {"label", "html-has-lang"} <= violations.keys()


@pytest.mark.parametrize(("size", "width"), [(WIDE, 1200), (PHONE, 360)], ids=["wide", "phone"])
def test_nothing_is_cut_off_at_any_width(model, size, width):
    assert found(model, WIDTHS % width, size) == {"page": width, "cut": []}


def test_form_answers_on_the_page_that_sent_it(model):
    answer = found(model, FORM, WIDE)
    assert re.match(r"Default probability: 0\.25\s+version 3, \d+ ms, request page-", answer["text"])
    assert answer["path"] == "/"


def test_renewal_changes_what_differs_and_keeps_the_form(model):
    assert found(model, RENEWED, WIDE) == {"heading": "Model in service", "kept": "33", "same": True}
