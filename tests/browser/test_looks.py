"""The page over made-up answers: what it shows of states that a real site is seldom in, how that looks, and
what its buttons send.
"""

import pytest

from tests.browser.fake import HOSTILE, TOKEN, Site, served
from tests.browser.page import ESCAPE, LEFT
from tests.e2e.daemon import wait_for

SHOWN = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\u001b")


@pytest.fixture
def shows(page):
    """Opens the page of a made-up site, which ends with the test."""
    running = []

    def open_it(wrong="healthy", **how):
        context = served(Site(wrong))
        running.append(context)
        server = context.__enter__()
        page.open(server.url, **how)
        page.wait("#live", "live")
        page.wait("#incidents")
        return server

    yield open_it
    page.leave()
    for context in running:
        context.__exit__(None, None, None)


class TestWhatItShows:
    def test_health_in_a_word_and_why(self, page, shows):
        shows("degraded")
        assert page.text("#health") == "degraded"
        assert page.texts("#reasons li")[1] == "worker 3 hangs: no sign of life for 8.2s"
        assert page.driver.title.startswith("degraded · shop")
        announced = page.run("return document.querySelector('[aria-live]').textContent")
        assert announced.startswith("shop is degraded; 236 of 8,112 requests answered 503")

    def test_a_worker_is_a_lane_with_its_threads(self, page, shows):
        shows("degraded")
        page.wait_number(".lane", 4)
        assert page.texts(".lane h3")[2] == "Worker 3hangs"
        page.wait_number("[data-worker='1'] .cell", 8)
        page.wait("[data-worker='1'] .cell", "GET /cart")
        page.wait("[data-worker='3'] .cell.abandoned", "abandoned after a 504")
        page.wait(".cell.slow .age", "s")

    def test_companions_have_lanes_of_their_own(self, page, shows):
        shows("companions")
        page.wait_number("#companions .lane", 3)
        assert page.texts("#companions h3") == ["beatcrash-loop", "mail:1running", "mail:2ending"]
        assert page.texts("[data-companion='mail:1'] .stats") == ["memory80Mrestarts1"]
        assert page.text("[data-companion='beat'] .notes").startswith("exit code 1; the one before ended 3.")
        assert page.text("[data-companion='mail:2'] .notes") == "generation 3 has taken over"

    def test_of_many_threads_the_longest_and_all_if_wanted(self, page, shows):
        shows("crowded")
        page.wait_number(".lane", 16)
        squares = "return document.querySelectorAll('[data-worker=\"1\"] .squares i').length"
        assert page.run(squares) == 64
        assert len(page.texts("[data-worker='1'] .cell")) <= 6
        page.click("[data-worker='1'] .threads button")
        page.wait_number("[data-worker='1'] .cell", 64)
        page.click("#every")
        page.wait_number(".cell", 16 * 64)

    def test_it_changes_in_place(self, page, shows):
        shows("crowded")
        page.run("document.querySelectorAll('.lane, .cell, .figures div').forEach((e) => { e.mine = true })")
        before = page.text("[data-worker='2'] .stats")
        wait_for(lambda: page.text("[data-worker='2'] .stats") != before, "another event")
        assert page.run("return [...document.querySelectorAll('.lane, .figures div')].every((e) => e.mine)")

    def test_nothing_has_happened_yet(self, page, shows):
        shows("quiet")
        page.wait("#incidents", "Nothing has gone wrong.")
        page.wait("#norail", "nothing has gone wrong, and nothing was reloaded")
        page.wait_number(".cell.idle", 4)
        assert page.text("#figures div:nth-child(2)") == "Half within– p50"

    def test_a_mark_opens_to_what_why_says(self, page, shows):
        shows()
        page.click(".mark.death")
        page.wait(
            "#sheet", "worker 1 died", "1 request lost", "replaced, served again after 54ms", "views.py"
        )
        page.press(ESCAPE, "#sheet-content")
        page.wait_gone("#sheet")
        page.click(".mark.recycle")
        page.wait("#sheet", "the master does not know of it any more")

    def test_an_incident_opens_and_stays_open(self, page, shows):
        shows()
        page.click("#incidents summary", "worker 1 died")
        page.wait("#incidents .told", "GET /thumb 33a0-2 17ms")
        page.run("document.querySelector('#incidents .ago').textContent = 'old'")
        wait_for(lambda: "old" not in page.text("#incidents .ago"), "a later age")
        page.wait("#incidents .told", "core", "no")

    def test_the_configuration_can_be_filtered(self, page, shows):
        shows()
        page.wait("#config", "env.SECRET_KEY", "(hidden)", "site.yaml:9")
        page.press("thr", "#config-filter")
        page.wait_number("#config tr", 1)
        page.click("#config-given")
        page.wait_number("#config tr", 0)


