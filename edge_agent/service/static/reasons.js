// Why a picture is asked about: the agent says it in English sentences of a few forms; here they are said in the page's language.

import { names, text } from "./texts.js";

const FORMS = [
  [/^the model changed its mind: (.+) at the factory, (.+) now$/, ([was, now]) => text("reason.changed", { was, now })],
  [/^unlike anything in training$/, () => text("reason.unlike")],
  [/^unlike nearly everything in training$/, () => text("reason.nearly")],
  [/^between (.+) and (.+)$/, ([first, last]) => text("reason.between", { names: names([...first.split(", "), last]) })],
  [/^not sure of (.+)$/, ([label]) => text("reason.unsure", { label })],
  [/^sure of (.+)$/, ([label]) => text("reason.sure", { label })],
];

export function reason(words) {
  return words.split("; ").map(said).join("; ");
}

function said(part) {
  for (const [form, translate] of FORMS) {
    const found = form.exec(part);
    if (found) return translate(found.slice(1));
  }
  return part; // a form that is new: better English than nothing
}
