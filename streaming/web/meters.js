/* Level and spectrum of what is heard. In: an audio node; out: drawings on one or two canvases.
   Remembers the analysers, in the node's context, and the falling peaks. */

const NUM_POINTS = 72;
const LOW_HZ = 40;
const HIGH_HZ = 16_000;
const FLOOR_DB = -60;
const PEAK_FALL_DB = 1;

export class Meters {
  #peaks_db = [FLOOR_DB, FLOOR_DB];
  #source = null;

  constructor(spectrumCanvas, levelCanvas = null) {
    this.spectrumCanvas = spectrumCanvas;
    this.levelCanvas = levelCanvas;
    this.analyser = null;
    this.sides = [];
    this.samples = new Float32Array(2048);
  }

  listenTo(source) {
    this.#source?.disconnect(this.analyser);
    if (this.analyser?.context !== source.context) this.#build(source.context);
    this.#source = source;
    source.connect(this.analyser);
  }

  #build(context) {
    this.analyser = new AnalyserNode(context, {
      fftSize: 4096,
      smoothingTimeConstant: 0.75,
      minDecibels: -95,
      maxDecibels: -20,
    });
    this.sides = [0, 1].map(() => new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0 }));
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    this.analyser.connect(splitter);
    this.sides.forEach((side, channel) => splitter.connect(side, channel));
    this.bins = new Uint8Array(this.analyser.frequencyBinCount);
  }

  /** One animation frame, in the colour that the style sheet gives the canvases. */
  draw() {
    if (!this.analyser) return;
    const { color } = getComputedStyle(this.spectrumCanvas);
    this.#drawSpectrum(color);
    if (this.levelCanvas) this.#drawLevel(color);
  }

  /** A smooth hill over a logarithmic axis, LOW_HZ … HIGH_HZ. */
  #drawSpectrum(accent) {
    const { pen, width, height } = fitted(this.spectrumCanvas);
    this.analyser.getByteFrequencyData(this.bins);
    const bin_hz = this.analyser.context.sampleRate / this.analyser.fftSize;
    const edge = (index) => (LOW_HZ * (HIGH_HZ / LOW_HZ) ** (index / NUM_POINTS)) / bin_hz;
    const points = Array.from({ length: NUM_POINTS }, (_, index) => {
      const first = Math.floor(edge(index));
      const last = Math.max(first + 1, Math.ceil(edge(index + 1)));
      const peak = Math.max(...this.bins.subarray(first, last));
      return { x: (index / (NUM_POINTS - 1)) * width, y: height - 1 - (peak / 255) * (height - 4) };
    });
    const trace = () => {
      pen.beginPath();
      pen.moveTo(points[0].x, points[0].y);
      for (let index = 1; index < NUM_POINTS; index++) {
        const [a, b] = [points[index - 1], points[index]];
        pen.quadraticCurveTo(a.x, a.y, (a.x + b.x) / 2, (a.y + b.y) / 2);
      }
      pen.lineTo(width, points.at(-1).y);
    };
    trace();
    pen.lineTo(width, height);
    pen.lineTo(0, height);
    pen.globalAlpha = 0.16;
    pen.fillStyle = accent;
    pen.fill();
    trace();
    pen.globalAlpha = 0.9;
    pen.lineWidth = 1.5;
    pen.strokeStyle = accent;
    pen.stroke();
  }

  /** Left above right, FLOOR_DB … 0 dBFS: the bar is RMS, the tick the falling peak. */
  #drawLevel(accent) {
    const { pen, width, height } = fitted(this.levelCanvas);
    const bar = Math.floor((height - 2) / 2);
    this.sides.forEach((side, channel) => {
      side.getFloatTimeDomainData(this.samples);
      let [square, peak] = [0, 0];
      for (const sample of this.samples) {
        square += sample * sample;
        peak = Math.max(peak, Math.abs(sample));
      }
      const rms_db = 10 * Math.log10(square / this.samples.length + 1e-12);
      this.#peaks_db[channel] = Math.max(20 * Math.log10(peak + 1e-6), this.#peaks_db[channel] - PEAK_FALL_DB);
      const along = (db) => Math.max(0, (db - FLOOR_DB) / -FLOOR_DB) * width;
      const y = channel * (bar + 2);
      pen.fillStyle = accent;
      pen.globalAlpha = 0.15;
      pen.fillRect(0, y, width, bar);
      pen.globalAlpha = 1;
      pen.fillRect(0, y, along(rms_db), bar);
      if (this.#peaks_db[channel] > FLOOR_DB) pen.fillRect(along(this.#peaks_db[channel]) - 2, y, 2, bar);
    });
  }
}

/** A cleared canvas whose pixels are the screen's. */
function fitted(canvas) {
  const scale = window.devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.globalAlpha = 1;
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}
