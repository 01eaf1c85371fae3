/* Records what a node carries. In: a node; out: its samples on a tape. Remembers the node that copies them.

   It takes an AudioWorklet, which a page under a plain http:// address of the local network is not given, and whose module
   does not come where the network breaks off just then: there nothing is recorded, and answers are null. */

export async function tapOf(node, tape) {
  const { context } = node;
  if (!context.audioWorklet) return null;
  try {
    await context.audioWorklet.addModule(new URL("./tap-processor.js", import.meta.url));
  } catch {
    return null;
  }
  const tap = new AudioWorkletNode(context, "undersong-tap", { numberOfOutputs: 0, channelCount: 2 });
  tap.port.onmessage = ({ data: { position, channels } }) => tape.write(position, channels);
  node.connect(tap);
  return tap;
}
