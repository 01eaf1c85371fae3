/* The accent colour of a mood. In: valence and energy; out: the custom properties --hue and --chroma of the page.
   Remembers the colour shown, which eases towards the one asked. */

const COOL_HUE = 262;
const HUE_SPAN = 160;
const EASE = 0.12;

/** Hue in degrees (blue, violet, rose, amber from dark to bright) and OKLCH chroma (grey when still). */
export function colourOf({ valence, energy }) {
  return { hue: COOL_HUE + ((valence + 1) / 2) * HUE_SPAN, chroma: 0.055 + 0.115 * energy };
}

export class Accent {
  #shown = null;

  constructor(element) {
    this.element = element;
    this.target = colourOf({ valence: 0, energy: 0.4 });
    this.isInstant = false;
  }

  /** One animation frame: move a little towards the target. */
  ease() {
    const shown = this.#shown ?? { hue: this.target.hue + 1, chroma: 0 };
    const { hue, chroma } = this.target;
    if (Math.abs(hue - shown.hue) < 0.2 && Math.abs(chroma - shown.chroma) < 0.0005) return;
    const share = this.isInstant || !this.#shown ? 1 : EASE;
    this.#shown = {
      hue: shown.hue + (hue - shown.hue) * share,
      chroma: shown.chroma + (chroma - shown.chroma) * share,
    };
    this.element.style.setProperty("--hue", this.#shown.hue.toFixed(1));
    this.element.style.setProperty("--chroma", this.#shown.chroma.toFixed(4));
  }
}
