/* Copies what passes through. In: sound; out: messages { position, channels } to the page, some 20 ms each. Runs on the
   audio thread; remembers the chunk that it fills. */

const CHUNK = 1024;

class TapProcessor extends AudioWorkletProcessor {
  #channels = [];
  #position = 0;
  #filled = CHUNK;

  process([input]) {
    if (this.#filled === CHUNK) {
      this.#channels = [new Float32Array(CHUNK), new Float32Array(CHUNK)];
      this.#position = currentFrame;
      this.#filled = 0;
    }
    if (input.length) this.#channels.forEach((chunk, index) => chunk.set(input[index] ?? input[0], this.#filled));
    this.#filled += 128;
    if (this.#filled === CHUNK) {
      const [position, channels] = [this.#position, this.#channels];
      this.port.postMessage(
        { position, channels },
        channels.map(({ buffer }) => buffer),
      );
    }
    return true;
  }
}

registerProcessor("undersong-tap", TapProcessor);
