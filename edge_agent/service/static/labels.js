// The labels that there are, those used last, and which of them a few typed letters mean.

import { get } from "./service.js";

const REMEMBERED = 3;

export class Labels {
  all = [];
  spare = 0;
  recent = [];

  async refresh() {
    const facts = await get("v1/labels");
    this.all = facts.labels;
    this.spare = facts.spare_classes;
    this.folded = new Map(this.all.map((label) => [label, folded(label)]));
  }

  used(label) {
    this.recent = [label, ...this.recent.filter((other) => other !== label)].slice(0, REMEMBERED);
  }

  // Labels for typed letters: equal ones first, then those that begin so, a word of which begins so, that contain it.
  matching(typed) {
    const wanted = folded(typed.trim());
    if (!wanted) return this.all;
    const ranked = [[], [], [], []];
    for (const [label, text] of this.folded) {
      const place = text.indexOf(wanted);
      if (place < 0) continue;
      ranked[text === wanted ? 0 : place === 0 ? 1 : /[\s_\-/,(]/.test(text[place - 1]) || text.includes(` ${wanted}`) ? 2 : 3].push(label);
    }
    return ranked.flat();
  }

  isKnown(typed) {
    const wanted = folded(typed.trim());
    return [...this.folded.values()].includes(wanted);
  }
}

// Case and accents do not matter to someone who types with a thumb.
function folded(words) {
  return words.normalize("NFKD").replace(/\p{Mn}/gu, "").toLowerCase();
}
