"""The page in a real Chromium: what it shows of a service, and what its buttons do to it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.routes.events import MOST_LISTENERS, RETRY_AFTER_S
from streaming.checkpoints.store import CheckpointStore
from streaming.demo.ports import free_port
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory, eventually

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOKEN = "the-token-of-this-test"
HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; Debian: apt-get install chromium")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As root, in a container or in CI, Chromium can't have its own sandbox.
        one = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        yield one
        one.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens a service's page; at the end no script of it may have failed or been forbidden."""
    wrong: list[str] = []
    contexts = []

    def open_page(one: Sidecar, width: int = 1280, scheme: str = "light", connection: str = "live") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(one.url)
        expect(page.locator("#connection")).to_contain_text(connection)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


INK = "all => all.some(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v))"


def drawn(page: Page) -> int:
    """How many charts have anything in them."""
    return sum(bool(plot.locator("canvas").evaluate_all(INK)) for plot in page.locator(".plot").all())


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_pause_resume_checkpoint_and_restore_by_clicking(
    sidecar: SidecarFactory, visit: Open, tmp_path: Path, line: list[str]
) -> None:
    one = sidecar("well", token=TOKEN)
    one.http.headers["Authorization"] = f"Bearer {TOKEN}"
    one.reach("training")
    page = visit(one)
    chip, notices = page.locator("#chip"), page.locator("#notices")
    expect(chip).to_have_text("training")

    press(page, "Pause")  # the token is asked for now, a wrong one is told, and never again
    page.locator("#token").fill("wröng✓")
    page.get_by_role("button", name="Use it").click()
    assert page.locator("#token").evaluate("it => it.validity.patternMismatch")  # no header could carry it
    page.locator("#token").fill("wrong")
    press(page, "Use it")
    expect(page.get_by_text("That is not the service's token.")).to_be_visible()
    page.locator("#token").fill(TOKEN)
    press(page, "Use it")
    expect(chip).to_have_text("paused")
    assert one.reach("paused")["desired_state"] == "paused"

    press(page, "Resume")
    expect(chip).to_have_text("training")
    one.reach("training")

    press(page, "Take a checkpoint")
    expect(notices).to_contain_text("is taken")
    expect(page.locator("#happenings")).to_contain_text("checkpoint succeeded")

    press(page, f"Restore… {line[0]}")
    expect(page.locator("#consequences")).to_contain_text("10 records will be trained again")
    assert [info.cause for info in CheckpointStore(tmp_path / "run").list()].count("restore") == 0  # told, not done
    page.get_by_label("is left out for good").check()
    expect(page.locator("#consequences")).to_contain_text("10 records will be left out for good")
    press(page, "Restore")
    expect(notices).to_contain_text("it is the newest again")
    made = CheckpointStore(tmp_path / "run").list()[0]
    assert (made.cause, made.parent) == ("restore", line[0])
    expect(page.locator("#checkpoints tbody tr").first).to_contain_text(made.id)
    expect(page.locator("#token-dialog")).to_be_hidden()


def test_verify_pin_export_and_stop_by_clicking(sidecar: SidecarFactory, visit: Open, line: list[str]) -> None:
    one = sidecar("well")
    one.reach("training")
    page = visit(one)
    notices = page.locator("#notices")
    press(page, f"Verify {line[0]}")
    expect(notices).to_contain_text("every file is what was written")
    row = page.locator("#checkpoints tr", has_text=line[0])
    expect(row).to_contain_text("verified")
    press(page, f"Pin {line[0]}")
    expect(row.locator(".pin")).to_be_visible()
    press(page, f"Export {line[1]}")
    expect(notices).to_contain_text(f"Export {line[1]}: ")
    expect(notices).to_contain_text("exports/")
    press(page, "Stop…")
    press(page, "Stop")
    expect(page.locator("#sentence")).to_contain_text("Stopped.")
    assert one.reach("stopped")["desired_state"] == "stopped"
    press(page, "Start")
    expect(page.locator("#chip")).to_have_text("training")


def test_what_it_shows_of_a_training(sidecar: SidecarFactory, visit: Open, line: list[str]) -> None:
    one = sidecar("well")
    one.watermarks.ends = {0: 1_000_000}
    one.reach("training")
    page = visit(one)
    expect(page.locator("#sentence")).to_contain_text("records behind")
    expect(page.locator("#pictures figcaption")).to_have_text(["picture", "mask", "prediction", "error"])
    expect(page.locator("#pictures")).to_contain_text("25.0 % wrong")
    expect(page.locator("#partitions")).to_contain_text("pets 0")
    expect(page.locator("#partitions")).to_contain_text("log end 1,000,000")
    expect(page.locator(".plot canvas").first).to_be_visible()
    expect(page.locator("#happenings")).to_contain_text("Training")
    expect(page.locator("#letters")).to_contain_text("None.")


TOLD = """() => {
  window.told = []
  const values = [...document.querySelectorAll('.values b')], sentence = document.getElementById('sentence')
  const note = () => window.told.push([sentence.textContent, ...values.map(each => each.textContent)])
  new MutationObserver(note).observe(sentence, { childList: true })
}"""


