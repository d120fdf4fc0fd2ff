// A field that finds one label among many while it is typed, and offers what is typed as a new one: a combobox with its list below it.

import { element, icon } from "./dom.js";
import { text } from "./texts.js";

const SHOWN = 8;
let count = 0;

const hasThumb = () => window.matchMedia("(pointer: coarse)").matches;

export class Finder {
  // labels: Labels; onChoose(label, isNew)
  constructor(labels, onChoose) {
    this.labels = labels;
    this.onChoose = onChoose;
    const id = `finder-${(count += 1)}`;
    this.list = element("ul", { class: "found", id: `${id}-list`, role: "listbox", "aria-label": text("answer.labels"), hidden: true });
    this.rest = element("p", { class: "rest", role: "status" });
    this.field = element("input", {
      id, type: "text", class: "typed", role: "combobox", autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: 200,
      enterkeyhint: "done", "aria-expanded": "false", "aria-autocomplete": "list", "aria-controls": this.list.id,
      on: { input: () => this.update(), keydown: (event) => this.pressed(event), focus: () => this.focused() },
    });
    this.name = element("label", { for: id, class: "unseen" });
    this.root = element("div", { class: "finder" }, this.name, icon("search"), this.field, this.list, this.rest);
    this.root.addEventListener("focusout", (event) => this.root.contains(event.relatedTarget) || this.close());
  }

  reset(allShown) {
    this.field.value = "";
    this.field.placeholder = allShown ? text("answer.placeholder.new") : text("answer.placeholder", { n: this.labels.all.length });
    this.name.textContent = text("answer.type");
    this.root.hidden = allShown && this.labels.spare === 0;
    this.close();
  }

  // On a phone the keyboard takes half of the screen: the field goes to the top, so that the list below it is seen.
  focused() {
    this.update();
    if (hasThumb()) this.root.scrollIntoView({ block: "start" });
  }

  update() {
    const typed = this.field.value.trim();
    if (!typed) return this.close();
    const found = this.labels.matching(typed);
    const options = found.slice(0, SHOWN).map((label) => this.option(label, false, element("span", { text: label })));
    if (!this.labels.isKnown(typed) && this.labels.spare > 0) {
      options.push(this.option(typed, true, icon("plus"), element("span", { text: text("answer.new", { label: typed }) })));
    }
    this.list.replaceChildren(...options);
    this.list.hidden = options.length === 0;
    this.field.setAttribute("aria-expanded", String(options.length > 0));
    this.rest.textContent = this.words(found);
    this.point(found.length || options.length === 1 ? 0 : -1); // a new label is never one careless Enter away from others
  }

  words(found) {
    if (found.length > SHOWN) return text("answer.more", { n: found.length - SHOWN });
    if (found.length) return text("answer.found", { n: found.length });
    return `${text("answer.none")} ${this.labels.spare ? "" : text("answer.full")}`.trim();
  }

  option(label, isNew, ...content) {
    const id = `${this.list.id}-${isNew ? "new" : this.labels.all.indexOf(label)}`;
    const choose = (event) => { event.preventDefault(); this.choose(label, isNew); };
    const node = element("li", { id, role: "option", class: isNew ? "option new" : "option", "aria-selected": "false" }, ...content);
    node.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    node.addEventListener("click", choose);
    node.chosen = () => this.choose(label, isNew);
    return node;
  }

  pressed(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.list.children.length) {
      event.preventDefault();
      const size = this.list.children.length;
      this.point((this.pointed + step + size) % size);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.list.children[this.pointed]?.chosen();
    } else if (event.key === "Escape" && this.field.value) {
      event.stopPropagation();
      this.field.value = "";
      this.close();
    }
  }

  point(place) {
    this.pointed = place;
    [...this.list.children].forEach((node, index) => node.setAttribute("aria-selected", String(index === place)));
    const node = this.list.children[place];
    if (node) this.field.setAttribute("aria-activedescendant", node.id);
    else this.field.removeAttribute("aria-activedescendant");
    node?.scrollIntoView({ block: "nearest" });
  }

  choose(label, isNew) {
    this.close();
    if (hasThumb()) this.field.blur(); // its keyboard covers what is learned
    this.onChoose(label, isNew);
  }

  close() {
    this.pointed = -1;
    this.list.replaceChildren();
    this.list.hidden = true;
    this.rest.textContent = "";
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
  }
}
