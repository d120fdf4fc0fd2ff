"""The review page: a person answers in a real browser, and the service behind it has learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from on_device import ROOT
from page_visit import ASKS_EVERYTHING, Camera, answer, corrections, settled, visit
from service_running import TOKEN, Service, running

if TYPE_CHECKING:
    from browser import OpenTab
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera()


@pytest.fixture(scope="module")
def service(chromium: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Where any picture may wait; it starts only where there is a browser."""
    with running(tmp_path_factory.mktemp("page") / "state", **ASKS_EVERYTHING) as started:
        yield started


def head(service: Service) -> str:
    return str(service.ask("GET", "/v1/info").json["head_sha256"])


class TestToken:
    def test_it_leaves_the_address_and_stays_in_the_tab(self, tab: Page, service: Service) -> None:
        requests: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        visit(tab, service)
        assert tab.url == f"http://127.0.0.1:{service.port}/"
        assert tab.evaluate("[sessionStorage.getItem('edge-agent.token'), localStorage.length, document.cookie]") == [TOKEN, 0, ""]
        assert not [url for url in requests if TOKEN in url or not url.startswith(f"http://127.0.0.1:{service.port}/")]
        tab.goto("about:blank")
        tab.go_back()
        assert TOKEN not in tab.url

    def test_it_is_asked_for_and_a_wrong_one_is_told(self, tab: Page, service: Service) -> None:
        tab.goto(f"http://127.0.0.1:{service.port}/")
        tab.fill("#token", "not-the-token-at-all")
        tab.click("#token-form .main-button")
        tab.wait_for_selector("#token-wrong:not(:empty)")
        assert tab.inner_text("#token-wrong") == "This token is not the right one."
        tab.keyboard.press("Escape")
        assert tab.is_visible("#token-dialog")
        tab.fill("#token", TOKEN)
        tab.keyboard.press("Enter")
        tab.wait_for_selector('.health[data-status="OK"]')
        assert not tab.is_visible("#token-dialog")

    def test_one_that_no_header_can_carry_is_never_sent(self, tab: Page, service: Service) -> None:
        tab.goto(f"http://127.0.0.1:{service.port}/#token=%E2%82%AC%20x")
        tab.wait_for_selector("#token-dialog[open]")
        assert tab.url == f"http://127.0.0.1:{service.port}/"
        assert tab.evaluate("sessionStorage.length") == 0

    def test_forgetting_it_asks_again(self, tab: Page, service: Service) -> None:
        visit(tab, service)
        tab.click("#open-settings")
        tab.click("#forget")
        tab.wait_for_selector("#token-dialog[open]")
        assert tab.evaluate("sessionStorage.length") == 0


