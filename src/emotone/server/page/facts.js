// What stands below a reply: how it was written, remarks, and a sentence that points to help.

import { make, small } from "./dom.js";
import { say } from "./i18n.js";
import { noteOf } from "./refusals.js";

/** The server's note on what was heard; the facts say it. */
const HEARD = / is heard in the post \([\d.]+\); auto:/;
const short = (value) => (typeof value === "number" ? Math.round(value * 100) / 100 : value);

/** Returns the facts, remarks and care of a reply of `api.write` that was asked in a mix, as elements. */
export function factsOf({ told, usage, text, finish, seconds }, asked) {
  const fact = (key, value) => (value == null || value === "" ? null : say(make("span"), key, { n: value }));
  const dose = Object.entries(told.dose ?? {}).map(([label, value]) => `${label} ${short(value)}`).join(", ");
  const other = (value, known) => value !== known && value;
  const model = told.model === "none" ? null : other(told.model, told.system);
  const auto = told.applied?.auto;
  const plain = [other(told.emotion, auto ? auto.chosen : asked), told.applied?.empathy, told.system, model];
  const [emotion, n] = String(auto?.chosen ?? "").split(":");
  const facts = [
    ...(auto ? [
      say(make("span"), "heardPost", { emotion: auto.heard, n: Math.round(100 * auto.probability) }),
      emotion ? say(make("span"), "answeredIn", { emotion, n }) : say(make("span"), "answeredPlainly"),
    ] : []),
    ...plain.filter(Boolean).map((name) => make("span", {}, String(name))),
    told.applied?.retrieved ? say(make("span"), "byHand") : null,
    fact("seedIs", told.seed), fact("dose", dose), fact("tokens", usage?.completion_tokens),
    fact("seconds", seconds || null), finish === "length" ? say(make("span"), "atLength") : null,
  ].filter(Boolean);
  const notes = Array.isArray(told.notes) ? told.notes.map(String).filter((note) => !auto || !HEARD.test(note)) : [];
  const care = told.care && !text.includes(told.care) ? [String(told.care)] : [];
  return [
    make("p", { class: "small facts" }, ...facts.flatMap((part, i) => (i ? [" · ", part] : [part]))),
    ...care.map((sentence) => make("p", { class: "small care" }, sentence)),
    ...notes.map((sentence) => {
      const known = noteOf(sentence);
      return known ? small("note", known.key, known.values) : make("p", { class: "small note" }, sentence);
    }),
    ...(told.backed_off > 0 ? [small("note", "backedOff", { n: told.backed_off })] : []),
  ];
}
