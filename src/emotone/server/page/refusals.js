// What the server says, for readers of Chinese: its errors by their code, its notes by their form.

import { spoken, t } from "./i18n.js";

// {message} is the server's own sentence, where a code has many.
const CHINESE = new Map(Object.entries({
  overloaded: "排队的请求太多，请过几秒再试。",
  rate: "请求过于频繁，请稍等。",
  unavailable: "模型尚未就绪或已停止，请稍后再试。",
  invalid_api_key: "密钥未被接受。",
  model_not_found: "此服务器没有这个模型。",
  model_missing: "模型所需的文件不在此处：{message}",
  unknown_name: "没有这个名称：{message}",
  invalid_emotion: "情绪的写法无法读取：{message}",
  unsupported: "此模型做不到：{message}",
  invalid_input: "无法回复这样的输入：{message}",
  invalid_value: "有一项设置不被允许：{message}",
  too_large: "内容太长，请缩短。",
  failed: "回复没有写成，原因见服务器日志。",
  not_found: "此路径不存在。",
  wrong_method: "此路径不接受这种请求方法。",
  not_json: "请求不是 JSON。",
  wrong_host: "此服务器不以这个主机名提供服务。",
  other_site: "来自其他网站的请求被拒绝。",
}));
const FORMS = [
  [/^nothing hears the post for auto:/, "notHeard"],
  [/^this system takes no emotion, but auto:/, "noEmotion"],
  [/^'(?<word>.+)' read as (?<emotion>.+)$/, "readAs"],
  [/^the post may speak of self-harm: no anger, disgust or fear$/, "noHarm"],
];

/** Returns an error's sentence in the reader's language; the server's own where none is known. */
export function refusal(code, message) {
  const known = noteOf(message);
  if (known) return t(known.key, known.values);
  const chinese = spoken() === "zh" && CHINESE.get(code);
  return chinese ? chinese.replace("{message}", () => message) : message;
}

/** Returns {key, values} of a sentence of the server's, for `say`; null for one that is shown as it came. */
export function noteOf(sentence) {
  const [form, key] = FORMS.find(([each]) => each.test(sentence)) ?? [];
  return key ? { key, values: { ...form.exec(sentence).groups } } : null;
}
