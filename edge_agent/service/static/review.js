// The waiting pictures, one at a time: answer, skip, or say that it cannot be told.

import { button, element, find } from "./dom.js";
import { clear, tell } from "./notices.js";
import { picture, show } from "./pictures.js";
import { Question } from "./question.js";
import { get, post, postPicture } from "./service.js";
import { inUse, percent, text } from "./texts.js";
import { markTap, markVerdict } from "./verdict.js";

const LIMIT = 24;
const PREFETCHED = 3;

export class Review {
  // labels: Labels; verdict: Verdict; onChange(): something was taught or a label came
  constructor(labels, verdict, onChange) {
    Object.assign(this, { labels, verdict, onChange, waiting: [], count: 0, current: null, busy: false });
    this.skip = button("quiet-button", "", () => this.question.ready() && this.setAside(false), "skip");
    this.unsure = button("quiet-button", "", () => this.question.ready() && this.setAside(true), "unsure");
    this.question = new Question(labels, (label, isNew) => this.answer(label, isNew), [this.skip, this.unsure]);
    this.left = element("p", { class: "left" });
    this.strip = element("ul", { class: "strip" });
    this.more = element("div", { class: "waiting" }, this.left, this.strip);
    this.empty = element("div", { class: "empty" });
    find("view-review").append(this.question.root, this.more, this.empty);
    this.question.root.hidden = this.more.hidden = true;
  }

  // Ask what waits; the picture that is being looked at stays where it is while it waits.
  async refresh() {
    const facts = await get(`v1/queue?limit=${LIMIT}`);
    this.waiting = facts.waiting;
    this.count = facts.count;
    this.list();
    if (this.busy || this.current?.again) return;
    const same = this.waiting.find((one) => one.id === this.current?.id);
    if (!same) await this.next();
  }

  relabelled() {
    const [skip, unsure] = [text("review.skip"), text("review.unsure")];
    this.skip.lastChild.textContent = skip;
    this.unsure.lastChild.textContent = unsure;
    this.list();
    if (this.current) this.question.fill();
  }

  async next() {
    await this.look(this.waiting[0] ?? null);
  }

  async look(one) {
    this.current = one;
    this.list();
    if (!one) return;
    for (const soon of this.waiting.slice(0, PREFETCHED)) picture(path(soon)).catch(() => {});
    await this.question.show(one, (image) => show(image, path(one)));
  }

  // Show a picture again whose correction was taken back.
  async again(done) {
    await this.look({ id: done.sample_id, again: true, correction: done.id, image: done.image, top: done.top ?? [done.was], ...done.was });
  }

  async answer(label, isNew) {
    const one = this.current;
    markTap();
    await this.away(one, async () => {
      const done = await teach(one, { label, ...(isNew && { new_label: true }) });
      this.labels.used(label);
      this.verdict.show({ ...done, top: one.top, picture: this.question.image.src });
      markVerdict();
      if (isNew) await this.labels.refresh();
    });
  }

  async setAside(unsure) {
    const one = this.current;
    await this.away(one, async () => {
      if (!one.again) await post(`v1/queue/${one.id}/${unsure ? "unsure" : "skip"}`);
      this.verdict.say(text(unsure ? "review.unsured" : "review.skipped"));
    });
  }

  // Do what takes the picture away, then show the next one as the changed model sees it.
  async away(one, act) {
    this.busy = true;
    this.question.lock(true);
    try {
      await act();
      clear();
      this.current = null;
      window.scrollTo(0, 0); // the next answer begins with a look at the picture
    } catch (error) {
      if (error.status !== 409 && error.status !== 404) {
        this.question.unlock();
        return tell(error);
      }
      this.verdict.say(text("review.gone"));
      this.current = null;
    } finally {
      this.busy = false;
    }
    await this.refresh().catch((error) => tell(error, () => this.refresh().catch(tell)));
    this.onChange();
  }

  list() {
    const nothing = !this.current && this.waiting.length === 0;
    this.question.root.hidden = !this.current;
    const others = this.waiting.filter((one) => one.id !== this.current?.id);
    this.more.hidden = others.length === 0;
    this.left.textContent = text("review.waiting", { n: this.count });
    this.strip.setAttribute("aria-label", text("review.others"));
    const shown = JSON.stringify([inUse(), others.map((one) => [one.id, one.label, one.probability])]);
    if (shown !== this.shown) this.strip.replaceChildren(...others.map((one) => this.small(one))); // else it keeps its focus and its place
    this.shown = shown;
    this.empty.hidden = !nothing;
    this.empty.replaceChildren(
      element("img", { src: "assets/icon.svg", alt: "", width: 56, height: 56 }),
      element("p", { class: "guess", text: text("review.empty") }),
      element("p", { text: text("review.empty.why") }),
      element("a", { class: "main-button", href: "#photo", text: text("review.empty.photo") }),
    );
    find("count").hidden = this.count === 0;
    find("count").textContent = this.count > 99 ? "99+" : this.count;
  }

  small(one) {
    const image = element("img", { alt: "" });
    show(image, path(one)).catch(() => {});
    const name = text("review.other", { label: one.label, share: percent(one.probability) });
    return element("li", {}, element("button", { type: "button", class: "small", "aria-label": name, on: { click: () => this.busy || this.look(one) } }, image));
  }

  pressed(key) {
    if (!this.current) return false;
    const own = { s: this.skip, n: this.unsure }[key];
    own?.click();
    return Boolean(own) || this.question.pressed(key);
  }
}

// What waits is answered in its place; a picture that waits no more is sent with its answer.
async function teach(one, facts) {
  if (!one.again) return post(`v1/queue/${one.id}/label`, facts);
  const { blob } = await picture(path(one));
  return postPicture("v1/corrections", blob, one.image, facts);
}

function path(one) {
  return one.again ? `v1/corrections/${one.correction}/picture` : `v1/queue/${one.id}/picture`;
}
