// Every text of the page, English and German side by side. {name} is filled in; `key.one` stands for a count of one.

const TEXTS = {
  "jump": ["To the content", "Zum Inhalt"],
  "tabs": ["Views", "Ansichten"],
  "tab.review": ["Review", "Prüfen"],
  "tab.photo": ["Photo", "Foto"],
  "tab.history": ["History", "Verlauf"],
  "tab.accuracy": ["Accuracy", "Treffer"],
  "close": ["Close", "Schließen"],
  "retry": ["Try again", "Noch einmal"],
  "undo": ["Undo", "Rückgängig"],
  "undo.of": ["Undo: {label}", "Rückgängig: {label}"],

  "review.title": ["What is on these pictures?", "Was ist auf diesen Bildern?"],
  "review.loading": ["Looking for pictures…", "Bilder werden gesucht …"],
  "review.empty": ["Nothing waits for you", "Nichts zu prüfen"],
  "review.empty.why": [
    "A picture that the model is unsure of appears here by itself.",
    "Bilder, bei denen das Modell unsicher ist, erscheinen hier von selbst.",
  ],
  "review.empty.photo": ["Check a picture of your own", "Ein eigenes Bild prüfen"],
  "review.waiting": ["{n} pictures wait", "{n} Bilder warten"],
  "review.waiting.one": ["One picture waits", "Ein Bild wartet"],
  "review.others": ["Other pictures that wait", "Weitere wartende Bilder"],
  "review.other": ["Waiting picture: {label}, {share}", "Wartendes Bild: {label}, {share}"],
  "review.gone": ["Somebody else has answered this picture.", "Dieses Bild hat schon jemand beantwortet."],
  "review.skip": ["Skip", "Überspringen"],
  "review.unsure": ["Not sure", "Nicht sicher"],
  "review.skipped": ["Skipped; it will not be asked again.", "Übersprungen; es wird nicht mehr gefragt."],
  "review.unsured": ["Noted as unclear; it will not be asked again.", "Als unklar vermerkt; es wird nicht mehr gefragt."],

  "guess.says": ["The model says", "Das Modell sagt"],
  "guess.picture": ["Picture to be labelled", "Bild, das einen Namen braucht"],
  "guess.size": ["{width} × {height} px", "{width} × {height} px"],
  "guess.lost": ["This picture cannot be shown.", "Dieses Bild lässt sich nicht zeigen."],
  "reason.between": ["between {names}", "zwischen {names}"],
  "reason.unsure": ["not sure of {label}", "bei {label} nicht sicher"],
  "reason.sure": ["sure of {label}", "bei {label} sicher"],
  "reason.unlike": ["unlike anything in training", "anders als alles im Training"],
  "reason.nearly": ["unlike nearly everything in training", "anders als fast alles im Training"],
  "reason.changed": ["the model changed its mind: {was} before, {now} now", "das Modell hat umgedacht: vorher {was}, jetzt {now}"],

  "answer.question": ["What is it?", "Was ist es?"],
  "answer.labels": ["Labels", "Namen"],
  "answer.right": ["{label}, {share}: the model’s guess", "{label}, {share}: das sagt das Modell"],
  "answer.one": ["{label}, {share}", "{label}, {share}"],
  "answer.type": ["Another label", "Ein anderer Name"],
  "answer.placeholder": ["Type to find one of {n}", "Tippen: einer von {n}"],
  "answer.placeholder.new": ["Type a new label", "Neuen Namen tippen"],
  "answer.found": ["{n} labels found", "{n} Namen gefunden"],
  "answer.found.one": ["One label found", "Ein Name gefunden"],
  "answer.more": ["{n} more: go on typing", "{n} weitere: tippen Sie weiter"],
  "answer.none": ["No label is called that.", "So heißt kein Name."],
  "answer.new": ["Add “{label}” as a new label", "„{label}“ als neuen Namen anlegen"],
  "answer.full": ["No room for new labels on this device.", "Auf diesem Gerät ist kein Platz für neue Namen."],
  "answer.learning": ["Learning…", "Wird gelernt …"],

  "verdict.accepted": ["Learned: {label}", "Gelernt: {label}"],
  "verdict.already_correct": ["Right already: {label}", "War schon richtig: {label}"],
  "verdict.refused": ["Not learned: {label}", "Nicht gelernt: {label}"],
  "verdict.undone": ["Taken back: {label}", "Zurückgenommen: {label}"],
  "verdict.undone.why": ["The model is again what it was without it.", "Das Modell ist wieder so, wie es ohne diese Korrektur war."],
  "verdict.nothing": ["Nothing was changed.", "Nichts wurde geändert."],
  "verdict.kept": ["It is remembered as one more example.", "Es ist als weiteres Beispiel gemerkt."],
  "verdict.reference": ["{n} reference pictures: {before} → {after} right", "{n} Vergleichsbilder: {before} → {after} richtig"],
  "verdict.harm": [
    "It would break {broken} of {n} reference pictures.",
    "{broken} von {n} Vergleichsbildern würden falsch.",
  ],
  "verdict.beside": ["It cannot be learned beside the earlier corrections.", "Es lässt sich neben den früheren Korrekturen nicht lernen."],
  "verdict.conflict": ["Contradicts correction {id} ({label}): check both.", "Widerspricht Korrektur {id} ({label}): prüfen Sie beide."],
  "verdict.unusual": ["Unlike nearly everything the model was trained on.", "Anders als fast alles, womit das Modell trainiert wurde."],
  "verdict.force": ["Teach it anyway", "Trotzdem lernen"],
  "verdict.again": ["Label it again", "Neu benennen"],

  "photo.title": ["Check a picture", "Ein Bild prüfen"],
  "photo.intro": [
    "See what the model says, and teach it if it is wrong.",
    "Sehen Sie, was das Modell sagt, und bringen Sie ihm das Richtige bei.",
  ],
  "photo.take": ["Take a photo", "Foto aufnehmen"],
  "photo.choose": ["Choose a picture", "Bild auswählen"],
  "photo.drop": ["or drop one here, or paste it", "oder hierher ziehen oder einfügen"],
  "photo.another": ["Another picture", "Anderes Bild"],
  "photo.looking": ["Looking…", "Wird angesehen …"],
  "photo.kind": ["This is not a picture that can be read: choose a JPEG, PNG, BMP or WebP file.", "Das ist kein lesbares Bild: wählen Sie eine JPEG-, PNG-, BMP- oder WebP-Datei."],

  "history.title": ["What was taught", "Was gelernt wurde"],
  "history.empty": ["Nothing was taught yet.", "Noch nichts gelernt."],
  "history.earlier": ["Show earlier ones", "Frühere zeigen"],
  "history.picture": ["Picture of correction {id}", "Bild der Korrektur {id}"],
  "history.nopicture": ["no picture kept", "kein Bild"],
  "history.same": ["{label} confirmed", "{label} bestätigt"],
  "standing.acting": ["in use", "wirkt"],
  "standing.merged": ["in use, merged", "wirkt, zusammengefasst"],
  "standing.superseded": ["replaced by a later one", "durch spätere ersetzt"],
  "standing.forgotten": ["no longer in use", "wirkt nicht mehr"],
  "standing.undone": ["taken back", "zurückgenommen"],
  "standing.refused": ["not learned", "nicht gelernt"],
  "standing.not_needed": ["was right already", "war schon richtig"],
  "standing.unknown": ["unknown", "unbekannt"],
  "standing.forced": ["insisted", "erzwungen"],

  "accuracy.title": ["How often the model is right", "Wie oft das Modell richtig liegt"],
  "accuracy.sentinel": ["Reference pictures", "Vergleichsbilder"],
  "accuracy.sentinel.why": [
    "of {n} pictures kept back from training: they show whether something was forgotten.",
    "von {n} Bildern, die beim Training zurückgehalten wurden: sie zeigen, ob etwas vergessen wurde.",
  ],
  "accuracy.field": ["Answered pictures", "Beantwortete Bilder"],
  "accuracy.field.why": [
    "the model was right on {right} of the last {n}. With so few, anything from {low} to {high} is likely.",
    "das Modell lag bei {right} der letzten {n} richtig. Bei so wenigen ist alles von {low} bis {high} wahrscheinlich.",
  ],
  "accuracy.field.none": ["no answers yet", "noch keine Antworten"],
  "accuracy.basis": [
    "People answer pictures that the model is unsure of or gets wrong, so it is right more often than the dashed line says. The shade is where the share lies with {share} certainty.",
    "Beantwortet werden Bilder, bei denen das Modell unsicher ist oder falsch liegt; insgesamt trifft es öfter, als die gestrichelte Linie zeigt. Der Schatten ist, wo der Anteil mit {share} Sicherheit liegt.",
  ],
  "accuracy.factory": ["as delivered", "ab Werk"],
  "accuracy.empty": ["The chart begins with the first answers.", "Die Kurve beginnt mit den ersten Antworten."],
  "accuracy.x": ["answers", "Antworten"],
  "accuracy.table": ["The numbers as a table", "Die Zahlen als Tabelle"],
  "accuracy.number": ["Answer", "Antwort"],
  "accuracy.chart": ["Line chart of accuracy, answer by answer. {series}", "Liniendiagramm der Treffer, Antwort für Antwort. {series}"],
  "accuracy.summary": ["{name}: {first} at first, {last} now.", "{name}: anfangs {first}, jetzt {last}."],

  "health.title": ["Health of this device", "Zustand dieses Geräts"],
  "health.asking": ["Asking…", "Wird gefragt …"],
  "health.OK": ["All well", "Alles gut"],
  "check.OK": ["fine", "gut"],
  "check.WARNING": ["warning", "Warnung"],
  "check.CRITICAL": ["fault", "Störung"],
  "check.UNKNOWN": ["unknown", "unklar"],
  "health.WARNING": ["Warning", "Warnung"],
  "health.CRITICAL": ["Fault", "Störung"],
  "health.UNKNOWN": ["Unknown", "Unklar"],
  "health.offline": ["No connection", "Keine Verbindung"],
  "check.artifact": ["Model files", "Modelldateien"],
  "check.runtime": ["Computing engine", "Rechenkern"],
  "check.state": ["What was taught", "Gelerntes"],
  "check.head": ["Corrected model", "Korrigiertes Modell"],
  "check.sentinel": ["Reference pictures", "Vergleichsbilder"],
  "check.golden": ["Known answers", "Bekannte Antworten"],
  "check.latency": ["Speed", "Tempo"],
  "check.corrections": ["Corrections", "Korrekturen"],
  "check.disk": ["Disk", "Speicherplatz"],
  "check.memory": ["Memory", "Arbeitsspeicher"],
  "check.clock": ["Clock", "Uhr"],

  "token.title": ["This device asks for its token", "Dieses Gerät fragt nach seinem Schlüssel"],
  "token.why": [
    "Whoever set up the device has it. It is kept until you close this tab.",
    "Wer das Gerät eingerichtet hat, kennt ihn. Er wird behalten, bis Sie diesen Tab schließen.",
  ],
  "token.label": ["Token", "Schlüssel"],
  "token.use": ["Continue", "Weiter"],
  "token.wrong": ["This token is not the right one.", "Dieser Schlüssel ist nicht der richtige."],
  "token.later": ["Too many attempts: wait {n} seconds, then try again.", "Zu viele Versuche: warten Sie {n} Sekunden."],

  "settings": ["Settings", "Einstellungen"],
  "settings.language": ["Language", "Sprache"],
  "settings.auto": ["As the browser", "Wie der Browser"],
  "settings.shortcuts": ["Single keys on the keyboard", "Einzelne Tasten der Tastatur"],
  "settings.forget": ["Forget the token", "Schlüssel vergessen"],
  "keys.choose": ["choose a label", "Namen wählen"],
  "keys.type": ["type a label", "Namen tippen"],
  "keys.skip": ["skip", "überspringen"],
  "keys.unsure": ["not sure", "nicht sicher"],
  "keys.undo": ["undo", "rückgängig"],
  "facts.model": ["Model", "Modell"],
  "facts.labels": ["Labels", "Namen"],
  "facts.labels.value": ["{n}, room for {spare} more", "{n}, Platz für {spare} weitere"],
  "facts.corrections": ["Corrections in use", "Wirkende Korrekturen"],
  "facts.engine": ["Engine", "Rechenkern"],

  "error.unreachable": ["The device does not answer.", "Das Gerät antwortet nicht."],
  "error.unreachable.hint": ["Check that it is switched on and in this network.", "Ist es eingeschaltet und im selben Netz?"],
  "error.busy": ["The device is busy.", "Das Gerät ist beschäftigt."],
  "error.busy.hint": ["Nothing was lost: try again in a moment.", "Nichts ging verloren: versuchen Sie es gleich noch einmal."],
  "error.large": ["This picture is too large for the device.", "Dieses Bild ist für das Gerät zu groß."],
  "error.other": ["That did not work.", "Das hat nicht geklappt."],
};

