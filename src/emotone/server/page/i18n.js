// The interface in English and Chinese: key -> [English, Chinese]; {name} stands for a value.

import { recall, remember } from "./stored.js";

export const TEXTS = {
  views: ["Views", "视图"],
  chat: ["Chat", "对话"],
  compare: ["Compare", "对比"],
  model: ["Model", "模型"],
  share: ["Share", "分享"],
  shareHint: ["Copy a link with model, mood, seed and post", "复制包含模型、情绪、种子和第一句话的链接"],
  shared: ["The link is copied.", "链接已复制。"],
  copied: ["Copied.", "已复制。"],
  notCopied: ["Your browser did not allow copying; select the text instead.", "浏览器不允许复制，请手动选择文本。"],
  theme: ["Light or dark", "浅色或深色"],
  dismiss: ["Dismiss", "关闭提示"],
  close: ["Close", "关闭"],
  conversation: ["Conversation", "对话记录"],
  welcome: ["What is on your mind?", "想说点什么？"],
  welcomeHint: ["Write a post, choose a mood, and read how the reply changes.", "写一句话，选一种情绪，看看回复如何变化。"],
  sample1: ["My best friend forgot my birthday.", "我最好的朋友忘了我的生日。"],
  sample2: ["I start a new job on Monday!", "我星期一就要开始新工作了！"],
  sample3: ["It has been raining for two weeks.", "已经下了两个星期的雨。"],
  post: ["Your post", "你的话"],
  postHint: ["Write a post …", "写点什么……"],
  keys: ["Enter sends, Shift+Enter begins a line, Escape stops.", "回车发送，Shift+回车换行，Esc 停止。"],
  send: ["Send", "发送"],
  stop: ["Stop", "停止"],
  clear: ["New conversation", "新对话"],
  you: ["You", "你"],
  reply: ["Reply", "回复"],
  regenerate: ["Another reply", "换一个回复"],
  copy: ["Copy", "复制"],
  pin: ["Keep this seed", "固定此种子"],
  compareThis: ["Compare", "对比"],
  stopped: ["Stopped.", "已停止。"],
  cut: ["The reply ended early: the connection was lost.", "回复提前结束：连接中断。"],
  atLength: ["cut at the longest length", "达到最大长度而截断"],
  ready: ["Reply: {text}", "回复：{text}"],
  tokens: ["{n} tokens", "{n} 个词元"],
  seconds: ["{n} s", "{n} 秒"],
  seedIs: ["seed {n}", "种子 {n}"],
  dose: ["dose {n}", "剂量 {n}"],
  byHand: ["from everyday, our own corpus: a reply to a post like yours", "出自本项目语料 everyday：对相似帖子的回复"],
  backedOff: ["The guard lowered the dose {n}×.", "防循环机制降低了剂量 {n} 次。"],
  writingNow: ["Writing …", "正在写……"],
  mood: ["Mood", "情绪"],
  none: ["No emotion", "无情绪"],
  plain: ["none", "无"],
  stations: ["Part of the reply", "回复的部分"],
  start: ["Start", "开头"],
  end: ["End", "结尾"],
  place: ["Reached at token", "在第几个词元到达"],
  empathy: ["Choose how the reply shows empathy", "选择回复如何表达共情"],
  empathyLevels: ["Levels of empathy", "共情程度"],
  reaction: ["Warmth and concern", "情感反应"],
  interpretation: ["Understanding", "理解"],
  exploration: ["Asking further", "探问"],
  level0: ["none", "无"],
  level1: ["weak", "弱"],
  level2: ["strong", "强"],
  pleasant: ["How pleasant", "愉快程度"],
  energy: ["How lively", "激动程度"],
  lively: ["lively", "激动"],
  quiet: ["quiet", "平静"],
  unpleasant: ["unpleasant", "不快"],
  pleasantEnd: ["pleasant", "愉快"],
  padHint: ["Arrow keys move the point; it sets the sliders.", "方向键移动圆点，滑块随之变化。"],
  emotion: ["Emotion", "情绪"],
  name: ["{emotion}", "{emotion}"],
  chooseOne: ["Choose one", "选择一种"],
  more: ["Further moods ({n})", "更多情绪（{n}）"],
  reset: ["Set {emotion} to 0", "将{emotion}设为 0"],
  uncalibrated: ["not calibrated: 100 is only a guess", "未校准：100 只是估计"],
  auto: ["Let the post choose", "由这句话决定情绪"],
  autoHint: ["What is heard in your post sets the mood of the reply.", "先听出你这句话的情绪，再据此决定回复的情绪。"],
  policy: ["How to answer it", "怎样回应"],
  friend: ["As a friend", "像朋友一样"],
  mirror: ["Feel with me", "感同身受"],
  soothe: ["Soothe", "安慰"],
  cheer: ["Cheer up", "逗我开心"],
  strength: ["Intensity", "强度"],
  heardPost: ["heard in the post: {emotion} {n}%", "从你的话中听到：{emotion} {n}%"],
  answeredIn: ["answered in {emotion} {n}", "以{emotion} {n} 回复"],
  answeredPlainly: ["answered plainly", "不带情绪地回复"],
  mix: ["As text", "文本形式"],
  way: ["Let the mood change through the reply", "让情绪在回复中逐渐变化"],
  noEmotion: ["This model takes no emotion.", "此模型不接受情绪。"],
  classes: ["This model knows single emotions without intensities.", "此模型只能选择一种情绪，没有强度。"],
  lastOnly: ["It reads only the last post.", "它只读最后一句话。"],
  reads: ["It reads: {languages}.", "它能读：{languages}。"],
  writing: ["Writing", "生成"],
  best: ["Choose the best of several (slower)", "从多个回复中选最好的（较慢）"],
  bestHint: ["Off: the reply appears as it is written. On: four are written and the best is shown.", "关闭：边写边显示。开启：写四个回复，显示最好的一个。"],
  tint: ["Tint the words by the meter", "按情绪计给文字着色"],
  tintHint: ["The colour says which emotion is heard in a word, its strength how clearly.", "颜色表示听到的情绪，深浅表示明显程度。"],
  heard: ["Heard in the reply, before → after the push:", "回复中听到的情绪（推动前 → 后）："],
  walk: ["Reply; arrow keys walk through its tokens", "回复；方向键逐词浏览"],
  token: ["{token}: {emotion} {after} (before the push {before})", "{token}：{emotion} {after}（推动前 {before}）"],
  seed: ["Seed", "种子"],
  any: ["any", "任意"],
  own: ["default", "默认"],
  off: ["off", "关闭"],
  advanced: ["Advanced", "高级"],
  temperature: ["Temperature", "温度"],
  longest: ["Most tokens", "最多词元"],
  halfLife: ["Half-life of earlier moods, in turns", "先前情绪的半衰期（轮）"],
  guard: ["Lower the dose where the text begins to loop", "文本开始重复时降低剂量"],
  code: ["The same in code", "对应代码"],
  codeLanguage: ["Language of the code", "代码语言"],
  copyCode: ["Copy the code", "复制代码"],
  onePost: ["One post, answered side by side", "同一句话，并排回复"],
  columns: ["Columns", "各列"],
  byIntensity: ["Intensities of one emotion", "同一情绪的不同强度"],
  byModel: ["Several systems, in the chosen mood", "不同系统，相同情绪"],
  upTo4: ["Choose up to four", "最多选四项"],
  answer: ["Answer side by side", "并排回复"],
  pick: ["Choose at least one column.", "请至少选择一列。"],
  writePost: ["Write a post first.", "请先写一句话。"],
  compared: ["All {n} replies are there.", "{n} 个回复均已完成。"],
  keyName: ["This server asks for a key", "此服务器需要密钥"],
  key: ["API key", "API 密钥"],
  keyHint: ["It is kept until this tab is closed, and sent to this server only.", "密钥只保留到此标签页关闭，只发送给此服务器。"],
  keyWrong: ["That key was not accepted.", "密钥未被接受。"],
  useKey: ["Use it", "使用"],
  cancel: ["Cancel", "取消"],
  loading: ["The models are loading …", "模型正在加载……"],
  dead: ["The models have stopped; start the server again.", "模型已停止，请重新启动服务器。"],
  offline: ["The server does not answer; is it still running?", "服务器没有响应，它还在运行吗？"],
  notServed: ["The link asks for the model {name}, which is not served here.", "链接中的模型 {name} 在此不可用。"],
  badNumber: ["{name}: the number is not allowed.", "{name}：数值不在允许范围内。"],
  unreadable: ["“{text}” cannot be read; write it like joy:60 + fear:20.", "无法读取“{text}”，请写成 joy:60 + fear:20。"],
  unknownEmotion: ["The model does not know “{name}”.", "模型没有“{name}”。"],
  twice: ["{name} is named twice.", "{name} 出现了两次。"],
  noNumber: ["“{value}” of {name} is not a number.", "{name} 的“{value}”不是数字。"],
  outOfRange: ["{value} of {name} is outside -100 to 100.", "{name} 的 {value} 超出 -100 到 100。"],
  onlyFull: ["The model knows {name} without intensities; write the name alone.", "模型中的 {name} 没有强度，只写名称即可。"],
  onlyOne: ["The model takes one emotion at a time.", "模型一次只接受一种情绪。"],
  autoAlone: ["“auto” chooses the mood of the whole reply; write it alone, like auto:friend:80.", "“auto”决定整个回复的情绪，请单独写，如 auto:friend:80。"],
  autoForm: ["“{text}” cannot be read; write it like auto:friend:80, with friend, mirror, soothe or cheer and 0 to 100.", "无法读取“{text}”，请写成 auto:friend:80，可用 friend、mirror、soothe、cheer，强度 0 到 100。"],
  noEars: ["This model hears no posts; choose the mood yourself.", "此模型听不出话中的情绪，请自己选择情绪。"],
  notHeard: ["Nothing here hears the post for this model; choose the mood yourself.", "这里没有什么能替此模型听出话中的情绪，请自己选择情绪。"],
  axisBeside: ["An axis stands beside an emotion; write only axes, like valence:-40 arousal:70, or only emotions.", "坐标轴不能与情绪混写，请只写坐标，如 valence:-40 arousal:70，或只写情绪。"],
  noneNear: ["No emotion of this model lies near that point.", "此模型没有接近该点的情绪。"],
  tooManyStations: ["A way has {most} stations at most.", "变化最多 {most} 段。"],
  noPlace: ["A place in tokens belongs to a way; write it like joy:0 -> joy:80 @ 24.", "词元位置只用于变化，请写成 joy:0 -> joy:80 @ 24。"],
  notRising: ["The places in tokens must rise, from a first station at 0.", "词元位置必须递增，起点在 0。"],
  readAs: ["'{word}' read as {emotion}", "“{word}”理解为{emotion}"],
  noHarm: ["the post may speak of self-harm: no anger, disgust or fear", "这句话可能涉及自我伤害：回复不带愤怒、厌恶或恐惧"],
  noWay: ["The model keeps one mood through a reply; write no “->”.", "模型在一个回复中只有一种情绪，不能写“->”。"],
};

