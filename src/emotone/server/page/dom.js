// What every part of the page does with elements. Texts enter as text; nothing is read as HTML.

import { say, t } from "./i18n.js";

/** Returns the element with an id. */
export const el = (id) => document.getElementById(id);

/** Returns a new element with attributes and children (elements or texts). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Returns a small paragraph of a kind that says a key's sentence. */
export const small = (kind, key, values) => say(make("p", { class: `small ${kind}` }), key, values);

/** Returns a button that says a key's sentence and does something. */
export function button(key, act, attributes = {}) {
  const element = say(make("button", { type: "button", ...attributes }), key);
  element.addEventListener("click", act);
  return element;
}

/** Returns a checkbox or radio button that looks like a chip around an element or text. */
export function chip(type, name, value, inside, checked = false) {
  return make("label", {}, make("input", { type, name, value, checked }), make("span", {}, inside));
}

/** Returns an element with the name of an emotion. */
export const emotionOf = (label, tag = "span", attributes = {}) =>
  say(make(tag, attributes), "name", { emotion: label });

let fading = 0;

/** Shows a short confirmation. */
export function toast(key) {
  clearTimeout(fading);
  el("toast").textContent = t(key);
  fading = setTimeout(() => { el("toast").textContent = ""; }, 2500);
}

/** Shows an error in the banner; "" takes it away. */
export function banner(text) {
  el("banner").querySelector("p").textContent = text;
  el("banner").hidden = !text;
}

/** Says something to screen readers. */
export const announce = (text) => { el("live").textContent = text; };

/** Copies a text, and shows whether that went well. */
export async function copy(text, done = "copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(done);
  } catch { // no clipboard without HTTPS, other than on this machine
    const area = make("textarea", { class: "hidden", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    toast(document.execCommand("copy") ? done : "notCopied");
    area.remove();
  }
}
