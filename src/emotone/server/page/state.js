// What the reader chose; whoever shows a part of it watches.

export const state = {
  /** The chosen model's name. */
  model: "",
  /** All names. */
  models: [],
  /** What /v1/emotions says of the chosen model; null until it is known. */
  card: null,
  /** What /v1/settings says. */
  limits: {},
  /** Whether the post chooses the mood, and how; kept while it does not. */
  auto: { on: false, policy: "friend", intensity: 80 },
  /** Mixes (Map of label -> intensity): one, or the stations of a way. */
  stations: [new Map()],
  /** Number of tokens at which each station is reached; null where none is chosen. */
  places: [null],
  /** The station that the sliders show. */
  at: 0,
  /** The conversation: {role, content, mix}. */
  turns: [],
};

const watchers = [];

/** Calls a function whenever the state changes. */
export const watch = (show) => { watchers.push(show); };

/** Tells all who watch. */
export const changed = () => { for (const show of watchers) show(); };
