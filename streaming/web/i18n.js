/* Words of the pages in English and Chinese. In: a key or a {en, zh} name; out: text in the chosen language.
   Remembers the language, in localStorage too. */

import { en } from "./words.en.js";
import { zh } from "./words.zh.js";

const WORDS = { en, zh };

const SCALES_ZH = {
  major: "大调",
  minor: "小调",
  dorian: "多利亚",
  phrygian: "弗里吉亚",
  lydian: "利底亚",
  mixolydian: "混合利底亚",
  locrian: "洛克里亚",
  "harmonic minor": "和声小调",
  "major pentatonic": "大调五声",
  "minor pentatonic": "小调五声",
};

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export const currentLanguage = () => language;

/** Text of `key`, with `{name}` replaced from `values`. */
export function t(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Name of a mood or style `{name, en, zh}` in the chosen language. */
export function nameOf(item) {
  return capital((language === "zh" ? item.zh : item.en) ?? item.name);
}

/** `"A minor"` in the chosen language; flats and sharps with their signs. */
export function keyName(key) {
  const [tonic, ...scale] = key.split(" ");
  const sign = tonic.replace("b", "♭").replace("#", "♯");
  return language === "zh" ? `${sign} ${SCALES_ZH[scale.join(" ")] ?? scale.join(" ")}` : `${sign} ${scale.join(" ")}`;
}

/** Put the words into every element that names a key by `data-i18n`, `-label` or `-placeholder`. */
export function translatePage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]")) element.textContent = t(element.dataset.i18n);
  for (const element of document.querySelectorAll("[data-i18n-label]")) {
    element.setAttribute("aria-label", t(element.dataset.i18nLabel));
  }
  for (const element of document.querySelectorAll("[data-i18n-placeholder]")) {
    element.placeholder = t(element.dataset.i18nPlaceholder);
  }
}

/** Speak a language that the address names; the page alone, and only this time. */
export function speak(name) {
  language = name;
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
}
