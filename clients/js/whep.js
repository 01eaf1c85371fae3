/* One WHEP session: the station's sound over WebRTC. In: the station's id; out: a stream, statistics, word of its loss,
   and which frame sounds when. Remembers the peer connection, which makes its offer at once, the session's address on
   the server, and how RTP time, frames and the page's clock lie to each other. */

import { Least } from "./least.js";
import { Problem } from "./server.js";

const GATHER_MS = 250;
const MORE_CANDIDATES_MS = 20;
const STALL_MS = 3000;
const CONNECT_MS = 4000;
const GOODBYE_MS = 500;
const FRAMES_PER_MS = 48;
const STARVED_MS = 60; // a packet holds 20 ms, and the browser hides the loss of as much again
const NUM_ORIGINS = 15;
const ROBUST_MS = 80; // a packet's copy comes 40 ms after it
/** What Opus looks ahead (312 frames), and what the browser waits between decoder and player: 5 … 14 ms. */
const TO_THE_PLAYER_MS = 6.5 + 7;

/** Offer Opus in stereo: without these words Chromium decodes mono, whatever is sent. */
export function withStereo(sdp) {
  const payload = sdp.match(/^a=rtpmap:(\d+) opus\/48000/im)?.[1];
  return sdp.replace(new RegExp(`^a=fmtp:${payload} .*$`, "m"), (line) =>
    /[ ;]stereo=1/.test(line) ? line : `${line};stereo=1;sprop-stereo=1`,
  );
}

/** Offer to ask again for packets that are missed: Chromium does where both sides say so, and does not say it itself. */
export function withNack(sdp) {
  const payload = sdp.match(/^a=rtpmap:(\d+) opus\/48000/im)?.[1];
  if (!payload || new RegExp(`^a=rtcp-fb:(${payload}|\\*) nack\\r?$`, "m").test(sdp)) return sdp;
  return sdp.replace(new RegExp(`^a=rtpmap:${payload} .*$`, "m"), (line) => `${line}\r\na=rtcp-fb:${payload} nack`);
}

/** Host candidates come together within milliseconds; nothing after them is worth waiting for. */
function gathered(pc) {
  return new Promise((resolve) => {
    pc.addEventListener("icecandidate", () => setTimeout(resolve, MORE_CANDIDATES_MS));
    setTimeout(resolve, GATHER_MS);
  });
}

export class WhepSession {
  static isPossible = "RTCPeerConnection" in window;
  transport = "WebRTC";
  /** The session's id on the server; null before it has answered. */
  id = null;
  #frameAtRtp = null;
  #origin_ms = new Least(NUM_ORIGINS);
  #delivered_ms = -Infinity;
  #location = null;
  #isClosed = false;
  #watch = 0;
  #previous = { packets: -1, at_ms: 0, delay_s: 0, emitted: 0 };

  /** `profile`: of the server's, null for what it does unasked. `onStream(stream)` when sound is about to flow. `lost`
      resolves (to false) when it has stopped for good. */
  constructor(server, { buffer_ms, profile = null }, output, { onStream, onStats, onId }) {
    this.server = server;
    this.profile = profile;
    this.output = output;
    this.onId = onId;
    this.onStats = onStats;
    this.pc = new RTCPeerConnection({ iceServers: [] });
    this.transceiver = this.pc.addTransceiver("audio", { direction: "recvonly" });
    this.pc.ontrack = (event) => onStream(event.streams[0] ?? new MediaStream([event.track]));
    this.lost = new Promise((resolve) => (this.declareLost = resolve));
    this.setBuffer(buffer_ms);
    this.offered = this.#offer();
  }