class TestReview:
    def test_one_tap_teaches_and_the_verdict_is_there_at_once(self, tab: Page, service: Service, camera: Camera) -> None:
        first, *_ = camera.queue(service, 2)
        visit(tab, service)
        assert tab.inner_text("#view-review .guess .name") == first.guess
        tab.locator("#view-review .over").get_by_text("32 × 32 px").wait_for()  # known when the picture has come
        assert tab.inner_text("#view-review .over").split("\n") == ["The model says", "32 × 32 px"]
        assert tab.inner_text("#view-review .reason")
        assert tab.evaluate("document.querySelector('#view-review .picture').naturalWidth") == 32
        answer(tab, first.truth)
        tab.wait_for_selector("#verdict .card.good")
        last = corrections(service)[0]
        assert (last["sample_id"], last["label"], last["verdict"]) == (first.sample_id, first.truth, "accepted")
        assert tab.inner_text("#verdict .headline") == f"Learned: {first.truth}"
        was, now = f"{round(100 * last['was_probability'])}%", f"{round(100 * last['now_probability'])}%"
        assert tab.inner_text("#verdict .change") == f"{first.guess} {was} → {first.truth} {now}"
        assert "200 reference pictures" in tab.inner_text("#verdict .more")
        assert tab.evaluate("document.querySelector('#verdict img').naturalWidth") == 32
        tab.wait_for_function("() => document.querySelector('#count').textContent === '1'")

    def test_undo_gives_the_head_back_and_the_picture_may_be_named_anew(self, tab: Page, service: Service, camera: Camera) -> None:
        first, *_ = camera.queue(service, 1)
        visit(tab, service)
        before = head(service)
        answer(tab, first.truth)
        tab.click("#verdict .ways button")
        tab.wait_for_selector("#verdict .card.calm")
        assert head(service) == before
        assert corrections(service)[0]["standing"] == "undone"
        assert "Taken back" in tab.inner_text("#verdict")
        tab.get_by_role("button", name="Label it again").click()
        other = "truck" if first.truth != "truck" else "ship"
        answer(tab, other)
        tab.wait_for_selector("#verdict .card.good")
        assert (corrections(service)[0]["label"], corrections(service)[0]["sample_id"]) == (other, first.sample_id)

    def test_a_guess_that_is_right_is_one_tap_too_and_changes_nothing(self, tab: Page, service: Service, camera: Camera) -> None:
        first, *_ = camera.queue(service, 1)
        visit(tab, service)
        before = head(service)
        answer(tab, first.guess)
        tab.wait_for_selector("#verdict .card.good")
        assert tab.inner_text("#verdict .headline") == f"Right already: {first.guess}"
        assert "Nothing was changed." in tab.inner_text("#verdict")
        assert head(service) == before
        tab.wait_for_selector(".empty:not([hidden])")

    def test_a_label_is_typed(self, tab: Page, service: Service, camera: Camera) -> None:
        first, *_ = camera.queue(service, 1)
        visit(tab, service)
        settled(tab)
        tab.fill(".typed", "TRU")
        assert tab.inner_text(".found .option:not(.new)") == "truck"
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#verdict .card")
        assert corrections(service)[0]["label"] == "truck" or first.guess == "truck"

    def test_a_new_label_is_added_with_its_first_picture(self, tab: Page, service: Service, camera: Camera) -> None:
        camera.queue(service, 2)
        visit(tab, service)
        settled(tab)
        tab.fill(".typed", "sea <b>otter</b>")
        assert tab.inner_text(".option.new") == "Add “sea <b>otter</b>” as a new label"
        tab.click(".option.new")
        tab.wait_for_selector("#verdict .card.good")
        assert tab.inner_text("#verdict .headline") == "Learned: sea <b>otter</b>"
        assert "sea <b>otter</b>" in service.ask("GET", "/v1/labels").json["labels"]
        settled(tab)
        assert tab.locator("#view-review .answer").get_by_role("button", name="sea <b>otter</b>").count() == 1

    def test_skip_and_not_sure_take_it_out(self, tab: Page, service: Service, camera: Camera) -> None:
        first, second = camera.queue(service, 2)
        visit(tab, service)
        settled(tab)
        tab.get_by_role("button", name="Skip").click()
        tab.wait_for_selector("#verdict .card.short")
        settled(tab)
        tab.get_by_role("button", name="Not sure").click()
        tab.wait_for_selector(".empty:not([hidden])")
        for one in (first, second):
            assert service.ask("POST", f"/v1/queue/{one.sample_id}/skip").code == "answered"

    def test_a_picture_that_somebody_else_answered_is_told(self, tab: Page, service: Service, camera: Camera) -> None:
        first, second = camera.queue(service, 2)
        visit(tab, service)
        service.ask("POST", f"/v1/queue/{first.sample_id}/skip")
        answer(tab, first.truth)
        tab.wait_for_selector("#verdict .card.short")
        assert tab.inner_text("#verdict") == "Somebody else has answered this picture."
        settled(tab)
        assert tab.inner_text("#view-review .guess .name") == second.guess

    def test_a_second_tap_that_was_meant_for_the_picture_before_does_nothing(self, tab: Page, service: Service, camera: Camera) -> None:
        camera.queue(service, 2)
        visit(tab, service)
        settled(tab)
        tab.locator("#view-review .choice").nth(1).dblclick()
        tab.wait_for_selector("#verdict .card")
        settled(tab)
        assert len(service.ask("GET", "/v1/queue").json["waiting"]) == 1

    def test_a_waiting_picture_can_be_picked(self, tab: Page, service: Service, camera: Camera) -> None:
        asked = camera.queue(service, 3)
        visit(tab, service)
        tab.locator(".strip button").nth(1).click()
        settled(tab)
        assert tab.inner_text("#view-review .guess .name") == asked[2].guess

    def test_the_keyboard_is_enough(self, tab: Page, service: Service, camera: Camera) -> None:
        first, *_ = camera.queue(service, 4)
        visit(tab, service)
        settled(tab)
        tab.keyboard.press("1")
        tab.wait_for_selector("#verdict .card.good")
        assert tab.inner_text("#verdict .headline") == f"Right already: {first.guess}"
        settled(tab)
        tab.keyboard.press("/")
        tab.keyboard.type("a")
        tab.keyboard.press("ArrowDown")
        active = tab.get_attribute(".typed", "aria-activedescendant")
        assert tab.get_attribute(f"#{active}", "aria-selected") == "true"
        tab.keyboard.press("Enter")
        tab.wait_for_function(f"() => !document.querySelector('#verdict').textContent.includes('Right already: {first.guess}')")
        settled(tab)
        tab.evaluate("document.activeElement.blur()")
        tab.keyboard.press("s")
        tab.wait_for_selector("#verdict .card.short")

    def test_single_keys_can_be_switched_off(self, tab: Page, service: Service, camera: Camera) -> None:
        camera.queue(service, 1)
        visit(tab, service)
        tab.click("#open-settings")
        tab.uncheck("#shortcuts")
        tab.keyboard.press("Escape")
        settled(tab)
        tab.keyboard.press("1")
        tab.wait_for_timeout(300)
        assert tab.inner_text("#verdict") == ""
        assert len(service.ask("GET", "/v1/queue").json["waiting"]) == 1