class TestCharts:
    def test_lines_and_a_gap_where_nothing_was_measured(self, page, shows):
        shows()
        wait_for(lambda: page.look("blue", "#chart-busy canvas", 1000), "a line")
        assert page.look("blue", "#chart-busy canvas", 1600) == 0
        assert page.look("blue", "#chart-busy canvas", 2500) > 0

    def test_keys_tell_the_values(self, page, shows):
        shows()
        wait_for(lambda: page.look("blue", "#chart-busy canvas", 1000), "a line")
        plot = page.driver.find_element("css selector", "#chart-latency .plot")
        plot.send_keys(LEFT)
        wait_for(lambda: "p99" in plot.get_attribute("aria-valuetext"), "values")
        page.wait("#chart-latency .legend", "at ")

    def test_as_a_table(self, page, shows):
        shows()
        page.click("#chart-memory button")
        page.wait("#sheet thead", "Minute", "worker 1", "worker 4")
        assert len(page.texts("#sheet tbody tr")) > 50

    def test_sharp_and_as_wide_as_there_is_room(self, page, shows):
        server = shows()
        page.open(server.url, width=700)
        wait_for(lambda: page.run("return document.querySelector('canvas').width") < 330, "a narrow chart")
        page.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1400, "height": 900, "deviceScaleFactor": 2, "mobile": False},
        )
        sharp = "const c = document.querySelector('canvas'); return c.width === Math.round(2 * c.clientWidth)"
        wait_for(lambda: page.run(sharp), "two pixels for one")


class TestLooks:
    @pytest.mark.parametrize("wrong", ["quiet", "degraded", "crowded", "hostile"])
    def test_a_phone_does_not_scroll_sideways(self, page, shows, wrong):
        shows(wrong, width=360, height=780)
        page.wait("#config", "workers")
        page.click("#every")
        if wrong != "quiet":
            page.click("#incidents summary")
        assert page.wide() <= 0
        page.click("#do-profile")
        assert page.wide() <= 0
        page.press(ESCAPE, "#ask [name=seconds]")

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    def test_every_text_can_be_read(self, page, shows, dark):
        shows("degraded", dark=dark)
        page.click("#incidents summary")
        background = page.run("return getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(20, 23, 26)") == dark
        assert [each for each in page.contrasts() if each[2] < 4.5] == []

    def test_hostile_texts_stay_text(self, page, shows):
        shows("hostile")
        page.wait("#incidents", SHOWN)
        page.wait("#config", SHOWN)
        page.click(".mark.death")
        page.wait("#sheet", SHOWN)
        assert page.text("#site") == SHOWN
        assert page.texts("#reasons li") == [SHOWN]
        assert page.driver.title != "1"
        assert page.run("return document.querySelectorAll('img, iframe, script').length") == 1

    def test_everything_can_be_reached_and_has_a_name(self, page, shows):
        shows("degraded")
        assert page.look("nameless") == 0
        assert (
            page.run("return document.querySelectorAll('[tabindex=\"-1\"]:is(button, input, a)').length") == 0
        )
        assert page.run("return document.querySelectorAll('main, header, nav').length") >= 2


class TestButtons:
    def test_the_token_is_asked_for_once_and_can_be_forgotten(self, page, shows):
        server = shows()
        page.click("#do-more")
        page.give_token("guessed")
        page.wait("#ask .wrong", "not the token")
        assert server.site.asked == []
        page.give_token(TOKEN)
        page.wait(".task.done", "Add a worker", "complete")
        page.click("[data-worker='2'] .acts button", "Recycle")
        page.wait(".task.done", "Recycle worker 2")
        assert server.site.asked == [("/api/workers", {"difference": 1}), ("/api/recycle", {"worker": "2"})]
        assert page.run("return Object.values(localStorage).length + document.cookie.length") == 0
        page.click("#forget")
        page.click("#do-more")
        page.wait("#ask-title", "Token")

    def test_stacks_are_shown_place_by_place(self, page, shows):
        shows()
        page.run("sessionStorage.setItem('superwsgi-token', arguments[0])", TOKEN)
        page.click("#do-stacks")
        page.wait("#sheet", "thread-2  GET /report/2 c0ffee-2 8.4s", "mail  started by the application")
        page.wait("#sheet", "1 thread waits for requests, 1 of the server", "in hand: GET /report/1")
        page.wait_number("#sheet pre", 2)

    def test_a_profile_is_a_document_of_its_own(self, page, shows):
        server = shows()
        page.run("sessionStorage.setItem('superwsgi-token', arguments[0])", TOKEN)
        page.click("[aria-label='Profile worker 3']")
        page.fill("path", "/report")
        page.click("#ask button[type=submit]")
        page.wait(".task.done a", "Open the flame graph")
        said = {"of": "3", "seconds": 10, "cpu": False, "path": "/report", "format": "html", "keep": True}
        assert server.site.asked == [("/api/profile", said)]

    @pytest.mark.parametrize(
        ("button", "sent"),
        [
            ("[aria-label='Kill worker 1']", ("/api/kill", {"worker": "1"})),
            ("#do-reload", ("/api/reload", {})),
            ("#do-recycle", ("/api/recycle", {"worker": None})),
            ("#do-fewer", ("/api/workers", {"difference": -1})),
        ],
    )
    def test_what_is_dangerous_is_asked_about(self, page, shows, button, sent):
        server = shows()
        page.run("sessionStorage.setItem('superwsgi-token', arguments[0])", TOKEN)
        page.click(button)
        page.wait("#ask", "Cancel")
        page.click("#ask button", "Cancel")
        page.wait_gone("#ask")
        assert server.site.asked == []
        page.click(button)
        page.click("#ask button[type=submit]")
        page.wait(".task.done", "complete")
        assert server.site.asked == [sent]


def test_where_the_server_is_gone_it_says_so_and_recovers_by_itself(page):
    with served(Site()) as server:
        port = server.server_port
        page.open(server.url)
        page.wait("#live", "live")
    page.wait("#live.lost", "disconnected, retrying; as of")
    with served(Site("degraded"), port):
        page.wait("#live:not(.lost)", "live")
        page.wait("#health", "degraded")
        page.leave()
