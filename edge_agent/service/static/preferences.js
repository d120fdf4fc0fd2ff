// What this browser remembers of its user: a language, and whether single keys do something. Never the token.

const PREFIX = "edge-agent.";

export function preference(name) {
  try {
    return localStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

export function prefer(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // then it holds until the page is closed
  }
}