const EMOTIONS = new Map(Object.entries({
  joy: "喜悦", sadness: "悲伤", anger: "愤怒", fear: "恐惧", disgust: "厌恶", surprise: "惊讶",
  love: "喜爱", neutral: "中性", calm: "平静", pride: "自豪", gratitude: "感激", amusement: "好笑",
  curiosity: "好奇", hope: "希望", embarrassment: "尴尬", loneliness: "孤独", jealousy: "嫉妒",
  boredom: "无聊", happiness: "快乐", like: "喜欢", other: "其他",
}));

const LANGUAGES = ["en", "zh"];
const STORED = "emotone-language";
let language = LANGUAGES.find((name) => name === recall("localStorage", STORED))
  ?? (/^zh\b/i.test(navigator.language ?? "") ? "zh" : "en");

/** Returns "en" or "zh". */
export const spoken = () => language;

/** Returns the name of an emotion as it is shown. */
export const emotionName = (label) => (language === "zh" && EMOTIONS.get(label)) || label;

/** Returns pairs of a Chinese name and its label, so that it can be typed too. */
export const chineseNames = () => [...EMOTIONS].map(([label, name]) => [name, label]);

/** Returns the sentence of a key in the chosen language; the value `emotion` is a label. */
export function t(key, values = {}) {
  const text = TEXTS[key][LANGUAGES.indexOf(language)];
  const named = { ...values, emotion: emotionName(values.emotion ?? "") };
  return text.replace(/\{(\w+)\}/g, (_, name) => String(named[name] ?? ""));
}

const PLACES = { t: null, tLabel: "aria-label", tTitle: "title", tPlaceholder: "placeholder" };

/** Returns an element that says a key's sentence, now and after a change of language. */
export function say(element, key, values, place = "t") {
  element.dataset[place] = key;
  if (values) element.dataset.values = JSON.stringify(values);
  write(element);
  return element;
}

function write(element) {
  const values = JSON.parse(element.dataset.values ?? "{}");
  for (const [place, attribute] of Object.entries(PLACES)) {
    const key = element.dataset[place];
    if (key && attribute) element.setAttribute(attribute, t(key, values));
    else if (key) element.textContent = t(key, values);
  }
}

/** Writes the texts of all elements that name a key. */
export function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  const selector = "[data-t], [data-t-label], [data-t-title], [data-t-placeholder]";
  for (const element of document.querySelectorAll(selector)) write(element);
}

/** Changes the language, and keeps it. */
export function speak(chosen) {
  language = chosen;
  remember("localStorage", STORED, chosen);
  translate();
}
