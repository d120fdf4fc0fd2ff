// A picture of one's own: taken, chosen, dropped or pasted; what the model says of it, and the same ways to answer.

import { button, element, find, icon } from "./dom.js";
import { clear, tell } from "./notices.js";
import { Question } from "./question.js";
import { post, postPicture } from "./service.js";
import { text } from "./texts.js";
import { markTap, markVerdict } from "./verdict.js";

const KINDS = "image/jpeg,image/png,image/bmp,image/webp";
const TOP = 5;

export class Photo {
  constructor(labels, verdict, onChange) {
    Object.assign(this, { labels, verdict, onChange, seen: null, shown: null });
    this.question = new Question(labels, (label, isNew) => this.answer(label, isNew));
    this.intro = element("p", { class: "intro" });
    this.take = this.input("photo", { capture: "environment" });
    this.choose = this.input("file", {});
    this.hint = element("p", { class: "hint" });
    this.drop = element("div", { class: "drop" }, this.take.root, this.choose.root, this.hint);
    this.looking = element("p", { class: "looking", role: "status" });
    this.view = find("view-photo");
    this.view.append(this.intro, this.drop, this.looking, this.question.root);
    this.question.root.hidden = true;
    this.listen();
  }

  input(sign, attributes) {
    const field = element("input", { type: "file", accept: KINDS, class: "unseen", on: { change: () => this.picked(field) }, ...attributes });
    const words = element("span");
    return { field, words, root: element("label", { class: sign === "photo" ? "main-button file" : "quiet-button file" }, field, icon(sign), words) };
  }

  listen() {
    const over = (on) => (event) => {
      event.preventDefault();
      this.drop.classList.toggle("over", on);
    };
    this.view.addEventListener("dragover", over(true));
    this.view.addEventListener("dragleave", over(false));
    this.view.addEventListener("drop", (event) => {
      over(false)(event);
      this.look(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => this.view.hidden || this.look(event.clipboardData.files[0]));
  }

  relabelled() {
    this.intro.textContent = text("photo.intro");
    this.take.words.textContent = text("photo.take");
    this.choose.words.textContent = text("photo.choose");
    this.hint.textContent = text("photo.drop");
    if (this.seen) this.question.fill();
  }

  picked(field) {
    const [file] = field.files;
    field.value = ""; // the same file may be chosen again
    this.look(file);
  }

  async look(file) {
    if (!file) return;
    clear();
    this.verdict.clear();
    this.looking.textContent = text("photo.looking");
    try {
      this.seen = await postPicture(`v1/predict?top=${TOP}`, file, file.name);
    } catch (error) {
      return tell(error.status === 422 || error.status === 400 ? Object.assign(error, { message: text("photo.kind"), hint: "" }) : error);
    } finally {
      this.looking.textContent = "";
    }
    if (this.shown) URL.revokeObjectURL(this.shown);
    Object.assign(this, { file, shown: URL.createObjectURL(file) });
    await this.present();
  }

  async present() {
    this.question.root.hidden = false;
    await this.question.show(this.seen, async (image) => {
      image.src = this.shown;
      await image.decode();
    });
  }

  async answer(label, isNew) {
    markTap();
    this.question.lock(true);
    try {
      const done = await this.teach({ label, ...(isNew && { new_label: true }) });
      this.labels.used(label);
      if (isNew) await this.labels.refresh();
      clear();
      this.verdict.show({ ...done, top: this.seen.top, picture: this.shown });
      markVerdict();
      this.question.root.hidden = true;
      window.scrollTo(0, 0);
      this.onChange();
    } catch (error) {
      tell(error);
      this.question.unlock();
    }
  }

  // By its sample id, which spares sending it again; a device that has seen many pictures since asks for the file.
  async teach(facts) {
    try {
      return await post("v1/corrections", { sample_id: this.seen.sample_id, ...facts });
    } catch (error) {
      if (error.status !== 404) throw error;
      return postPicture("v1/corrections", this.file, this.file.name, facts);
    }
  }

  // The picture whose correction was taken back, to be labelled again.
  async again() {
    await this.present();
  }

  pressed(key) {
    return !this.question.root.hidden && this.question.pressed(key);
  }
}
