// One picture as a question: the picture, what the model says of it, and the ways to answer.

import { button, element } from "./dom.js";
import { Finder } from "./finder.js";
import { reason } from "./reasons.js";
import { percent, text } from "./texts.js";

const ALL_SHOWN = 12; // with at most so many labels every one has a button
const TOP = 5;
const SETTLE_MS = 250; // a second tap that was meant for the picture before

export class Question {
  // labels: Labels; onAnswer(label, isNew); actions: buttons below the answers
  constructor(labels, onAnswer, actions = []) {
    this.labels = labels;
    this.onAnswer = (label, isNew) => this.ready() && onAnswer(label, isNew);
    this.image = element("img", { class: "picture", alt: "" });
    this.lost = element("p", { class: "lost", hidden: true });
    this.size = element("span");
    this.frame = element("figure", { class: "frame" }, this.image, this.lost);
    this.says = element("span");
    this.guess = element("p", { class: "guess" });
    this.reason = element("p", { class: "reason" });
    this.choices = element("div", { class: "choices", role: "group" });
    this.others = element("div", { class: "others", role: "group" });
    this.finder = new Finder(labels, this.onAnswer);
    this.actions = actions;
    const answer = element("div", { class: "answer" }, this.choices, this.others, this.finder.root);
    if (actions.length) answer.append(element("div", { class: "actions" }, ...actions));
    this.root = element("div", { class: "question" }, this.frame, element("div", { class: "said" }, element("p", { class: "over" }, this.says, this.size), this.guess, this.reason), answer);
    this.lock();
  }

  // facts: {label, probability, top, reason}; load(image) shows the picture and resolves when it can be seen
  async show(facts, load) {
    this.facts = facts;
    this.fill();
    this.lock();
    this.image.hidden = false;
    this.lost.hidden = true;
    try {
      await load(this.image);
      const { naturalWidth: width, naturalHeight: height } = this.image;
      this.size.textContent = text("guess.size", { width, height });
      this.image.style.setProperty("--width", width); // a small picture is enlarged, but not until it is a blur: page.css
      this.image.style.setProperty("--height", height);
    } catch {
      if (this.facts !== facts) return; // another picture was asked for before this one had come
      this.image.hidden = true;
      this.lost.hidden = false;
      this.size.textContent = "";
    }
    if (this.facts === facts) this.unlock();
  }

  fill() {
    const { label, probability, top } = this.facts;
    this.says.textContent = text("guess.says");
    this.guess.replaceChildren(element("span", { class: "name", text: label }), " ", element("span", { class: "share", text: percent(probability) }));
    this.reason.textContent = this.facts.reason ? reason(this.facts.reason) : "";
    this.reason.hidden = !this.facts.reason;
    this.image.alt = text("guess.picture");
    this.lost.textContent = text("guess.lost");
    const few = this.labels.all.length <= ALL_SHOWN;
    const best = top.slice(0, TOP);
    const shown = new Set(best.map((ranked) => ranked.label));
    const rest = (few ? this.labels.all : this.labels.recent).filter((other) => !shown.has(other));
    const held = this.choices.contains(document.activeElement) || this.others.contains(document.activeElement);
    this.choices.setAttribute("aria-label", text("answer.question"));
    this.choices.replaceChildren(...best.map((ranked, place) => this.choice(ranked, place)));
    this.others.replaceChildren(...rest.map((other) => button("chip", other, () => this.onAnswer(other, false))));
    this.others.setAttribute("aria-label", text("answer.labels"));
    this.others.hidden = rest.length === 0;
    this.finder.reset(few);
    if (held) this.choices.firstElementChild.focus({ preventScroll: true }); // the button that was pressed is gone
  }

  choice({ label, probability }, place) {
    const share = percent(probability);
    const node = element(
      "button",
      { type: "button", class: "choice", "aria-label": text(place ? "answer.one" : "answer.right", { label, share }), "aria-keyshortcuts": String(place + 1), on: { click: () => this.onAnswer(label, false) } },
      element("kbd", { "aria-hidden": "true", text: place + 1 }),
      element("span", { class: "name", text: label }),
      element("span", { class: "share", text: share }),
    );
    node.style.setProperty("--share", `${Math.round(100 * probability)}%`);
    return node;
  }

  ready() {
    return !this.locked && performance.now() - this.shownAt > SETTLE_MS;
  }

  lock(learning = false) {
    this.locked = true;
    this.root.setAttribute("aria-busy", "true");
    this.root.classList.toggle("learning", learning);
    this.enable(false);
  }

  unlock() {
    this.locked = false;
    this.shownAt = performance.now();
    this.root.removeAttribute("aria-busy");
    this.root.classList.remove("learning");
    this.enable(true);
  }

  // Buttons that wait keep the focus where it is: they are not disabled, they do nothing.
  enable(on) {
    for (const node of this.root.querySelectorAll("button")) node.setAttribute("aria-disabled", String(!on));
  }

  // A key of the keyboard: 1 to 9 choose, / types.
  pressed(key) {
    if (key === "/") {
      this.finder.field.focus();
      return true;
    }
    const node = [...this.choices.children][Number(key) - 1];
    node?.click();
    return Boolean(node);
  }
}
