// Where emotions lie in valence, arousal and dominance, and which mix lies nearest to a point. The
// numbers, the cost and the reasons are those of emotone.emotions.vad; a test holds them together.

export const AXES = ["valence", "arousal", "dominance"];

const PLACES = new Map(Object.entries({
  anger: [-60, 75, 45], disgust: [-65, 35, 20], fear: [-70, 70, -60], joy: [85, 50, 40],
  sadness: [-70, -40, -45], surprise: [15, 80, -15], love: [90, 20, 10], calm: [55, -75, 30],
  pride: [75, 40, 70], gratitude: [75, -5, -25], amusement: [65, 60, 15], curiosity: [35, 45, 15],
  hope: [60, 15, -10], embarrassment: [-50, 40, -65], loneliness: [-60, -35, -65],
  jealousy: [-55, 55, -10], boredom: [-30, -80, -10],
}));
/** The emotions that judges hear; the others are moods. */
export const EMOTIONS = [...PLACES.keys()].slice(0, 7);
const MOODS = new Set([...PLACES.values()].slice(7));
const ALIASES = new Map(Object.entries({
  anger: "angry mad furious rage", disgust: "disgusted disgusting", joy: "happy happiness joyful glad",
  fear: "afraid fearful scared terrified", sadness: "sad unhappy sorrow", love: "like affection",
  surprise: "surprised astonished amazed",
}).flatMap(([label, words]) => words.split(" ").map((word) => [word, label])));

const [UNNAMED, WORTH, WASTE, MOOD, NEARER, ROUNDS] = [0.01, 8, 0.3, 4, 0.8, 50];

/** Returns where the labels of a model lie: label -> [valence, arousal, dominance], -100 to 100. */
export function placesOf(labels) {
  const own = new Map(labels.filter((label) => ALIASES.has(label)).map((label) => [ALIASES.get(label), label]));
  for (const label of labels) if (PLACES.has(label)) own.set(label, label);
  return new Map([...PLACES].filter(([label]) => own.has(label)).map(([label, place]) => [own.get(label), place]));
}

/** Returns where a mix lies. */
export function coordinates(mix, labels) {
  const parts = [...placesOf(labels)].filter(([label]) => mix.has(label));
  return AXES.map((_, i) => parts.reduce((sum, [label, place]) => sum + (mix.get(label) / 100) * place[i], 0))
    .map((value) => Math.max(-100, Math.min(100, value)));
}

const along = (one, other, weights) => weights.reduce((sum, weight, i) => sum + weight * one[i] * other[i], 0);

function* combinations(items, count, from = 0) {
  if (!count) yield [];
  for (let i = from; count && i < items.length; i++) {
    for (const rest of combinations(items, count - 1, i + 1)) yield [items[i], ...rest];
  }
}

/** Fits the shares of some places, each from 0 to 1, by coordinate descent. */
function fit(goal, weights, places) {
  const shares = places.map(() => 0);
  let rest = goal;
  for (let round = 0, moved = 1; moved >= 1e-3 && round < (places.length > 1 ? ROUNDS : 1); round++) {
    moved = 0;
    places.forEach((place, i) => {
      const best = shares[i] + along(place, rest, weights) / along(place, place, weights);
      const step = Math.max(0, Math.min(1, best)) - shares[i];
      shares[i] += step;
      rest = rest.map((value, axis) => value - step * place[axis]);
      moved = Math.max(moved, Math.abs(step));
    });
  }
  return shares;
}

/** Returns the mix of at most so many labels that lies nearest to a point (axis -> value); empty where none does. */
export function nearest(point, labels, most = 3) {
  const goal = AXES.map((axis) => point.get(axis) ?? 0);
  const weights = AXES.map((axis) => (point.has(axis) ? 1 : UNNAMED));
  const length = (place) => Math.sqrt(along(place, place, weights));
  const costOf = (places, shares) => {
    const parts = places.map((place, i) => place.map((value) => shares[i] * value));
    const total = AXES.map((_, axis) => parts.reduce((sum, part) => sum + part[axis], 0));
    const lost = parts.reduce((sum, part) => sum + length(part), 0) - length(total);
    const moods = places.filter((place) => MOODS.has(place)).length;
    return length(goal.map((value, axis) => value - total[axis])) + WORTH * (parts.length - 1) + WASTE * lost + MOOD * moods;
  };
  const towards = [...placesOf(labels)].filter(([, place]) => along(place, goal, weights) > 0);
  let best = { rank: [Infinity, 0] };
  for (let count = 1; count <= most; count++) {
    for (const some of combinations(towards, count)) {
      const places = some.map(([, place]) => place);
      const shares = fit(goal, weights, places);
      const cost = costOf(places, shares);
      const rank = [Number(cost.toFixed(2)), shares.reduce((sum, share) => sum + share, 0)];
      if (rank[0] < best.rank[0] || (rank[0] === best.rank[0] && rank[1] < best.rank[1])) best = { rank, cost, some, shares };
    }
  }
  if (!(best.cost < NEARER * length(goal))) return new Map();
  return new Map(best.some.map(([label], i) => [label, Math.round(100 * best.shares[i])]).filter(([, value]) => value));
}
