/* Words of the page in English and Chinese. In: a key or a {en, zh} name; out: text in the chosen language.
   Remembers the language, in localStorage too. */

const WORDS = {
  en: {
    tagline: "Endless music that follows your mood.",
    share: "Copy link",
    shared: "Link copied",
    theme: "Light or dark",
    pad: "Mood: left dark, right bright, up driving",
    driving: "driving",
    still: "still",
    dark: "dark",
    bright: "bright",
    transport: "Transport",
    play: "Play",
    stop: "Stop",
    volume: "Volume",
    next: "Coming",
    tension: "Tension",
    accents: "Accents",
    hit: "Hit",
    voice: "Room for a voice",
    stinger: "Stinger",
    prompt: "Describe the music",
    promptHint: "rain on a night train, a little hopeful",
    promptSend: "Play this",
    style: "Style",
    more: "Fine tuning",
    layers: "Layers",
    moods: "Moods",
    buffer: "Buffer",
    snappy: "snappy, 20 ms",
    safe: "safe, 120 ms",
    auto: "auto",
    bpm: "Tempo",
    key: "Key",
    brightness: "Brightness",
    density: "Density",
    drums: "Drums",
    bass: "Bass",
    harmony: "Harmony",
    texture: "Texture",
    lead: "Lead",
    mute: "Mute",
    mutes: "mute {layer}",
    end: "End gracefully",
    ending: "the ending",
    panic: "Silence now",
    starting: "Starting …",
    reconnecting: "Connection lost, reconnecting …",
    offline: "The server is not answering, trying again …",
    silenced: "Silenced. Press play to go on.",
    ended: "The piece has ended.",
    newStation: "That station has ended, so a new one begins.",
    towards: "{a}, towards {b}",
    padValue: "{name}; valence {valence}, energy {energy}",
    understood: "Heard as {what}",
    unknown: "(not understood: {words})",
    atBar: "{what} at bar {bar}",
    atBeat: "{what} at bar {bar}, beat {beat}",
    inSeconds: "in {s} s",
    bar: "bar {bar}",
    bpmValue: "{bpm} bpm",
    section_intro: "intro",
    section_A: "part A",
    section_B: "part B",
    section_break: "break",
    section_outro: "outro",
    latency: "{heard} ms from hand to ear",
    latencyParts: "answer {answer} · buffer {buffer} · network {network} ms",
    latencyIdle: "buffer {buffer} · network {network} ms",
  },
  zh: {
    tagline: "无尽的音乐，随你的心情而动。",
    share: "复制链接",
    shared: "链接已复制",
    theme: "浅色或深色",
    pad: "心情：左暗右明，向上更有力",
    driving: "奔放",
    still: "静谧",
    dark: "幽暗",
    bright: "明亮",
    transport: "播放",
    play: "播放",
    stop: "停止",
    volume: "音量",
    next: "即将到来",
    tension: "张力",
    accents: "点缀",
    hit: "重音",
    voice: "为人声让位",
    stinger: "短乐句",
    prompt: "描述你想听的音乐",
    promptHint: "雨夜的列车，带一点希望",
    promptSend: "播放",
    style: "风格",
    more: "细调",
    layers: "声部",
    moods: "心情",
    buffer: "缓冲",
    snappy: "灵敏，20 毫秒",
    safe: "稳妥，120 毫秒",
    auto: "自动",
    bpm: "速度",
    key: "调",
    brightness: "明亮度",
    density: "密度",
    drums: "鼓",
    bass: "贝斯",
    harmony: "和声",
    texture: "织体",
    lead: "旋律",
    mute: "静音",
    mutes: "{layer}静音",
    end: "收尾结束",
    ending: "尾声",
    panic: "立即静音",
    starting: "正在开始……",
    reconnecting: "连接中断，正在重连……",
    offline: "服务器没有应答，正在重试……",
    silenced: "已静音。按播放继续。",
    ended: "乐曲已结束。",
    newStation: "原来的电台已结束，这是新的一首。",
    towards: "{a}，渐近{b}",
    padValue: "{name}；明暗 {valence}，能量 {energy}",
    understood: "听作 {what}",
    unknown: "（未理解：{words}）",
    atBar: "第 {bar} 小节：{what}",
    atBeat: "第 {bar} 小节第 {beat} 拍：{what}",
    inSeconds: "{s} 秒后",
    bar: "第 {bar} 小节",
    bpmValue: "每分钟 {bpm} 拍",
    section_intro: "引子",
    section_A: "A 段",
    section_B: "B 段",
    section_break: "间奏",
    section_outro: "尾声",
    latency: "从手到耳 {heard} 毫秒",
    latencyParts: "应答 {answer} · 缓冲 {buffer} · 网络 {network} 毫秒",
    latencyIdle: "缓冲 {buffer} · 网络 {network} 毫秒",
  },
};

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

/** Name of a mood or style `{name, en, zh}` in the chosen language. */
export function nameOf(item) {
  const name = (language === "zh" ? item.zh : item.en) ?? item.name;
  return name[0].toUpperCase() + name.slice(1);
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

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
}
