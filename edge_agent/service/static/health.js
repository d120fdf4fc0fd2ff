// The health strip: one dot and one word in the bar, and what each check says below it.

import { element, find } from "./dom.js";
import { get } from "./service.js";
import { has, text } from "./texts.js";

export class Health {
  constructor() {
    Object.assign(this, { button: find("health"), panel: find("health-panel"), report: null, isOffline: false });
    this.button.addEventListener("click", () => this.open(this.panel.hidden));
    document.addEventListener("keydown", (event) => event.key === "Escape" && !this.panel.hidden && this.open(false));
    document.addEventListener("click", (event) => {
      if (!this.panel.hidden && !this.panel.contains(event.target) && !this.button.contains(event.target)) this.open(false);
    });
  }

  async refresh() {
    try {
      this.report = await get("v1/health");
      this.isOffline = false;
    } catch (error) {
      if (error.code !== "unreachable") throw error;
      this.isOffline = true;
    }
    this.fill();
  }

  fill() {
    const status = this.isOffline ? "offline" : this.report?.status;
    this.button.dataset.status = status ?? "asking";
    find("health-words").textContent = text(status ? `health.${status}` : "health.asking");
    const checks = this.report?.checks ?? [];
    const wrong = checks.filter((check) => check.status !== "OK");
    const fine = checks.filter((check) => check.status === "OK");
    this.panel.replaceChildren(
      element("h2", { text: text("health.title") }),
      element("ul", { class: "checks" }, ...[...wrong, ...fine].map(row)),
    );
  }

  open(on) {
    this.panel.hidden = !on;
    this.button.setAttribute("aria-expanded", String(on));
    if (on) this.refresh().catch(() => {});
  }
}

// What the check measured is in the agent's words, which are English.
function row(check) {
  const name = has(`check.${check.name}`) ? text(`check.${check.name}`) : check.name;
  return element("li", { "data-status": check.status },
    element("span", { class: "dot", "aria-hidden": "true" }),
    element("div", {},
      element("p", { class: "headline" }, element("span", { text: name }), element("span", { class: "state", text: text(`check.${check.status}`) })),
      element("p", { class: "line", lang: "en", text: [check.detail, check.status !== "OK" && check.hint].filter(Boolean).join(" ") }),
    ),
  );
}
