// The settings dialog: the language, single keys, facts about the device, and forgetting the token.

import { element, find } from "./dom.js";
import { prefer, preference } from "./preferences.js";
import { get } from "./service.js";
import { text } from "./texts.js";
import { forget } from "./token.js";

const KEYS = [["1 … 5", "keys.choose"], ["/", "keys.type"], ["s", "keys.skip"], ["n", "keys.unsure"], ["u", "keys.undo"]];

export const singleKeys = () => preference("shortcuts") !== "off";

export function chosenLanguage() {
  return preference("language") || navigator.language.slice(0, 2).toLowerCase();
}

export function prepare(labels, onLanguage) {
  const [language, shortcuts] = [find("language"), find("shortcuts")];
  language.value = preference("language");
  shortcuts.checked = singleKeys();
  language.addEventListener("change", () => {
    prefer("language", language.value);
    onLanguage();
    fill(labels);
  });
  shortcuts.addEventListener("change", () => {
    prefer("shortcuts", shortcuts.checked ? "on" : "off");
    document.body.classList.toggle("no-keys", !shortcuts.checked);
  });
  document.body.classList.toggle("no-keys", !shortcuts.checked);
  find("open-settings").addEventListener("click", () => {
    fill(labels);
    find("settings-dialog").showModal();
  });
  find("forget").addEventListener("click", () => {
    forget();
    location.reload();
  });
}

async function fill(labels) {
  find("keys").replaceChildren(...KEYS.flatMap(([key, words]) => [element("dt", {}, element("kbd", { text: key })), element("dd", { text: text(words) })]));
  const info = await get("v1/info").catch(() => null);
  if (!info) return;
  const facts = [
    ["facts.model", info.model],
    ["facts.labels", text("facts.labels.value", { n: labels.all.length, spare: labels.spare })],
    ["facts.corrections", info.corrections],
    ["facts.engine", `${info.engine}, ${info.provider}`],
  ];
  find("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", { text: text(name) }), element("dd", { text: value })]));
}
