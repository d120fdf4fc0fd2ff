// The token: taken from the address and removed from it at once, or asked for; kept in this tab's session storage, nowhere else.

import { find } from "./dom.js";
import { text } from "./texts.js";

const KEY = "edge-agent.token";
let asking = null;

export const token = () => sessionStorage.getItem(KEY);

export function takeFromAddress() {
  const found = /^#token=(.*)$/.exec(location.hash);
  if (!found) return false;
  history.replaceState(null, "", location.pathname + location.search);
  keep(decoded(found[1]));
  return true;
}

export function forget() {
  sessionStorage.removeItem(KEY);
}

// Ask the person; everyone who needs a token meanwhile waits for the same answer.
export function ask(why) {
  asking ??= new Promise((resolve) => {
    const dialog = find("token-dialog");
    const field = find("token");
    find("token-wrong").textContent = why;
    find("token-form").onsubmit = (event) => {
      if (!keep(field.value.trim())) {
        event.preventDefault();
        find("token-wrong").textContent = text("token.wrong");
        return;
      }
      field.value = "";
      asking = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault(); // without a token there is nothing behind it
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}

function keep(words) {
  if (!/^[\x21-\x7e]+$/.test(words)) return false; // what no header can carry is no token
  sessionStorage.setItem(KEY, words);
  return true;
}

function decoded(words) {
  try {
    return decodeURIComponent(words);
  } catch {
    return words;
  }
}
