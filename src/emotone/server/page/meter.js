// What the listener hears, token by token: tints, a legend, and a walk through the tokens.

import { paint } from "./colours.js";
import { emotionOf, make } from "./dom.js";
import { say } from "./i18n.js";

const WITHOUT = new Set(["neutral", "other", "none"]);
/** A token that is part of a sign is found again within so many letters. */
const NEAR = 12;
const SHOWN = 5;

const percent = (share) => `${Math.round(share * 100)}%`;
const share = (side, label) => {
  const value = Object.hasOwn(side ?? {}, label) ? Number(side[label]) : 0;
  return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : 0;
};

/** Returns the label a token is tinted by: the loudest of the asked ones, else of all. */
export function loudest(row, asked) {
  const all = Object.keys(row.after ?? {}).filter((label) => !WITHOUT.has(label));
  const among = all.filter((label) => asked.has(label));
  return (among.length ? among : all)
    .sort((a, b) => share(row.after, b) - share(row.after, a))[0] ?? null;
}

/** Returns {from, to} of each row in a text; null for a row that is not found from `start` on. */
export function align(text, rows, start = 0) {
  let at = start;
  let parts = false; // tokens that hold only part of a sign, and wait for the next whole one
  return rows.map((row) => {
    let token = String(row.token ?? "");
    if (at === 0) token = token.trimStart();
    if (!token || token.includes("\uFFFD")) {
      parts ||= Boolean(token);
      return null;
    }
    const found = text.indexOf(token, at);
    if (found < 0 || found - at > NEAR) return null;
    const from = parts ? at : found;
    parts = false;
    at = found + token.length;
    return { from, to: at };
  });
}

/** A text that is tinted as it grows. */
export class Tinted {
  /** `asked` are the labels that were asked for; their tints come first. */
  constructor(asked) {
    this.asked = asked;
    this.rows = [];
    this.waiting = []; // rows that are not yet found in the text
    this.text = "";
    this.at = 0;
    this.heardIn = new Map(); // token -> its row
    this.rest = document.createTextNode("");
    this.element = make("div", { class: "text" }, this.rest);
    this.legend = make("div", { class: "legend" });
    this.spoken = make("p", { class: "small spoken", role: "status" });
    this.element.addEventListener("keydown", (event) => this.#walk(event));
    this.element.addEventListener("click", (event) => this.#show(event.target.closest(".token")));
    this.element.addEventListener("pointerover", ({ target }) => {
      if (this.heardIn.has(target)) this.#say(target, "tTitle");
    });
  }

  /** Takes more of the text, and rows of the meter, which may lag behind it. */
  add(text, rows) {
    this.text += text;
    this.rows.push(...rows);
    this.waiting.push(...rows);
    const places = align(this.text, this.waiting, this.at);
    const last = places.findLastIndex((place) => place !== null);
    for (const [i, place] of places.slice(0, last + 1).entries()) {
      if (place === null) continue;
      this.rest.before(this.text.slice(this.at, place.from));
      this.rest.before(this.#token(this.waiting[i], this.text.slice(place.from, place.to)));
      this.at = place.to;
    }
    this.waiting.splice(0, last + 1);
    this.rest.data = this.text.slice(this.at);
  }

  /** Writes the legend, and lets the keyboard in; called at the end. */
  finish() {
    if (!this.rows.length) return;
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "group");
    say(this.element, "walk", null, "tLabel");
    const mean = (side, label) =>
      this.rows.reduce((sum, row) => sum + share(row[side], label), 0) / this.rows.length;
    const labels = [...new Set(this.rows.flatMap((row) => Object.keys(row.after ?? {})))]
      .filter((label) => !WITHOUT.has(label))
      .sort((a, b) => this.asked.has(b) - this.asked.has(a) || mean("after", b) - mean("after", a));
    const entries = labels.slice(0, SHOWN).map((label) => {
      const swatch = emotionOf(label, "span", { class: "token swatch" });
      paint(swatch, label, 0.8);
      const numbers = ["before", "after"].map((side) => percent(mean(side, label))).join(" → ");
      return make("span", { class: "entry" }, swatch, ` ${numbers}`);
    });
    this.legend.append(say(make("span", { class: "small" }), "heard"), ...entries, this.spoken);
  }

  #token(row, text) {
    const label = loudest(row, this.asked);
    const token = make("span", { class: "token" }, text);
    if (label !== null) {
      paint(token, label, share(row.after, label));
      this.heardIn.set(token, row);
    }
    return token;
  }

  #say(token, place, element = token) {
    const row = this.heardIn.get(token);
    const emotion = loudest(row, this.asked);
    const [before, after] = [row.before, row.after].map((side) => percent(share(side, emotion)));
    say(element, "token", { token: token.textContent.trim(), emotion, before, after }, place);
  }

  #show(token) {
    if (!this.heardIn.has(token)) return;
    this.shown?.classList.remove("here");
    this.shown = token;
    token.classList.add("here");
    this.#say(token, "t", this.spoken);
  }

  #walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !this.heardIn.size) return;
    const tokens = [...this.heardIn.keys()];
    const at = tokens.indexOf(this.shown) + step;
    this.#show(tokens[Math.max(0, Math.min(tokens.length - 1, at))]);
    event.preventDefault();
  }
}
