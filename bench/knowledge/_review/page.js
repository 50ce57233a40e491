// The page keeps what it shows and nothing else; each decision goes to the server with the version of the file that it was made on.
const $ = (id) => document.getElementById(id);
const MOST = 500; // characters of a statement, as the bank's reader has it

let bank = null; // as the server tells it
let c = 0, s = 0; // the class and the statement that are looked at
let draft = null; // of the statement that is edited: its class, its text as it was seen, the text and kind typed so far
let busy = false; // while a decision is being saved no other is taken
let reviewer = sessionStorage.getItem("reviewer") || "";
const decisions = []; // of this page, for undo

const statements = () => bank.classes[c]?.statements ?? [];
const current = () => statements()[s];
const decided = (rows) => rows.filter((one) => one.status !== "proposed").length;

/** An element with a class, an own text or other elements in it; text is never read as HTML. */
function el(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside.filter((one) => one !== null && one !== ""));
  return made;
}

async function call(path, body) {
  const how = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const answer = await fetch(path, how);
    return { status: answer.status, data: await answer.json() };
  } catch {
    return { status: 0, data: { error: "The review does not answer: start the command again and open its new address. Nothing was saved." } };
  }
}

function say(text, fault = false, lines = []) {
  const notice = $("notice");
  notice.hidden = !text;
  notice.className = fault ? "fault" : "";
  const more = lines.length > 6 ? [...lines.slice(0, 5), `and ${lines.length - 5} more`] : lines;
  notice.replaceChildren(el("p", "", text), ...(more.length ? [el("ul", "", ...more.map((line) => el("li", "fact", line)))] : []));
}

/** What another page, person or program changed between two states of the bank, a line each. */
function changes(old, now) {
  const lines = [], before = new Map(old.classes.map((one) => [one.name, one.statements]));
  for (const { name, statements: rows } of now.classes) {
    const was = before.get(name);
    before.delete(name);
    if (!was) { lines.push(`the class ${name} is new`); continue; }
    if (was.length !== rows.length) lines.push(`${name}: ${was.length} statements before, ${rows.length} now`);
    rows.slice(0, was.length).forEach((one, i) => {
      const what = [];
      if (was[i].text !== one.text) what.push(`“${was[i].text}” is now “${one.text}”`);
      if (was[i].status !== one.status) what.push(`${was[i].status} before, ${one.status} now`);
      if (!what.length && JSON.stringify(was[i]) !== JSON.stringify(one)) what.push("changed");
      if (what.length) lines.push(`${name}, statement ${i + 1}: ${[...what, one.reason].filter(Boolean).join("; ")}`);
    });
  }
  before.forEach((_, name) => lines.push(`the class ${name} is gone`));
  return lines.length ? lines : ["nothing that is shown here"];
}

/** Show another state of the file; the selection, and the text that is being typed, stay with their statement. */
function adopt(now) {
  const name = bank.classes[c]?.name, here = current(), number = s;
  bank = now;
  c = Math.max(0, bank.classes.findIndex((one) => one.name === name));
  const same = here && bank.classes[c]?.name === name ? statements().findIndex((one) => one.text === here.text) : -1;
  const edited = statements()[number]?.was;
  const rewritten = here && edited && (edited === here.text || edited === here.was);
  s = same >= 0 ? same : Math.min(number, Math.max(0, statements().length - 1));
  if (draft && same < 0 && !rewritten) {
    $("kept-text").value = draft.text;
    $("kept").hidden = false;
    draft = null;
  }
  render();
}

async function save(path, body) {
  if (busy) return null;
  busy = true;
  const { status, data } = await call(path, { version: bank.version, reviewer, ...body });
  busy = false;
  if (status === 409) {
    const lines = changes(bank, data.bank), typing = draft;
    adopt(data.bank);
    const kept = typing && draft ? " Your text is still in the editor: Enter saves it, Esc drops it." : " Look, and decide again.";
    say(`The file was changed beside this page, so nothing was saved; this is what it holds now.${kept}`, true, lines);
    return null;
  }
  if (status !== 200) {
    if (status === 410) decisions.pop(); // it cannot be undone any more, those before it can
    say(status ? `Nothing was saved: ${data.error}` : data.error, true);
    return null;
  }
  bank.version = data.version;
  bank.origins = data.origins;
  const place = bank.classes.findIndex((one) => one.name === data.class);
  bank.classes[place].statements[data.number] = data.statement;
  say("");
  return { ...data, place };
}