  /** Send the offer, take the answer. True when connected, false when that fails; throws `Problem` if refused. */
  async connect(stationId) {
    await this.offered;
    if (this.#isClosed) return false;
    const endpoint = `whep/${encodeURIComponent(stationId)}`;
    const query = this.profile ? `?profile=${this.profile}` : "";
    const response = await this.server.request(endpoint + query, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.pc.localDescription.sdp,
    });
    // Behind a proxy the path of Location may not be ours; the session's own name is always its end.
    const name = response.headers.get("Location")?.split("/").at(-1);
    if (name) {
      this.#location = `${endpoint}/${name}`;
      this.id = name;
    }
    this.onId(this.id);
    const answer = await response.text();
    const isReachable = /^a=candidate:/m.test(answer); // the server's answer is complete: no candidates follow it
    if (this.#isClosed || !isReachable) {
      this.close();
      return false;
    }
    const connected = new Promise((resolve) => {
      setTimeout(resolve, CONNECT_MS, false);
      this.pc.onconnectionstatechange = () => {
        if (this.pc.connectionState === "connected") resolve(true);
        if (this.pc.connectionState === "failed") this.declareLost(false);
      };
    });
    await this.pc.setRemoteDescription({ type: "answer", sdp: answer }).catch((error) => {
      if (!this.#isClosed) throw new Problem(400, error.message);
    });
    this.#previous.at_ms = performance.now();
    this.#watch = setInterval(() => this.#measure(), 1000);
    return Promise.race([connected, this.lost]);
  }

  async #offer() {
    try {
      const offer = await this.pc.createOffer();
      const candidates = gathered(this.pc);
      const sdp = this.profile === "robust" ? withNack(offer.sdp) : offer.sdp;
      await this.pc.setLocalDescription({ type: "offer", sdp: withStereo(sdp) });
      await candidates;
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
  }

  /** The browser keeps about this much sound in hand against jitter; less is quicker, more is safer. */
  setBuffer(buffer_ms) {
    if (!("jitterBufferTarget" in RTCRtpReceiver.prototype)) return;
    const least_ms = this.profile === "robust" ? ROBUST_MS : 0;
    this.transceiver.receiver.jitterBufferTarget = Math.max(least_ms, buffer_ms);
  }

  /** The server has said which frame left under which RTP time. */
  meetClock({ frame, rtp_timestamp }) {
    this.#frameAtRtp = { frame, rtp: rtp_timestamp };
    this.#origin_ms.clear();
  }

  /** How far the sound reaches that has come, in seconds of the output's context: the browser tells what it plays. */
  get endsAt_s() {
    const [source] = this.transceiver.receiver.getSynchronizationSources();
    if (source) this.#delivered(source.timestamp - performance.timeOrigin, source.rtpTimestamp);
    return this.#timeAfter(this.#delivered_ms + STARVED_MS);
  }

  #delivered(at_ms, rtp) {
    if (at_ms === this.#delivered_ms) return;
    this.#delivered_ms = at_ms;
    if (!this.#frameAtRtp) return;
    const frame = this.#frameAtRtp.frame + ((rtp - this.#frameAtRtp.rtp) | 0); // RTP time goes round after 2 ** 32
    this.#frameAtRtp = { frame, rtp };
    this.#origin_ms.add(at_ms - frame / FRAMES_PER_MS); // the packet's second half is told under the same RTP time
  }

  /** When `frame` sounds, in seconds of the output's context; null where the server has not told of RTP time. */
  timeOf(frame) {
    const origin_ms = this.#origin_ms.value;
    return origin_ms === null ? null : this.#timeAfter(origin_ms + TO_THE_PLAYER_MS + frame / FRAMES_PER_MS);
  }

  /** What the browser hands to its player at that moment sounds as late as what the context makes then. */
  #timeAfter(moment_ms) {
    return this.output.timeOf(moment_ms + 1000 * this.output.latency_s);
  }

  /** `saysGoodbye`: false where the station itself is being ended, and its sessions with it. */
  close(saysGoodbye = true) {
    this.#isClosed = true;
    clearInterval(this.#watch);
    if (!saysGoodbye) this.#location = null;
    this.#hangUp();
    this.declareLost(false);
  }

  /** First by HTTP: once the connection itself is closed, the server may not know the session any more. */
  async #hangUp() {
    const location = this.#location;
    this.#location = null;
    this.transceiver.receiver.track.enabled = false;
    const goodbye = new Promise((resolve) => setTimeout(resolve, GOODBYE_MS));
    if (location) await Promise.race([this.server.dismiss(location), goodbye]);
    this.pc.close();
  }

  /** Once a second: buffer and network delay; a stream without packets for STALL_MS is lost. */
  async #measure() {
    let inbound = null;
    let pair = null;
    const reports = await this.pc.getStats();
    if (this.#isClosed) return;
    for (const report of reports.values()) {
      if (report.type === "inbound-rtp" && report.kind === "audio") inbound = report;
      const isChosen = report.type === "candidate-pair" && report.nominated && report.state === "succeeded";
      if (isChosen && report.selected !== false) pair = report; // `selected` is Firefox's
    }
    const now_ms = performance.now();
    const before = this.#previous;
    const packets = inbound?.packetsReceived ?? 0;
    if (packets <= Math.max(0, before.packets)) {
      if (now_ms - before.at_ms > STALL_MS) this.declareLost(false);
      return;
    }
    const { jitterBufferDelay: delay_s = 0, jitterBufferEmittedCount: emitted = 0 } = inbound;
    this.#previous = { packets, at_ms: now_ms, delay_s, emitted };
    const num_emitted = emitted - before.emitted;
    this.onStats({
      buffer_ms: num_emitted > 0 ? ((delay_s - before.delay_s) / num_emitted) * 1000 : null,
      network_ms: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    });
  }
}
