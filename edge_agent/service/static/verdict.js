// The verdict on the last answer, at once and until the next one: what changed, what the reference pictures say, and the way back.

import { button, element, find, icon } from "./dom.js";
import { percent, text } from "./texts.js";

const UNUSUAL = 0.98; // as edge_agent/findings.py has it, and the next one too
const CONTRADICTION = 0.5;
const TONES = { accepted: ["good", "check"], already_correct: ["good", "check"], refused: ["bad", "stop"], undone: ["calm", "undo"] };

// From the tap to the frame that shows the verdict, for those who measure it (`make bench-page`).
export function markTap() {
  performance.mark("tap");
}

export function markVerdict() {
  requestAnimationFrame(() => setTimeout(() => performance.measure("label-to-learned", "tap")));
}

// One answer as it is shown: a tone, a title, the change of the guess, and sentences.
export function words(done) {
  const lines = [];
  if (done.verdict === "undone") lines.push(text("verdict.undone.why"));
  if (done.verdict === "refused") lines.push(refusal(done.sentinel));
  if (done.verdict === "already_correct") lines.push(text(done.id === null ? "verdict.nothing" : "verdict.kept"));
  if (done.verdict === "accepted") lines.push(reference(done.sentinel));
  const { conflict = null, unusual = 0 } = done.findings ?? {};
  const warnings = [];
  if (conflict && conflict.similarity > CONTRADICTION) warnings.push(text("verdict.conflict", { id: conflict.id, label: conflict.label }));
  if (unusual > UNUSUAL && done.verdict !== "undone") warnings.push(text("verdict.unusual"));
  return { title: text(`verdict.${done.verdict}`, { label: done.label }), lines, warnings };
}

export function change({ was, now }) {
  const share = (ranked) => element("span", { class: "share", text: percent(ranked.probability) });
  const before = element("span", { class: "was" }, `${was.label} `, share(was));
  if (was.label === now.label && was.probability === now.probability) return element("p", { class: "change" }, before);
  return element("p", { class: "change" }, before, element("span", { class: "arrow", text: " → " }), element("span", {}, `${now.label} `, share(now)));
}

export class Verdict {
  // undo(done), force(done), again(done): what its buttons do; each gets what `show` was given
  constructor({ undo, force, again }) {
    Object.assign(this, { root: find("verdict"), onUndo: undo, onForce: force, onAgain: again, last: null });
  }

  // done: keys of `correct --json`, and sample_id, label, picture (a blob: address or null)
  show(done) {
    this.last = done;
    const { title, lines, warnings } = words(done);
    const [tone, sign] = TONES[done.verdict];
    this.root.replaceChildren(
      element("div", { class: `card ${tone}` },
        done.picture ? element("img", { class: "thumb", src: done.picture, alt: "" }) : element("span", { class: "thumb none" }),
        element("div", { class: "told" }, element("p", { class: "headline" }, icon(sign), title), done.was && done.verdict !== "undone" && change(done)),
        element("div", { class: "ways" }, ...this.ways(done)),
        element("div", { class: "more" },
          ...lines.map((line) => element("p", { class: "line", text: line })),
          ...warnings.map((line) => element("p", { class: "line warning" }, icon("warn"), line)),
        ),
      ),
    );
  }

  say(line) {
    this.last = null;
    this.root.replaceChildren(element("div", { class: "card calm short" }, element("p", { class: "line", text: line })));
  }

  clear() {
    this.last = null;
    this.root.replaceChildren();
  }

  refresh() {
    if (this.last) this.show(this.last);
  }

  ways(done) {
    if (done.verdict === "refused") return [button("quiet-button", text("verdict.force"), () => this.onForce(done))];
    if (done.verdict === "undone") return done.sample_id ? [button("quiet-button", text("verdict.again"), () => this.onAgain(done))] : [];
    if (done.id === null) return [];
    const undo = button("quiet-button", text("undo"), () => this.onUndo(done), "undo");
    undo.setAttribute("aria-label", text("undo.of", { label: done.label }));
    return [undo];
  }
}

function reference(sentinel) {
  return text("verdict.reference", { n: sentinel.size, before: percent(sentinel.before, 1), after: percent(sentinel.after, 1) });
}

// As the guard decides: a loss within the tolerance was not the reason.
function refusal({ size, before, after, tolerance, broken }) {
  return after < before - tolerance || after < before ? text("verdict.harm", { broken, n: size }) : text("verdict.beside");
}
