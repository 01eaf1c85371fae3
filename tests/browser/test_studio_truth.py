"""The studio says what is so: what was asked and understood, what went wrong, where it stands after a reload."""

from __future__ import annotations

from itertools import pairwise

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.harness import Server
from tests.browser.chromium import PHONE, launch, page_of
from tests.browser.prefix import stripping_proxy
from tests.browser.test_studio import expect_sound, open_studio, play, take

pytestmark = pytest.mark.slow

# The server hears of a mood that there is not, whatever the page asks for.
GARBLED = """() => {
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (text) { send.call(this, text.replace('"mood":"epic"', '"mood":"eipc"')); };
}"""


def ask(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.press("#prompt", "Enter")


def pressed(page: Page, selector: str) -> list[str]:
    return page.locator(f"{selector}[aria-pressed=true]").evaluate_all(
        "all => all.map((each) => each.dataset.style ?? each.dataset.mood)"
    )


def wait_for_status(page: Page) -> None:
    """Until the station has reported anew, some seconds further on."""
    page.evaluate("""() => new Promise((resolve) => {
      const address = window.undersong.station.links.live.replace(/^\\//, "");
      const socket = new WebSocket(new URL(address, document.baseURI).href.replace("http", "ws"));
      let left = 3;
      socket.onmessage = ({ data }) => {
        if (JSON.parse(data).type === "status" && !--left) { socket.close(); resolve(); }
      };
    })""")


def drag_to_star(page: Page, mood: str) -> None:
    """Drag the mood point onto the star of a preset."""
    star = page.locator(".star").nth(page.locator(".star em").all_inner_texts().index(mood)).bounding_box()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(star["x"], star["y"], steps=10)
    expect(page.locator("#pad-name")).to_have_text(mood)
    page.mouse.up()


def test_heard_as_is_what_the_answer_says_and_stays_so(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    ask(page, "epic orchestral battle")
    heard = page.locator("#understood")
    for is_later in (False, True):
        if is_later:
            wait_for_status(page)
        expect(heard).to_contain_text("Heard as Epic, towards Battle · Orchestral")
        assert "orchestral" in pressed(page, "[data-style]") and "lofi" not in pressed(page, "[data-style]")
        expect(page.locator("#heading")).to_have_text("Epic, towards Battle")
    page.click("#language")
    expect(heard).to_contain_text("听作")


def test_a_prompt_overtaken_by_another_wish_says_nothing(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    page.evaluate("""() => {
      const field = document.querySelector("#prompt");
      field.value = "epic orchestral battle";
      field.form.requestSubmit();
      document.querySelector("[data-mood=sleep]").click();
    }""")
    wait_for_status(page)
    expect(page.locator("#heading")).to_have_text("Sleep")
    assert (pressed(page, "[data-mood]"), pressed(page, "[data-style]")) == (["sleep"], ["ambient"])


def test_nothing_understood_changes_nothing_and_says_so(page: Page, server: Server) -> None:
    open_studio(page, server)
    ask(page, "xyzzy")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    expect(page.locator("#understood")).to_contain_text("Nothing of “xyzzy” was understood")
    assert take(page)[0]["opening"]["mood"] == "focus"
    page.click("[data-mood=epic]")
    ask(page, "quux")
    expect(page.locator("#understood")).to_contain_text("Nothing of “quux” was understood")
    expect(page.locator("#heading")).to_have_text("Epic")
    assert pressed(page, "[data-mood]") == ["epic"]


def test_letting_go_on_a_star_brings_all_that_its_name_promises(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    drag_to_star(page, "Horror")
    expect(page.locator("#heading")).to_have_text("Horror")
    assert (pressed(page, "[data-mood]"), pressed(page, "[data-style]")) == (["horror"], ["suspense"])
    expect(page.locator("#next")).to_contain_text("Horror")
    assert take(page)[-1]["set"] == {"mood": "horror"}
    page.locator("#pad").press("ArrowUp")
    expect(page.locator("#heading")).to_have_text("Dark, flowing suspense")
    page.locator("#pad").press("ArrowDown")
    page.locator("#pad").press("Enter")
    expect(page.locator("#heading")).to_have_text("Horror")


def test_a_refused_control_is_told_in_view_and_what_plays_is_shown(browser: Browser, server: Server) -> None:
    with page_of(browser, viewport={"width": 360, "height": 640}, **PHONE) as page:
        page.add_init_script(f"({GARBLED})()")
        open_studio(page, server)
        play(page)
        page.locator("[data-mood=epic]").tap()
        expect(page.locator("#notice p")).to_contain_text("“Epic” was refused")
        expect(page.locator("#notice p")).to_be_in_viewport(ratio=1)
        expect(page.locator("#heading")).to_have_text("Focus")
        assert pressed(page, "[data-mood]") == ["focus"]


def test_the_link_is_shown_where_the_page_may_not_copy(page: Page, server: Server) -> None:
    page.goto(server.url.replace("127.0.0.1", "studio.lan") + "/?mood=epic")
    expect(page.locator("#heading")).to_have_text("Epic")
    assert not page.evaluate("window.isSecureContext")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    page.click("#share")
    field, link = page.locator("#link input"), page.evaluate("`${location.origin}/?station=${undersong.station.id}`")
    expect(field).to_be_focused()
    expect(field).to_have_value(link)
    assert page.evaluate("getSelection().toString()") == link
    expect(page.locator("#link-text")).to_contain_text("opi")  # copied, or: copy it by …


def test_a_reload_goes_on_where_the_tab_was(page: Page, server: Server) -> None:
    open_studio(page, server)
    play(page)
    page.click("[data-mood=epic]")
    for slider, value in {"#tension": "0.77", "#volume": "0.3"}.items():
        page.locator(slider).fill(value)
    page.fill("#prompt", "not sent yet")
    page.click("#language")
    station = page.evaluate("window.undersong.station.id")
    chips = pressed(page, "[data-style]")
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    assert page.evaluate("window.undersong.station.id") == station
    assert pressed(page, "[data-style]") == chips and "orchestral" in chips
    values = [page.locator(each).input_value() for each in ("#tension", "#volume", "#prompt")]
    assert values == ["0.77", "0.3", "not sent yet"]
    expect(page.locator("#asked")).to_have_text("你想听")
    page.click("#play")
    expect(page.locator("body")).to_have_attribute("data-state", "idle")
    assert httpx.get(f"{server.url}/v1/stations/{station}", timeout=60).status_code == 404


def test_an_address_with_a_prompt_plays_by_itself(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/?prompt=sad+rainy+night")
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    expect(page.locator("#understood")).to_contain_text("Heard as")


TELL_OF_BUTTON = """() => new MutationObserver(() => {
  if (document.querySelector("#begin")?.open) console.log("there is a button");
}).observe(document, { subtree: true, attributeFilter: ["open"] })"""


def test_where_the_browser_wants_a_press_there_is_one_large_button(browser: Browser, server: Server) -> None:
    station = server.open_station(mood="horror")
    with launch(browser.browser_type, plays_unasked=False) as shy, page_of(shy) as page:
        page.add_init_script(f"({TELL_OF_BUTTON})()")
        # Whatever is asked of a page by script counts as a press for it, so until then it has to speak by itself.
        with page.expect_console_message(lambda message: message.text == "there is a button"):
            page.goto(f"{server.url}/?station={station['id']}")
        page.click("#begin > button")
        expect(page.locator("body")).to_have_attribute("data-state", "playing")
        expect(page.locator("#heading")).to_have_text("Horror")
        assert page.evaluate("window.undersong.station.id") == station["id"]


def test_a_station_that_is_not_there_is_named_and_a_new_one_offered(browser: Browser, server: Server) -> None:
    with page_of(browser, expected="404") as page:
        page.goto(f"{server.url}/?station=nowhere")
        expect(page.locator("#begin-what")).to_contain_text("no station “nowhere”")
        page.click("#begin > button")
        expect(page.locator("body")).to_have_attribute("data-state", "playing")


def test_where_a_joined_station_ends_the_page_says_so_and_knocks_no_more(browser: Browser, server: Server) -> None:
    station = server.open_station(mood="epic")["id"]
    with page_of(browser, expected="404") as page:
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        open_studio(page, server, f"/?station={station}")
        expect(page.locator("body")).to_have_attribute("data-state", "playing")
        known = list(sockets)  # one, and those of the sound where no other way was found in time
        httpx.delete(f"{server.url}/v1/stations/{station}")
        expect(page.locator("#begin-what")).to_contain_text(f"no station “{station}”")
        assert sockets == known


def test_behind_a_proxy_that_strips_a_prefix_all_works(page: Page, server: Server) -> None:
    with stripping_proxy(int(server.url.rsplit(":", 1)[1])) as address:
        page.goto(address)
        play(page)
        page.click("[data-mood=epic]")
        expect(page.locator("#next")).to_contain_text("Epic")
        state = f"{server.url}/v1/stations/{page.evaluate('window.undersong.station.id')}"
        assert httpx.get(state, timeout=60).json()["listeners"] == 1
        with page.expect_response("**/whep/*/*") as ended:
            page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide'))")
        assert ended.value.request.method == "DELETE" and ended.value.ok
        assert httpx.get(state, timeout=60).json()["listeners"] == 0


NO_WEBRTC = {
    "absent": "delete window.RTCPeerConnection",
    "blocked": """
      const { setRemoteDescription } = RTCPeerConnection.prototype;
      RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
        const unanswered = sdp.replace(/^a=ice-pwd:.*$/gm, "a=ice-pwd:notthepasswordofanybody");
        return setRemoteDescription.call(this, { type, sdp: unanswered });
      };""",
}


@pytest.mark.parametrize("obstacle", NO_WEBRTC)
def test_without_webrtc_the_sound_comes_over_a_websocket(page: Page, server: Server, obstacle: str) -> None:
    page.add_init_script(NO_WEBRTC[obstacle])
    open_studio(page, server)
    play(page)
    expect_sound(page)
    expect(page.locator("#latency")).to_contain_text("WebSocket")
    expect(page.locator("#bar")).to_contain_text("bar")


def test_a_refused_offer_falls_back_and_a_station_that_is_gone_is_opened_anew(browser: Browser, server: Server) -> None:
    with page_of(browser, expected="40") as page:
        page.route("**/whep/*", lambda route: route.fulfill(status=400, json={"detail": "no such codec"}))
        open_studio(page, server)
        play(page)
        first = page.evaluate("window.undersong.station.id")
        httpx.delete(f"{server.url}/v1/stations/{first}")
        expect(page.locator("#notice p")).to_contain_text("a new one begins")
        expect(page.locator("body")).to_have_attribute("data-state", "playing")
        assert page.evaluate("window.undersong.station.id") != first
        expect_sound(page)


# Blocks of a tone given to the page's own WebSocket listener, rendered offline: [what sounded, what was sent].
# `given`: numbers of the 20 ms blocks that arrive.
RENDER = """async (given) => {
  const { PcmSession } = await import("./client/pcm.js");
  const { Server } = await import("./client/server.js");
  const context = new OfflineAudioContext(2, 48000, 48000);
  Object.defineProperty(context, "state", { value: "running" });
  const input = new GainNode(context);
  input.connect(context.destination);
  const tone = (frame) => Math.round(9000 * Math.sin(frame / 17));
  window.fetch = async () => new Response("{}");
  let socket = null;
  window.WebSocket = class { constructor() { socket = this; } close() {} };
  const on = { onNode() {}, onStats() {}, onSamples() {} };
  const session = new PcmSession(new Server(document.baseURI), 20, input, on);
  const connected = session.connect("x");
  while (!socket) await new Promise((resolve) => setTimeout(resolve));
  for (const number of given) {
    const message = new ArrayBuffer(8 + 4 * 960);
    new DataView(message).setBigUint64(0, BigInt(960 * number), true);
    new Int16Array(message, 8).forEach((_, index, all) => (all[index] = tone(960 * number + (index >> 1))));
    socket.onmessage({ data: message });
  }
  await connected;
  const heard = (await context.startRendering()).getChannelData(0);
  session.close();
  return [Array.from(heard), Array.from({ length: 960 * 15 }, (_, frame) => tone(frame) / 32768)];
}"""


def test_blocks_from_a_websocket_join_without_a_gap_and_gaps_are_soft(page: Page, server: Server) -> None:
    open_studio(page, server)
    begin, end = 48 * 80, 48 * 80 + 960 * 15
    heard, sent = page.evaluate(RENDER, list(range(15)))
    pairs = zip(heard[begin + 240 : end - 240], sent[240:-240], strict=True)
    assert max(abs(a - b) for a, b in pairs) < 1e-6
    assert not any(heard[:begin]) and not any(heard[end:])

    heard, _ = page.evaluate(RENDER, [*range(5), *range(8, 15)])
    assert not any(heard[begin + 960 * 5 : begin + 960 * 8]) and any(heard[begin + 960 * 8 : end])
    assert max(abs(b - a) for a, b in pairwise(heard)) < 1.2 * max(abs(b - a) for a, b in pairwise(sent))


TWO_FRAMES = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
PHONES = [(360, 640), (390, 844), (844, 390), (640, 360)]

# What is wrong with the page as it is laid out, in words.
FAULTS = """() => {
  const faults = [];
  const boxOf = (element) => element.getBoundingClientRect();
  if (document.documentElement.scrollWidth > innerWidth) faults.push("scrolls sideways");
  for (const element of document.querySelectorAll("button, select, summary, input")) {
    const { width, height } = boxOf(element);
    if (width && (width < 44 || height < 44)) faults.push(`${element.id || element.textContent}: ${width} × ${height}`);
  }
  const names = [...document.querySelectorAll(".star em, .axis")].filter((each) => boxOf(each).width);
  names.forEach((a, index) => names.slice(index + 1).forEach((b) => {
    const [p, q] = [boxOf(a), boxOf(b)];
    const isApart = p.right <= q.left || q.right <= p.left || p.bottom <= q.top || q.bottom <= p.top;
    if (!isApart) faults.push(`${a.textContent} on ${b.textContent}`);
  }));
  const volume = boxOf(document.querySelector("#volume"));
  if (volume.bottom > innerHeight || volume.width < 80) faults.push("volume out of reach");
  return faults;
}"""


def test_a_phone_has_everything_in_reach(browser: Browser, server: Server) -> None:
    with page_of(browser, viewport={"width": 390, "height": 844}, **PHONE) as page:
        open_studio(page, server)
        page.locator("summary").tap()
        for width, height in PHONES:
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate(TWO_FRAMES)  # names are put anew when the new size is drawn
            for _ in range(2):
                assert page.evaluate(FAULTS) == [], (width, height)
                page.locator("#language").tap()


# Contrast of every text to the nearest background behind it (WCAG 2), where it is below the bar: "text: ratio".
# On the pad, to each colour of its gradients.
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const pixel = (...colours) => {
    for (const colour of colours) {
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
    }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = getComputedStyle(document.documentElement).backgroundColor;
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!hasText || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (element.closest(":disabled, option, .hidden")) continue;
    const layers = [];
    const onPad = element.closest("#pad") && element.id !== "pad-name";
    for (let each = element; each; each = each.parentElement) layers.unshift(getComputedStyle(each).backgroundColor);
    const image = onPad ? getComputedStyle(document.querySelector("#pad")).backgroundImage : "";
    const grounds = onPad ? image.split("linear-gradient").at(-1).match(/oklch\\([^)]*\\)|oklab\\([^)]*\\)/g) : [null];
    const { color } = getComputedStyle(element);
    for (const ground of grounds) {
      const behind = ground ? [paper, ground] : [paper, ...layers];
      const [a, b] = [luminance(pixel(...behind)), luminance(pixel(...behind, color))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) low.push(`${element.textContent.trim()}: ${ratio.toFixed(2)}`);
    }
  }
  return low;
}"""


def test_all_text_stands_out_from_what_is_behind_it(page: Page, server: Server) -> None:
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    open_studio(page, server)
    page.click("summary")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for mood in ("horror", "epic", "victory", "sleep"):
            page.click(f"[data-mood={mood}]")
            page.evaluate(TWO_FRAMES)
            assert page.evaluate(CONTRAST) == [], (theme, mood)


def test_every_mood_is_in_one_named_group(page: Page, server: Server) -> None:
    open_studio(page, server)
    names = page.locator("[data-mood]").evaluate_all("all => all.map((each) => each.dataset.mood)")
    assert len(names) == len(set(names)) == len(httpx.get(f"{server.url}/v1/moods", timeout=60).json()["moods"])
    assert page.locator("[data-group]").count() > 5 and page.locator("[data-group=others]").count() == 0
