// From what the reader chose to the body of a request.

import { el } from "./dom.js";
import { empathyText } from "./empathy.js";
import { t } from "./i18n.js";
import { writeAuto, writeWay } from "./mix.js";
import { state } from "./state.js";

/** Returns whether a model has a listener: for the meter, and for posts. */
export const hears = (card) => Boolean(card?.vectors?.listens_to?.length);

/** Returns whether the post chooses the mood. */
export const autoOn = () => state.auto.on && hears(state.card);

/** Returns the canonical text of the chosen mood; "" for none. */
export const mixText = () => (autoOn() ? writeAuto(state.auto)
  : writeWay(state.stations, labelsOf(state.card), state.places));

/** Returns the labels of a model that can be asked for; in grades, neutral is the lack of all. */
export const labelsOf = (card) => (card?.data ?? []).map((row) => String(row.id))
  .filter((label) => !card.graded || label !== "neutral");

/** Returns the labels that are asked for, as a set. */
export const asked = () => new Set((autoOn() ? [] : state.stations)
  .flatMap((mix) => [...mix.keys()].filter((label) => mix.get(label) > 0)));

/** Returns a number field's value; undefined where it is empty; throws a sentence where it is wrong. */
function number(id) {
  const field = el(id);
  if (field.validity.valid && !field.value) return undefined;
  if (!field.validity.valid || !Number.isFinite(field.valueAsNumber)) {
    throw new Error(t("badNumber", { name: field.labels[0].firstElementChild.textContent }));
  }
  return field.valueAsNumber;
}

/** Returns the seed that is asked for; undefined for any. */
export const seedAsked = () => number("seed");

/** Returns the body that asks for a reply to `turns`; throws a sentence where a field is wrong. */
export function bodyOf(turns, {
  model = state.model, card = state.card, mix = mixText(), seed = seedAsked(),
  stream = !el("best").checked, meter = el("tint").checked,
} = {}) {
  const halfLife = number("halflife");
  const read = card && !card.history ? turns.slice(-1) : turns;
  const body = {
    model,
    messages: read.map((turn, i) => ({
      role: turn.role,
      content: turn.content,
      ...(halfLife && i < read.length - 1 && turn.mix && { emotion: turn.mix }),
    })),
    emotion: mix || undefined,
    mood: halfLife && { half_life: halfLife },
    empathy: (card?.empathy && empathyText()) || undefined,
    seed,
    temperature: number("temperature"),
    max_tokens: number("longest"),
    emotion_guard: el("guard").checked ? undefined : false,
    emotion_meter: (meter && hears(card)) || undefined,
    stream: stream || undefined,
    stream_options: stream ? { include_usage: true } : undefined,
  };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}
