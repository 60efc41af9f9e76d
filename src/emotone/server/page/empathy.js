// How a reply is to show empathy, for models that take levels of the mechanisms of EPITOME.

import { el } from "./dom.js";
import { changed } from "./state.js";

const MECHANISMS = ["reaction", "interpretation", "exploration"];

/** Returns the chosen levels as a request names them; "" where the model is to choose. */
export const empathyText = () => (el("empathy").checked
  ? MECHANISMS.map((name) => `${name}:${el(name).value}`).join(" ") : "");

/** Takes levels as a request names them; any other text leaves the choice to the model. */
export function takeEmpathy(text) {
  const levels = new Map(text.split(" ").map((part) => part.split(":")));
  el("empathy").checked = MECHANISMS.every((name) => ["0", "1", "2"].includes(levels.get(name)));
  for (const name of MECHANISMS) if (el("empathy").checked) el(name).value = levels.get(name);
  showLevels();
}

/** Shows the choice where the model takes it. */
export function buildEmpathy(card) {
  el("empathybox").hidden = !card?.empathy;
  showLevels();
}

const showLevels = () => { el("levels").hidden = !el("empathy").checked; };

/** Wires the choice. */
export function startEmpathy() {
  el("empathybox").addEventListener("change", () => { showLevels(); changed(); });
}