async function decide(action, more = {}) {
  const before = current(), place = [c, s];
  if (!before) return;
  if (!reviewer) return $("ask").showModal();
  const done = await save("/decide", { class: bank.classes[c].name, number: s, action, ...more });
  if (!done) return;
  decisions.push(done.undo);
  if (action === "edit") draft = null;
  // Whoever went elsewhere while it was saved stays there.
  if (c === place[0] && s === place[1] && !draft) before.status === "proposed" ? undecided(false) : move(1);
  render();
}

async function undo() {
  if (busy) return;
  if (!decisions.length) return say("There is nothing to undo on this page.");
  const done = await save("/undo", { undo: decisions.at(-1) });
  if (!done) return;
  decisions.pop();
  [c, s] = [done.place, done.number];
  say("Undone.");
  render();
}

function move(by) {
  let [k, t] = [c, s + by];
  while (bank.classes[k] && !bank.classes[k].statements[t]) {
    k += by;
    t = by > 0 ? 0 : (bank.classes[k]?.statements.length ?? 0) - 1;
  }
  if (bank.classes[k]) [c, s] = [k, t];
}

function turn(by) {
  if (bank.classes[c + by]) [c, s] = [c + by, 0];
}

/** Go to the next undecided statement after this one, around the end; told where there is none. */
function undecided(tell = true) {
  const places = bank.classes.flatMap((one, k) => one.statements.map((_, t) => [k, t]));
  const here = places.findIndex(([k, t]) => k === c && t === s);
  const next = [...places.slice(here + 1), ...places.slice(0, here + 1)].find(([k, t]) => bank.classes[k].statements[t].status === "proposed");
  if (next) [c, s] = next;
  else say(tell ? "Nothing is undecided." : "That was the last undecided statement.");
}

function edit() {
  if (!current()) return;
  draft = { text: current().text, kind: current().kind };
  render();
}

function render() {
  const all = bank.classes.flatMap((one) => one.statements);
  $("count").textContent = `${decided(all)} of ${all.length} decided`;
  $("progress").max = Math.max(1, all.length);
  $("progress").value = decided(all);
  $("who").textContent = reviewer ? `reviewed by ${reviewer}` : "";
  $("classes").replaceChildren(...bank.classes.map(entry));
  $("classes").children[c]?.scrollIntoView({ block: "nearest" });
  $("class").textContent = bank.classes[c]?.name ?? "The bank has no classes.";
  $("class-count").textContent = bank.classes[c] ? `${decided(statements())} of ${statements().length} decided` : "";
  showFrames();
  $("statements").replaceChildren(...statements().map(row));
  const selected = $("statements").children[s];
  if (s === 0) document.querySelector("main").scrollTop = 0; // with the class's name and frames
  selected?.scrollIntoView({ block: "nearest" });
  selected?.querySelector("textarea")?.focus();
}

function entry({ name, statements: rows }, k) {
  const whole = decided(rows) === rows.length;
  const made = el("button", whole ? "whole" : "", el("bdi", "", name), el("span", "count", `${decided(rows)}/${rows.length}`));
  made.type = "button";
  if (k === c) made.setAttribute("aria-current", "true");
  made.addEventListener("click", () => go(k, 0));
  return made;
}

/** To another statement by mouse; not away from a text that is being typed. */
function go(k, t) {
  if (draft) return say("You are editing: Enter saves, Esc cancels.");
  [c, s] = [k, t];
  render();
}

/** The class's frames, and one video of the class that the statement is most easily taken for. */
function showFrames() {
  const here = bank.classes[c], rival = bank.classes.find((one) => one.name === current()?.confusable);
  if (!bank.dataset) return fill("own", null, () => [el("p", "side", "No frames: the review was started without a data set (--dataset).")]);
  fill("own", here, () => here?.frames
    ? [el("p", "side", `Frames from ${bank.dataset}, ${here.frames.side}`), ...strips(here, here.frames.count)]
    : [el("p", "side", `No frames: ${bank.dataset} has no class of this name.`)]);
  fill("rival", rival, () => rival?.frames
    ? [el("p", "side", "Most confusable class: ", el("bdi", "", rival.name)), ...strips(rival, 1)]
    : []);
}

/** Put what shows a class there, unless it is there already: pictures are not asked for again with each key. */
function fill(id, one, make) {
  const key = JSON.stringify([one?.name, one?.frames]);
  if ($(id).dataset.key === key) return;
  $(id).dataset.key = key;
  $(id).replaceChildren(...make());
}

