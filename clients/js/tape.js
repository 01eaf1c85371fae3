/* The last seconds heard. In: samples and where they stand; out: any stretch of them. Remembers a ring of two channels;
   positions are samples of the page's audio context. */

const LENGTH = 2 ** 20;

export class Tape {
  #channels = [new Float32Array(LENGTH), new Float32Array(LENGTH)];
  #begin = 0;
  #end = 0;

  /** Append what stands at `position`; what does not follow the samples before it begins anew. */
  write(position, channels) {
    if (position !== this.#end) this.#begin = position;
    const first = position % LENGTH;
    const { length } = channels[0];
    this.#channels.forEach((ring, index) => {
      const samples = channels[index] ?? channels[0];
      ring.set(samples.subarray(0, LENGTH - first), first);
      if (first + length > LENGTH) ring.set(samples.subarray(LENGTH - first), 0);
    });
    this.#end = position + length;
    this.#begin = Math.max(this.#begin, this.#end - LENGTH);
  }

  holds(from, to) {
    return this.#begin <= from && to <= this.#end;
  }

  get end() {
    return this.#end;
  }

  /** Samples [from, to) of both channels; all of them must be here. */
  read(from, to) {
    return this.#channels.map((ring) => {
      const out = new Float32Array(to - from);
      const first = from % LENGTH;
      const head = ring.subarray(first, Math.min(LENGTH, first + out.length));
      out.set(head);
      out.set(ring.subarray(0, out.length - head.length), head.length);
      return out;
    });
  }
}
