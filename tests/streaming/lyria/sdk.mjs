// Plays, steers, pauses, resets and stops by Google's own SDK, unmodified. In: address and key; out: one JSON object.
// Messages are sent before setupComplete has come, as the SDK does. `--find` only looks for the package.

import { createRequire } from "node:module";

const { GoogleGenAI } = createRequire(import.meta.url)("@google/genai");
const [address, apiKey, seconds = "0"] = process.argv.slice(2);
if (address === "--find") process.exit(0);

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const heard = { setups: 0, chunks: 0, frames: 0, errors: [] };
let last = null;
let onClose;
const closed = new Promise((resolve) => (onClose = resolve));

function hear(message) {
  if (message.setupComplete) heard.setups += 1;
  for (const chunk of message.serverContent?.audioChunks ?? []) {
    if (chunk.mimeType !== "audio/l16;rate=48000;channels=2") throw new Error(chunk.mimeType);
    if (chunk.undersong.sent !== heard.frames) throw new Error(`${chunk.undersong.sent} after ${heard.frames}`);
    heard.chunks += 1;
    heard.frames += Buffer.from(chunk.data, "base64").length / 4;
    last = chunk;
  }
}

async function until(isSo, what) {
  for (let waited = 0; !isSo(); waited += 10) {
    if (waited > 20_000 || heard.errors.length) throw new Error(`${what}: ${heard.errors}`);
    await wait(10);
  }
}

const ai = new GoogleGenAI({ apiKey, apiVersion: "v1alpha", httpOptions: { baseUrl: address } });
const began = Date.now();
const session = await ai.live.music.connect({
  model: "models/lyria-realtime-exp",
  callbacks: {
    onmessage: hear,
    onerror: (error) => heard.errors.push(String(error.message ?? error)),
    onclose: (event) => onClose(event.code),
  },
});
await session.setWeightedPrompts({ weightedPrompts: [{ text: "Piano", weight: 1.0 }, { text: "drums", weight: -1.0 }] });
await session.setMusicGenerationConfig({ musicGenerationConfig: { bpm: 90, temperature: 1.0, scale: "C_MAJOR_A_MINOR" } });
session.play();
await until(() => heard.frames > 24_000, "no sound");
if (last.sourceMetadata.musicGenerationConfig.bpm !== 90) throw new Error(JSON.stringify(last.sourceMetadata));

await session.setWeightedPrompts({ weightedPrompts: [{ text: "epic", weight: 1.0 }] });
await until(() => last.sourceMetadata.clientContent.weightedPrompts[0].text === "epic", "not steered");

session.pause();
await wait(300);
const held = heard.frames;
await wait(300);
if (heard.frames !== held) throw new Error("it played on in a pause");
session.play();
await until(() => heard.frames > held + 24_000, "it does not go on");

await session.setMusicGenerationConfig({});
session.resetContext();
await until(() => last.sourceMetadata.musicGenerationConfig.bpm === undefined, "not reset");
for (let n = 0; n < Number(seconds) * 5; n += 1) {
  await session.setWeightedPrompts({
    weightedPrompts: [{ text: "Piano", weight: 1.01 + Math.sin(n / 20) }, { text: "techno", weight: 1.01 - Math.sin(n / 20) }],
  });
  await wait(200);
}
session.stop();
session.play();
const again = heard.frames;
await until(() => heard.frames > again + 24_000, "it does not begin again");
session.close();
heard.close = await closed;
heard.seconds = (Date.now() - began) / 1000;
console.log(JSON.stringify(heard));
process.exit(heard.errors.length || heard.setups !== 1 ? 1 : 0);