function strips({ name, frames }, count) {
  return Array.from({ length: count }, (_, number) => {
    const image = el("img"), made = el("figure", "", image);
    image.alt = `${name}, video ${number + 1}: frames from left to right`;
    image.src = `/frames/${frames.label}/${number}`;
    image.addEventListener("error", async () => made.replaceChildren(el("p", "side fact", (await call(image.src)).data.error)));
    return made;
  });
}

function row(one, t) {
  const made = el("li", one.status, el("div", "row", el("span", "status", one.status), el("span", "text", one.text), el("span", "kind", one.kind)));
  made.addEventListener("click", () => t === s || go(c, t));
  if (t !== s) return made;
  made.setAttribute("aria-current", "true");
  made.append(facts(one), draft ? editor() : buttons());
  return made;
}

function facts(one) {
  const origin = bank.origins[one.origin], scores = Object.entries(one.scores), inside = [];
  const add = (name, ...what) => inside.push(el("dt", "", name), el("dd", "fact", ...what));
  if (one.was) add("was", one.was);
  if (scores.length) add("scores", ...scores.map(([name, value]) => el("span", "score", `${name} ${Number(value.toFixed(3))}`)));
  if (one.confusable) add("most confusable", one.confusable);
  if (one.reason) add("reason", one.reason);
  add("written by", origin.by);
  return el("dl", "facts", ...inside);
}

function buttons() {
  const make = (text, what) => {
    const made = el("button", "", text);
    made.type = "button";
    made.addEventListener("click", what);
    return made;
  };
  return el("div", "buttons", make("Accept", () => decide("accept")), make("Reject", () => decide("reject")), make("Edit", edit));
}

function editor() {
  const text = el("textarea"), kind = el("select"), left = el("span");
  const count = () => {
    left.textContent = `${[...text.value.trim()].length} of ${MOST} characters`;
    left.className = [...text.value.trim()].length > MOST ? "over" : "";
  };
  text.value = draft.text;
  text.rows = 3;
  text.setAttribute("aria-label", "The statement's text");
  text.addEventListener("input", () => { draft.text = text.value; count(); });
  kind.append(...bank.kinds.map((name) => new Option(name, name, false, name === draft.kind)));
  kind.setAttribute("aria-label", "Its kind");
  kind.addEventListener("change", () => { draft.kind = kind.value; });
  count();
  return el("div", "editor", text, el("div", "", kind, left, el("span", "", "Enter saves, Esc cancels")));
}

const KEYS = {
  a: () => decide("accept"), r: () => decide("reject"), e: edit, u: undo, n: undecided,
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1), ArrowRight: () => turn(1), ArrowLeft: () => turn(-1),
  f: () => $("frames").classList.toggle("large"), "?": () => $("help").showModal(), Escape: () => { say(""); $("kept").hidden = true; },
};
const REPEATED = ["j", "k", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft"]; // a key that is held down decides nothing

document.addEventListener("keydown", (event) => {
  if (!bank || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
  if (draft) {
    if (event.key === "Escape") { draft = null; say(""); render(); }
    else if (event.key === "Enter") { event.preventDefault(); if (!event.repeat) decide("edit", { text: draft.text, kind: draft.kind }); }
    return;
  }
  const act = KEYS[event.key];
  if (!act || event.target.matches("textarea, input, select") || (event.repeat && !REPEATED.includes(event.key))) return;
  event.preventDefault();
  const before = [c, s].join();
  act();
  if ([c, s].join() !== before) render();
});

addEventListener("beforeunload", (event) => { if (draft && draft.text !== current()?.text) event.preventDefault(); });

function begin() {
  const name = $("name").value.trim();
  if (!name || name.includes(";")) { $("ask-fault").textContent = "Give a name, without a semicolon."; return; }
  reviewer = name;
  sessionStorage.setItem("reviewer", name);
  $("name").blur(); // the next key is for the page
  $("ask").close();
  render();
}
$("begin").addEventListener("click", begin);
$("name").addEventListener("keydown", (event) => { if (event.key === "Enter") begin(); });

history.replaceState(null, "", "/"); // the key is in a cookie now; the address need not show it
const first = await call("/bank");
if (first.status === 200) {
  bank = first.data;
  reviewer = bank.reviewer || reviewer;
  if (current()?.status !== "proposed") undecided();
  say("");
  render();
  if (!reviewer) $("ask").showModal();
} else say(first.data.error, true);