export const LANGUAGES = ["en", "de"];

let language = "en";

export function useLanguage(wanted) {
  language = LANGUAGES.includes(wanted) ? wanted : "en";
  document.documentElement.lang = language;
}

export function inUse() {
  return language;
}

export function has(key) {
  return key in TEXTS;
}

export function keys() {
  return Object.entries(TEXTS);
}

export function text(key, values = {}) {
  const wanted = values.n === 1 && has(`${key}.one`) ? `${key}.one` : key;
  const words = TEXTS[wanted]?.[LANGUAGES.indexOf(language)] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => shown(values[name] ?? whole));
}

function shown(value) {
  return typeof value === "number" ? new Intl.NumberFormat(language).format(value) : String(value);
}

export function percent(share, digits = 0) {
  const style = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  const words = new Intl.NumberFormat(language, style);
  const least = 10 ** -(2 + digits);
  if (share > 0 && share < least / 2) return `< ${words.format(least)}`; // neither never nor always
  if (share < 1 && share >= 1 - least / 2) return `> ${words.format(1 - least)}`;
  return words.format(share);
}

export function names(list) {
  return new Intl.ListFormat(language, { type: "conjunction" }).format(list);
}

export function when(moment) {
  const seconds = (Date.parse(moment) - Date.now()) / 1000;
  if (!Number.isFinite(seconds)) return "";
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) {
      if (unit === "day" && seconds < -7 * size) break;
      return relative.format(Math.trunc(seconds / size), unit);
    }
  }
  if (Math.abs(seconds) < 60) return relative.format(0, "minute");
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(Date.parse(moment));
}
