/* One WHEP session: the station's sound over WebRTC. In: the endpoint; out: a track, statistics, word of its loss.
   Remembers the peer connection, which makes its offer at once, and the session's address on the server. */

import { Problem, dismiss, request } from "./api.js";

const GATHER_MS = 250;
const MORE_CANDIDATES_MS = 20;
const STALL_MS = 3000;
const CONNECT_MS = 10_000;

/** Offer Opus in stereo: without these words Chromium decodes mono, whatever is sent. */
export function withStereo(sdp) {
  const payload = sdp.match(/^a=rtpmap:(\d+) opus\/48000/im)?.[1];
  return sdp.replace(new RegExp(`^(a=fmtp:${payload} .*)$`, "m"), "$1;stereo=1;sprop-stereo=1");
}

/** Host candidates come together within milliseconds; nothing after them is worth waiting for. */
function gathered(pc) {
  return new Promise((resolve) => {
    pc.addEventListener("icecandidate", () => setTimeout(resolve, MORE_CANDIDATES_MS));
    setTimeout(resolve, GATHER_MS);
  });
}

export class WhepSession {
  #location = null;
  #watch = 0;
  #previous = { packets: -1, at_ms: 0, delay_s: 0, emitted: 0 };

  /** `onTrack(stream)` when sound is about to flow. `lost` resolves (to false) when it has stopped for good. */
  constructor(buffer_ms, { onTrack, onStats }) {
    this.onStats = onStats;
    this.pc = new RTCPeerConnection({ iceServers: [] });
    this.transceiver = this.pc.addTransceiver("audio", { direction: "recvonly" });
    this.pc.ontrack = (event) => onTrack(event.streams[0] ?? new MediaStream([event.track]));
    this.lost = new Promise((resolve) => (this.declareLost = resolve));
    this.setBuffer(buffer_ms);
    this.offered = this.#offer();
  }

  /** Send the offer, take the answer. True when connected, false when lost before; throws `Problem` if refused. */
  async connect(endpoint) {
    await this.offered;
    if (this.#isClosed) return false;
    const response = await request(endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.pc.localDescription.sdp,
    });
    const location_ = response.headers.get("Location");
    if (location_) this.#location = new URL(location_, response.url).href;
    const answer = await response.text();
    if (this.#isClosed) {
      this.close();
      return false;
    }
    const connected = new Promise((resolve) => {
      this.pc.onconnectionstatechange = () => {
        if (this.pc.connectionState === "connected") resolve(true);
        if (this.pc.connectionState === "failed") this.declareLost(false);
      };
    });
    await this.pc.setRemoteDescription({ type: "answer", sdp: answer }).catch((error) => {
      if (!this.#isClosed) throw new Problem(502, error.message);
    });
    this.#previous.at_ms = performance.now() + CONNECT_MS - STALL_MS;
    this.#watch = setInterval(() => this.#measure(), 1000);
    return Promise.race([connected, this.lost]);
  }

  get #isClosed() {
    return this.pc.signalingState === "closed";
  }

  async #offer() {
    try {
      const offer = await this.pc.createOffer();
      const candidates = gathered(this.pc);
      await this.pc.setLocalDescription({ type: "offer", sdp: withStereo(offer.sdp) });
      await candidates;
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
  }

  /** The browser keeps about this much sound in hand against jitter; less is quicker, more is safer. */
  setBuffer(buffer_ms) {
    if ("jitterBufferTarget" in RTCRtpReceiver.prototype) this.transceiver.receiver.jitterBufferTarget = buffer_ms;
  }

  close() {
    clearInterval(this.#watch);
    this.pc.close();
    if (this.#location) dismiss(this.#location);
    this.#location = null;
    this.declareLost(false);
  }

  /** Once a second: buffer and network delay; a stream without packets for STALL_MS is lost. */
  async #measure() {
    let inbound = null;
    let pair = null;
    const reports = await this.pc.getStats();
    if (this.#isClosed) return;
    for (const report of reports.values()) {
      if (report.type === "inbound-rtp" && report.kind === "audio") inbound = report;
      if (report.type === "candidate-pair" && report.nominated && report.state === "succeeded") pair = report;
    }
    const now_ms = performance.now();
    const before = this.#previous;
    const packets = inbound?.packetsReceived ?? 0;
    if (packets <= Math.max(0, before.packets)) {
      if (now_ms - before.at_ms > STALL_MS) this.declareLost(false);
      return;
    }
    const delay_s = inbound.jitterBufferDelay - before.delay_s;
    const emitted = inbound.jitterBufferEmittedCount - before.emitted;
    this.#previous = {
      packets,
      at_ms: now_ms,
      delay_s: inbound.jitterBufferDelay,
      emitted: inbound.jitterBufferEmittedCount,
    };
    this.onStats({
      buffer_ms: emitted > 0 ? (delay_s / emitted) * 1000 : null,
      network_ms: (pair?.currentRoundTripTime ?? 0) * 1000,
    });
  }
}
