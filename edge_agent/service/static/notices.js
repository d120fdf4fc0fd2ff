// What went wrong, above the content, until it is closed or something works again.

import { button, element, find, icon } from "./dom.js";
import { text } from "./texts.js";

export function tell(error, retry = null) {
  const known = error.code !== undefined;
  if (!known) console.error(error);
  const close = element("button", { type: "button", class: "round", "aria-label": text("close"), on: { click: clear } }, icon("close"));
  const words = element("p", {}, element("strong", { text: known ? error.message : text("error.other") }));
  if (known && error.hint) words.append(` ${error.hint}`);
  const again = retry && button("quiet-button", text("retry"), () => { clear(); retry(); });
  find("notices").replaceChildren(element("div", { class: "notice" }, icon("warn"), words, again, close));
}

export function clear() {
  find("notices").replaceChildren();
}
