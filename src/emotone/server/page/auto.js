// The switch that lets the post choose: what is heard in it sets the mood of the reply, by a policy.
// While it is on, pad and sliders rest, and keep what they hold.

import { el } from "./dom.js";
import { autoOn, hears } from "./request.js";
import { changed, state, watch } from "./state.js";

function show() {
  const { policy, intensity } = state.auto;
  el("autobox").hidden = !hears(state.card);
  el("auto").checked = autoOn();
  el("autochoice").hidden = !autoOn();
  el("moods").classList.toggle("resting", autoOn());
  for (const radio of el("policies").querySelectorAll("input")) radio.checked = radio.value === policy;
  el("strength").value = el("strengthis").textContent = intensity;
  el("strength").style.setProperty("--to", `${intensity}%`);
}

/** Wires the switch. */
export function startAuto() {
  const set = (part) => { state.auto = { ...state.auto, ...part }; changed(); };
  watch(show);
  el("auto").addEventListener("change", () => set({ on: el("auto").checked }));
  el("policies").addEventListener("change", (event) => set({ policy: event.target.value }));
  el("strength").addEventListener("input", () => set({ intensity: el("strength").valueAsNumber }));
}
