// The page: four views in one document, the token first, then what waits.

import { Accuracy } from "./accuracy.js";
import { element, find } from "./dom.js";
import { Health } from "./health.js";
import { History } from "./history.js";
import { Labels } from "./labels.js";
import { clear, tell } from "./notices.js";
import { Photo } from "./photo.js";
import { picture } from "./pictures.js";
import { Review } from "./review.js";
import { get, post, postPicture } from "./service.js";
import { chosenLanguage, prepare, singleKeys } from "./settings.js";
import { text, useLanguage } from "./texts.js";
import { takeFromAddress } from "./token.js";
import { Verdict } from "./verdict.js";

takeFromAddress(); // before anything else: it must not stay in the address

const VIEWS = ["review", "photo", "history", "accuracy"];
const QUEUE_MS = 10_000;
const HEALTH_MS = 60_000;

const labels = new Labels();
const health = new Health();
const verdict = new Verdict({ undo, force, again });
const review = new Review(labels, verdict, taught);
const photo = new Photo(labels, verdict, taught);
const history = new History(undo);
const accuracy = new Accuracy();
let view = "review";

async function start() {
  speak();
  prepare(labels, speak);
  window.addEventListener("hashchange", () => (takeFromAddress() ? location.reload() : route()));
  document.addEventListener("keydown", pressed);
  await load();
  setInterval(() => visible() && review.refresh().catch(() => {}), QUEUE_MS);
  setInterval(() => visible() && Promise.all([health.refresh(), labels.refresh()]).catch(() => {}), HEALTH_MS);
}

// One request alone first: a wrong token is then asked for once.
async function load() {
  try {
    await get("v1/info");
    await Promise.all([labels.refresh(), health.refresh()]);
    route();
    await review.refresh();
    clear();
  } catch (error) {
    tell(error, load);
  }
}

// Every text anew, in the language that is chosen.
function speak() {
  useLanguage(chosenLanguage());
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-text-label]")) node.setAttribute("aria-label", text(node.dataset.textLabel));
  for (const part of [review, photo]) part.relabelled();
  for (const part of [health, history, accuracy]) part.fill();
  verdict.refresh();
}

function route() {
  const wanted = location.hash.slice(1);
  const next = VIEWS.includes(wanted) ? wanted : "review";
  const changed = next !== view;
  view = next;
  for (const name of VIEWS) {
    find(`view-${name}`).hidden = name !== view;
    const link = document.querySelector(`.tabs a[href="#${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "review" ? "edge-agent" : `${text(`tab.${view}`)} · edge-agent`;
  window.scrollTo(0, 0);
  if (changed) verdict.clear();
  if (view === "history") history.refresh();
  if (view === "accuracy") accuracy.refresh().catch((error) => tell(error, route));
}

// Something was taught or taken back: what depends on it is asked for again.
function taught() {
  if (view === "history") history.refresh();
  if (view === "accuracy") accuracy.refresh().catch(tell);
  if (view !== "review") review.refresh().catch(() => {});
}

async function undo(done) {
  try {
    await post(`v1/corrections/${done.id}/undo`);
    clear();
    verdict.show({ ...done, verdict: "undone" });
  } catch (error) {
    return tell(error);
  }
  await review.refresh().catch(() => {});
  taught();
}

async function force(done) {
  try {
    const { blob } = await picture(`v1/corrections/${done.id}/picture`);
    const insisted = await postPicture("v1/corrections", blob, done.image, { label: done.label, force: true, new_label: !labels.all.includes(done.label) });
    clear();
    verdict.show({ ...insisted, top: done.top, picture: done.picture });
  } catch (error) {
    return tell(error);
  }
  await review.refresh().catch(() => {});
  taught();
}

function again(done) {
  verdict.clear();
  return view === "photo" ? photo.again() : review.again(done);
}

function pressed(event) {
  const isTyping = event.target.closest("input, select, textarea, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !singleKeys()) return;
  const part = { review, photo }[view];
  const isUndo = event.key === "u" && part && verdict.last?.id && ["accepted", "already_correct"].includes(verdict.last.verdict);
  if (isUndo) undo(verdict.last);
  if (isUndo || part?.pressed(event.key)) event.preventDefault();
}

function visible() {
  return document.visibilityState === "visible";
}

start();