class TestViews:
    def test_history_shows_each_correction_and_takes_one_back(self, tab: Page, service: Service, camera: Camera) -> None:
        first, *_ = camera.queue(service, 1)
        done = service.say("POST", f"/v1/queue/{first.sample_id}/label", {"label": first.truth}).json
        visit(tab, service, "history")
        entry = tab.locator(".entry").first
        entry.wait_for()
        assert f"#{done['id']}" in entry.inner_text()
        assert first.truth in entry.inner_text()
        tab.wait_for_function("() => document.querySelector('.entry img').naturalWidth === 32")
        tab.get_by_role("button", name=f"Undo: {first.truth} (#{done['id']})").click()
        tab.wait_for_selector(".entry:first-child .badge.calm")
        assert entry.locator(".badge").inner_text() == "taken back"
        assert not next(one for one in corrections(service) if one["id"] == done["id"])["active"]

    def test_a_photo_is_predicted_taught_and_taken_back(self, tab: Page, service: Service, camera: Camera) -> None:
        picture, truth = camera.take()
        guess = service.predict(picture).json["label"]
        visit(tab, service, "photo")
        tab.set_input_files("#view-photo input[capture]", {"name": "belt.png", "mimeType": "image/png", "buffer": picture})
        settled(tab, "#view-photo")
        assert tab.inner_text("#view-photo .guess .name") == guess
        other = truth if truth != guess else "horse" if guess != "horse" else "airplane"
        answer(tab, other, "#view-photo")
        tab.wait_for_selector("#verdict .card.good")
        assert (corrections(service)[0]["label"], corrections(service)[0]["image"]) == (other, "belt.png")
        tab.get_by_role("button", name=f"Undo: {other}").click()
        tab.wait_for_selector("#verdict .card.calm")
        tab.get_by_role("button", name="Label it again").click()
        settled(tab, "#view-photo")
        assert not corrections(service)[0]["active"]

    def test_what_is_no_picture_is_told(self, tab: Page, service: Service) -> None:
        visit(tab, service, "photo")
        tab.set_input_files("#view-photo input[capture]", {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture"})
        tab.wait_for_selector(".notice")
        assert "not a picture that can be read" in tab.inner_text(".notice")
        assert not tab.is_visible("#view-photo .question")

    def test_accuracy_is_drawn_and_told_in_numbers(self, tab: Page, service: Service, camera: Camera) -> None:
        for one in camera.queue(service, 2):
            service.say("POST", f"/v1/queue/{one.sample_id}/label", {"label": one.truth})
        visit(tab, service, "accuracy")
        tab.wait_for_selector(".chart .series.field", state="attached")
        facts = service.ask("GET", "/v1/accuracy").json
        assert tab.locator(".figure.sentinel .number").inner_text() == f"{100 * facts['sentinel']['now']:.1f}%"
        assert f"{facts['field']['now']['right']} of the last {facts['field']['now']['answers']}" in tab.inner_text(".figure.field")
        drawn = tab.get_attribute(".chart .series.field", "points")
        assert drawn is not None
        assert len(drawn.split()) == len(facts["field"]["series"])
        tab.click(".numbers summary")
        rows = tab.locator(".numbers tbody tr").count()
        assert rows >= len(facts["field"]["series"])
        tab.hover(".chart")
        assert "Reference pictures" in str(tab.text_content(".chart .marks"))

    def test_health_is_a_dot_and_a_list_of_checks(self, tab: Page, service: Service) -> None:
        visit(tab, service)
        report = service.ask("GET", "/v1/health").json
        assert tab.get_attribute("#health", "data-status") == report["status"]
        tab.click("#health")
        assert tab.locator(".checks li").count() == len(report["checks"])
        tab.keyboard.press("Escape")
        assert not tab.is_visible("#health-panel")

    def test_the_address_names_the_view_and_back_goes_back(self, tab: Page, service: Service) -> None:
        visit(tab, service, "history")
        assert tab.url.endswith("/#history")
        tab.click('.tabs a[href="#accuracy"]')
        tab.go_back()
        assert tab.is_visible("#view-history")
        assert not tab.is_visible("#view-accuracy")


class TestTexts:
    def test_every_text_has_both_languages_with_the_same_blanks(self, tab: Page, service: Service) -> None:
        visit(tab, service)
        table = tab.evaluate("import('/assets/texts.js').then((texts) => texts.keys())")
        for key, both in table:
            english, german = both
            blanks = [sorted({part.split("}")[0] for part in words.split("{")[1:]}) for words in (english, german)]
            assert blanks[0] == blanks[1], key
            assert english, key
            assert german, key

    def test_german_where_the_browser_speaks_it_and_where_it_is_chosen(self, open_tab: OpenTab, service: Service, camera: Camera) -> None:
        camera.queue(service, 1)
        german = visit(open_tab(locale="de-DE"), service)
        assert german.get_attribute("html", "lang") == "de"
        assert german.inner_text("#view-review .over span >> nth=0") == "Das Modell sagt"
        english = visit(open_tab(locale="en-GB"), service)
        english.click("#open-settings")
        english.select_option("#language", "de")
        assert english.inner_text("#settings-title") == "Einstellungen"
        english.reload()
        english.wait_for_selector("#view-review .question:not([aria-busy])")
        assert english.inner_text("#view-review .over span >> nth=0") == "Das Modell sagt"

    @pytest.mark.parametrize(
        ("said", "german"),
        [
            ("between bird, frog and deer", "zwischen bird, frog und deer"),
            ("unlike anything in training; not sure of cat", "anders als alles im Training; bei cat nicht sicher"),
            ("the model changed its mind: ship at the factory, truck now", "das Modell hat umgedacht: vorher ship, jetzt truck"),
            ("a reason of a later version", "a reason of a later version"),
        ],
    )
    def test_reasons_are_said_in_the_language(self, tab: Page, service: Service, said: str, german: str) -> None:
        tab.goto(f"http://127.0.0.1:{service.port}/assets/icon.svg")
        script = """(said) => Promise.all([import('/assets/texts.js'), import('/assets/reasons.js')])
            .then(([texts, reasons]) => { texts.useLanguage('de'); return reasons.reason(said); })"""
        assert tab.evaluate(script, said) == german


class TestTrouble:
    def test_a_refused_correction_says_so_and_can_be_insisted_on(self, tab: Page, tmp_path: Path) -> None:
        strict = {"EDGE_AGENT_GUARD_DROP": "0", "EDGE_AGENT_GUARD_TOTAL": "0"}  # one sentinel picture less is too many
        with running(tmp_path / "state", **ASKS_EVERYTHING, **strict) as guarded:
            guarded.predict((ROOT / "artifacts/field/cat/0311.jpg").read_bytes(), "?collect=true")
            visit(tab, guarded)
            answer(tab, "cat")
            tab.wait_for_selector("#verdict .card.bad")
            assert tab.inner_text("#verdict .headline") == "Not learned: cat"
            assert "It would break 1 of 200 reference pictures." in tab.inner_text("#verdict")
            tab.get_by_role("button", name="Teach it anyway").click()
            tab.wait_for_selector("#verdict .card.good")
            assert [(entry["verdict"], entry["forced"]) for entry in corrections(guarded)] == [("accepted", True), ("refused", False)]

    def test_a_device_that_is_gone_is_told_and_found_again(self, tab: Page, tmp_path: Path, camera: Camera) -> None:
        with running(tmp_path / "state", **ASKS_EVERYTHING) as first:
            one, *_ = camera.queue(first, 1)
            visit(tab, first)
            settled(tab)
            first.stop()
            tab.locator("#view-review .chip").first.click()
            tab.wait_for_selector(".notice")
            assert "The device does not answer." in tab.inner_text(".notice")
            assert tab.inner_text("#view-review .guess .name") == one.guess
        with running(tmp_path / "state", "--port", str(first.port), **ASKS_EVERYTHING) as second:
            answer(tab, one.truth)
            tab.wait_for_selector("#verdict .card.good")
            assert corrections(second)[0]["sample_id"] == one.sample_id
            assert tab.locator(".notice").count() == 0