def test_headlines_of_the_charts_and_the_sentence_are_of_one_status(sidecar: SidecarFactory, visit: Open) -> None:
    one = sidecar("well")
    one.watermarks.ends = {0: 1_000_000}
    one.reach("training")
    page = visit(one)
    page.evaluate(TOLD)
    eventually(lambda: page.evaluate("window.told.length") >= 4)
    for sentence, rate, _, _, _, lag, _, waiting in page.evaluate("window.told"):
        assert sentence == f"Training at {rate} records/s, {lag} records behind."
        assert waiting.endswith(" s")


def test_a_new_checkpoint_leaves_the_other_rows_and_what_is_open_as_they_are(
    sidecar: SidecarFactory, visit: Open, run: Path
) -> None:
    older, _ = write(run, ledger_with(trained=range(10), dead_lettered=range(10, 32)), ledger_with(trained=range(40)))
    one = sidecar("well")
    one.reach("training")
    page = visit(one)
    rows, button = page.locator("#checkpoint-rows tr"), page.get_by_role("button", name=f"Verify {older}")
    expect(rows).to_have_count(2)
    button.focus()
    one.operation(one.http.post(f"/v1/checkpoints/{older}/restore", json={"records": "retrain"}))
    expect(rows).to_have_count(3)
    expect(button).to_be_focused()

    summary = page.locator("#letter-summary")
    expect(summary).to_have_text("20 of 22 letters, newest first by partition")
    summary.press("Enter")
    one.operation(one.http.post(f"/v1/checkpoints/{older}/restore", json={"records": "skip"}))
    expect(rows).to_have_count(4)
    expect(summary).to_be_focused()
    expect(page.locator("#letter-list li")).to_have_count(20)
    expect(page.locator("#letter-list li").first).to_have_text("pets 0, offset 31: unknown")


def test_the_focus_goes_on_to_the_button_that_takes_the_others_place(sidecar: SidecarFactory, visit: Open) -> None:
    one = sidecar("well")
    one.reach("training")
    page = visit(one)
    page.locator("#pause").press("Enter")
    expect(page.locator("#resume")).to_be_focused()
    page.locator("#resume").press("Enter")
    expect(page.locator("#pause")).to_be_focused()
    one.reach("training")


def test_a_page_too_many_says_so_and_comes_again(sidecar: SidecarFactory, visit: Open) -> None:
    one = sidecar("well")
    one.reach("training")
    with ExitStack() as listeners:
        for _ in range(MOST_LISTENERS):
            listeners.enter_context(one.http.stream("GET", "/v1/events"))
        page = visit(one, connection="too many listeners, trying again")
        expect(page.locator("#sentence")).to_have_text(f"Too many listeners: {MOST_LISTENERS} others listen already.")
    expect(page.locator("#connection")).to_have_text("live", timeout=3_000 * RETRY_AFTER_S)
    expect(page.locator("#chip")).to_have_text("training")


def test_a_problem_is_answered_by_its_button(sidecar: SidecarFactory, visit: Open) -> None:
    one = sidecar("loses")
    one.reach("training")
    page = visit(one)
    expect(page.locator("#problems")).to_contain_text("9 gone")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("#problems")).to_be_hidden()
    assert one.status()["problems"] == []


def test_a_broker_that_is_away_is_the_first_thing_it_says(sidecar: SidecarFactory, visit: Open) -> None:
    one = sidecar("degraded")
    one.reach("training")
    expect(visit(one).locator("#sentence")).to_contain_text("broker away")


def test_what_others_have_written_is_text(sidecar: SidecarFactory, visit: Open, line: list[str]) -> None:
    one = sidecar("well")
    one.reach("training")
    assert one.http.patch(f"/v1/checkpoints/{line[0]}", json={"label": HOSTILE}).status_code == 200
    page = visit(one)
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert "taken over" not in page.title()


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_it_fits_every_screen_in_both_schemes(
    sidecar: SidecarFactory, visit: Open, width: int, line: list[str]
) -> None:
    one = sidecar("well")
    one.watermarks.ends = {0: 1_000_000}
    one.reach("training")
    papers = set()
    for scheme in ("light", "dark"):
        page = visit(one, width, scheme)
        expect(page.locator("#checkpoints tbody tr")).to_have_count(2)
        expect(page.locator("#pictures figure")).to_have_count(4)
        eventually(lambda page=page: drawn(page) == 5)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2


def test_it_outlives_a_restart_of_the_service(sidecar: SidecarFactory, visit: Open) -> None:
    port = free_port()
    one = sidecar("well", port=port)
    one.reach("training")
    page = visit(one)
    one.stop()
    expect(page.locator("#connection")).to_contain_text("no answer, trying again")
    expect(page.locator("#sentence")).to_contain_text("The service doesn't answer. This is what it said at")
    again = sidecar("well", port=port)
    again.reach("training")
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#chip")).to_have_text("training")
    press(page, "Pause")
    expect(page.locator("#chip")).to_have_text("paused")
