/* Elements made in code. In: names, properties, children; out: elements. Remembers nothing. */

/** An element with properties and children; `dataset` and `aria…` by name. */
export function make(tag, { dataset = {}, aria = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/** Let a range show how far it is filled. */
export function fill(range) {
  range.style.setProperty("--fill", (range.value - range.min) / (range.max - range.min));
}

/** Let the browser save `text` as a file. */
export function saveText(name, text, type) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
