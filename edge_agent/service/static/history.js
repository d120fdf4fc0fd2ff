// What was taught, the newest first: what each correction changed, whether it still acts, and the way back.

import { button, element, find, icon } from "./dom.js";
import { clear, tell } from "./notices.js";
import { showLater } from "./pictures.js";
import { get } from "./service.js";
import { text, when } from "./texts.js";
import { change } from "./verdict.js";

const PAGE = 30;
const TONES = { acting: "good", merged: "good", superseded: "calm", forgotten: "calm", undone: "calm", refused: "bad", not_needed: "calm", unknown: "bad" };

export class History {
  // onUndo(entry): takes it back and refreshes what is shown
  constructor(onUndo) {
    Object.assign(this, { onUndo, entries: [], isAll: false });
    this.items = element("ol", { class: "entries" });
    this.none = element("p", { class: "none" });
    this.earlier = button("quiet-button wide", "", () => this.load(false));
    find("view-history").append(this.none, this.items, this.earlier);
  }

  async refresh() {
    await this.load(true);
  }

  async load(anew) {
    try {
      const last = anew ? undefined : this.entries.at(-1)?.id;
      const facts = await get(`v1/corrections?limit=${PAGE}${last ? `&before=${last}` : ""}`);
      this.entries = anew ? facts.corrections : [...this.entries, ...facts.corrections];
      this.isAll = facts.corrections.length < PAGE;
      clear();
      this.fill();
    } catch (error) {
      tell(error, () => this.load(anew));
    }
  }

  fill() {
    this.none.hidden = this.entries.length > 0;
    this.none.textContent = text("history.empty");
    this.items.replaceChildren(...this.entries.map((entry) => this.item(entry)));
    this.earlier.hidden = this.isAll;
    this.earlier.lastChild.textContent = text("history.earlier");
  }

  item(entry) {
    const was = { label: entry.was_label, probability: entry.was_probability };
    const now = { label: entry.now_label, probability: entry.now_probability };
    const undo = entry.active && button("quiet-button", text("undo"), () => this.onUndo(entry), "undo");
    if (undo) undo.setAttribute("aria-label", `${text("undo.of", { label: entry.label })} (#${entry.id})`);
    return element("li", { class: entry.active ? "entry" : "entry past" },
      picture(entry),
      element("div", { class: "told" },
        element("p", { class: "headline" }, element("span", { text: entry.label }), standing(entry)),
        change({ was, now }),
        element("p", { class: "line" }, element("time", { datetime: entry.made_at, text: when(entry.made_at) }), ` · #${entry.id}`),
      ),
      undo || element("span"),
    );
  }
}

function standing(entry) {
  const words = [text(`standing.${entry.standing}`), entry.forced && text("standing.forced")].filter(Boolean).join(", ");
  return element("span", { class: `badge ${TONES[entry.standing] ?? "calm"}`, text: words });
}

function picture(entry) {
  const image = element("img", { class: "thumb", alt: text("history.picture", { id: entry.id }) });
  showLater(image, `v1/corrections/${entry.id}/picture`, () => {
    image.replaceWith(element("span", { class: "thumb none", role: "img", "aria-label": text("history.nopicture") }, icon("file")));
  });
  return image;
}
