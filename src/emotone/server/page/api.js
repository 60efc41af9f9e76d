// What the page asks of its server.

import { t } from "./i18n.js";
import { refusal } from "./refusals.js";
import { recall, remember } from "./stored.js";

const KEY = "emotone-key";
let key = recall("sessionStorage", KEY) ?? "";
let askKey = async () => "";

/** Says whom to ask where the server wants a key: an async function that returns one, or "". */
export const onKey = (ask) => { askKey = ask; };

/** Tells whether a key is in use. */
export const keyed = () => Boolean(key);

/** A sentence of the server's, with its code. */
export class Refused extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** Returns the sentence of an error; `fetch` fails by a TypeError where nobody answers. */
export function sentence(error) {
  if (error instanceof TypeError) return t("offline");
  return error instanceof Refused ? refusal(error.code, error.message) : error.message;
}

async function call(path, options = {}) {
  for (let tries = 0; ; tries++) {
    const used = key;
    const headers = { ...options.headers, ...(used && { Authorization: `Bearer ${used}` }) };
    const answer = await fetch(path, { ...options, headers });
    if (answer.ok) return answer;
    if (answer.status === 401 && tries < 3) {
      if (key === used) { // else another request was given one meanwhile
        key = await askKey(tries > 0 || used !== "");
        remember("sessionStorage", KEY, key || null);
      }
      if (key) continue;
    }
    const told = await answer.json().catch(() => null);
    throw new Refused(String(told?.error?.message ?? `HTTP ${answer.status}`), told?.error?.code);
  }
}

const json = async (path, options) => (await call(path, options)).json();

/** Returns "ok", "loading", "dead" or "offline". */
export async function health() {
  const told = await fetch("/health").then((answer) => answer.json()).catch(() => null);
  return ["ok", "loading", "dead"].find((status) => status === told?.status) ?? "offline";
}

/** Returns the names of the models. */
export const models = async () => (await json("/v1/models")).data.map((row) => String(row.id));

/** Returns what the server allows. */
export const limits = () => json("/v1/settings");

const cards = new Map();

/** Returns what a model can be asked for; asked once a model. */
export async function card(model) {
  if (!cards.has(model)) {
    cards.set(model, await json(`/v1/emotions?${new URLSearchParams({ model })}`));
  }
  return cards.get(model);
}

/**
 * Returns a reply {text, told, usage, finish, meter, ended}; `piece(text, meter)` hears of each part
 * of a stream. A stream that is cut has `ended` false.
 */
export async function write(body, { signal, piece = () => {} } = {}) {
  const answer = await call("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const reply = { text: "", told: {}, usage: null, finish: "", meter: [], ended: false };
  const add = (text, told) => {
    const meter = Array.isArray(told?.meter) ? told.meter : [];
    reply.text += text;
    reply.meter.push(...meter);
    if (text || meter.length) piece(text, meter);
  };
  if (!body.stream) {
    const whole = await answer.json();
    const [choice] = whole.choices;
    reply.told = choice.emotone ?? whole.emotone ?? {};
    add(String(choice.message?.content ?? ""), reply.told);
    return { ...reply, usage: whole.usage ?? null, finish: choice.finish_reason, ended: true };
  }
  for await (const row of events(answer.body)) {
    if (row.error) throw new Refused(String(row.error.message), row.error.code);
    const choice = row.choices?.[0];
    add(String(choice?.delta?.content ?? ""), row.emotone);
    if (choice?.finish_reason) {
      Object.assign(reply, { finish: choice.finish_reason, told: row.emotone ?? {}, ended: true });
    }
    if (row.usage) reply.usage = row.usage;
  }
  return reply;
}

/** Yields the JSON of each event of a stream. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
    if (done) return;
  }
}
