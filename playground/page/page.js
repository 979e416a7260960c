// The page's script: reads the fields, asks the module, shows what it says. Texts of others only ever become text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const FIELDS = ["policy", "request", "claims", "known", "response"];
/** What people type is judged once they pause, in milliseconds. */
const PAUSE = 200;
/** How long a step is shown while it plays, in milliseconds. */
const BEAT = 700;

let examples = [];
let replay = null;
let body = new Uint8Array();
let playing = 0;

/** An element with a class, and texts or elements in it. */
function make(name, className, ...inside) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...inside.filter((item) => item !== null && item !== undefined));
  return element;
}

function table() {
  const read = Object.fromEntries(FIELDS.map((name) => [name, $(name).value]));
  return JSON.stringify({ ...read, now: Math.floor(Date.now() / 1000) });
}

/** Rows of a description list; those without a value are left out. */
function facts(rows) {
  const list = make("dl", "facts");
  for (const [name, value] of rows) {
    if (value === null || value === undefined || value === "") continue;
    list.append(make("div", "", make("dt", "", name), make("dd", "", value)));
  }
  return list;
}

/** Shows the place of a problem in the policy. */
function point(line) {
  const field = $("policy");
  const lines = field.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  field.focus();
  field.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  field.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(field).lineHeight));
}

function problems(list, warning) {
  const items = list.map((problem) => {
    const go = make("button", "", `line ${problem.line}`);
    go.type = "button";
    go.setAttribute("aria-label", `Show ${problem.path} at line ${problem.line}`);
    go.addEventListener("click", () => point(problem.line));
    const hint = problem.hint ? make("div", "dim small", problem.hint) : null;
    return make("li", warning ? "warning" : "", go, make("code", "", problem.path), ": ", problem.what, hint);
  });
  return make("ul", "problems", ...items);
}

function glance(effect, words) {
  $("glance").className = `badge ${effect}`;
  $("glance").textContent = words;
}

const seconds = (count) => (count % 3600 === 0 ? `${count / 3600} h` : count % 60 === 0 ? `${count / 60} min` : `${count} s`);

function approval(demand) {
  if (!demand) return null;
  const seats = demand.all_of.map((seat) => `${seat.count} × ${seat.approver}`).join(" and ");
  const who = seats || `${demand.quorum} of ${demand.approvers.join(", ")}`;
  return `${who}; held for ${seconds(demand.hold_seconds)}, open for ${seconds(demand.expires_seconds)}, valid for ${seconds(demand.valid_seconds)}`;
}

function operations(list) {
  const items = list.map((operation) => {
    const about = ["graph", "assistant", "thread", "run", "tool"].filter((name) => operation[name]);
    const does = Object.entries(operation.facts ?? {}).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
    const said = operation.effect ? make("span", `badge ${operation.effect}`, operation.effect) : null;
    return make("li", "", make("strong", "", operation.name), " ", make("span", "tag", operation.class), " ", said,
      make("div", "dim small", ...about.map((name) => `${name} ${operation[name]}  `)),
      does.length ? make("div", "small", does.join(", ")) : null,
      operation.rule ? make("div", "small", `rule: ${operation.rule}`) : null);
  });
  return make("ul", "operations", ...items);
}

const WORDS = { allow: "Allowed", deny: "Refused", approval: "A person decides" };

function showDecision() {
  const said = JSON.parse(wasm_bindgen.judge(table()));
  const out = $("decision");
  out.replaceChildren();
  $("policy").setAttribute("aria-invalid", String(said.policy.state !== "sound"));
  for (const name of ["request", "claims", "known"]) {
    const wrong = said.wrong?.[name];
    $(`${name}-wrong`).hidden = !wrong;
    $(`${name}-wrong`).textContent = wrong ?? "";
    $(name).setAttribute("aria-invalid", String(Boolean(wrong)));
    if (wrong && name === "known") $("known-details").open = true;
  }
  if (said.policy.state !== "sound") {
    const count = said.policy.problems?.length;
    glance("deny", "policy not sound");
    $("policy-state").textContent = "";
    out.append(make("p", "standing", make("span", "badge deny", "No policy"), count ? `${count} ${count === 1 ? "problem" : "problems"}` : ""));
    out.append(count ? problems(said.policy.problems, false) : make("p", "wrong", said.policy.why));
    return;
  }
  $("policy-state").textContent = `sound, digest ${said.policy.digest.slice(0, 16)}…`;
  if (!said.verdict) {
    glance("", "not judged");
    out.append(make("p", "dim", "Mend what is marked on the left."));
    return;
  }
  const { decision, operations: list, normalised, unresolved, lacks } = said.verdict;
  glance(decision.effect, WORDS[decision.effect]);
  out.append(make("p", "standing", make("span", `badge ${decision.effect}`, WORDS[decision.effect]),
    decision.rule ? make("span", "", "by the rule ", make("strong", "", decision.rule)) : null,
    decision.reason ? make("code", "", decision.reason) : null));
  const { obligations } = decision;
  const owned = obligations.ownership;
  out.append(facts([
    ["Detail", decision.detail],
    ["Mode", said.policy.observe ? "observe: said and recorded, nothing is refused" : null],
    ["Asks", approval(obligations.approval)],
    ["Record", obligations.before ? "durable before the request is forwarded" : null],
    ["Masks more", obligations.mask.join(", ")],
    ["Owned by", owned ? `${owned.key} = ${owned.owner}` : null],
    ["Goes on as", owned?.body ? make("code", "", owned.body) : null],
    ["Forwarded as", normalised && decision.effect !== "deny" ? make("code", "", `${normalised.method} ${normalised.path}`) : null],
    ["Not known", unresolved.length ? unresolved.join(", ") : null],
    ["Write", lacks.length ? make("code", "", lacks.join("; ")) : null],
  ]));
  if (list.length) out.append(make("h3", "", list.length === 1 ? "Operation" : `${list.length} operations, all of which have to be allowed`), operations(list));
  if (said.answer) {
    const answer = make("pre", "answer", `HTTP/1.1 ${said.answer.status}\n\n${JSON.stringify(said.answer.body, null, 2)}`);
    out.append(make("h3", "", "What the caller gets"), answer);
  }
  if (said.policy.warnings.length) out.append(make("h3", "", "Warnings"), problems(said.policy.warnings, true));
}

const WAITS = {
  event: () => "the end of the event: no reader could use it before",
  order: () => "waits its turn: events keep their order",
  token: () => "the end of a number, a literal or an escape",
  field: (names) => `the end of a value that the rule on ${names[0]} masks`,
  detectors: (names) => (names.length ? `could become: ${names.join(", ")}` : "could become a value together with what follows"),
};

function heldItem(held) {
  const lane = held.lane ? make("span", "tag lane", `text ${held.lane}`) : null;
  const bytes = make("span", "dim small", ` ${held.bytes} bytes wait `);
  const item = make("li", "", make("span", "tag wait", WAITS[held.waits](held.names)), bytes, lane);
  if (held.text) item.append(make("q", "", held.text + (held.more ? "…" : "")));
  return item;
}

/** Text with what was put in marked, and what came last. */
function shown(text, from) {
  const part = (piece, className) => {
    const inside = [];
    let last = 0;
    for (const found of piece.matchAll(/\[[A-Z][A-Z_ ]*\]/g)) {
      inside.push(piece.slice(last, found.index), make("mark", "", found[0]));
      last = found.index + found[0].length;
    }
    inside.push(piece.slice(last));
    return className ? make("mark", className, ...inside) : make("span", "", ...inside);
  };
  return [part(text.slice(0, from), ""), part(text.slice(from), "new")];
}

function showStep() {
  if (!replay) return;
  const now = JSON.parse(replay.at(Number($("slider").value)));
  const said = now.step === 0 ? "nothing has come yet" : now.ended ? "the end" : `${now.taken} of ${body.length} bytes have come`;
  $("where").textContent = `Step ${now.step} of ${now.steps}: ${said}`;
  $("slider").setAttribute("aria-valuetext", $("where").textContent);
  const words = new TextDecoder();
  $("came").replaceChildren(make("span", "", words.decode(body.slice(0, now.before))), make("mark", "new", words.decode(body.slice(now.before, now.taken))));
  const out = new TextEncoder().encode(now.output);
  $("left").replaceChildren(...shown(now.output, words.decode(out.slice(0, now.left_before)).length));
  for (const id of ["came", "left"]) $(id).scrollTop = $(id).scrollHeight;
  const held = now.held.map(heldItem);
  if (now.cut) held.push(make("li", "", make("span", "tag wait", "cut"), ` ${now.cut}: nothing more leaves`));
  if (!held.length) held.push(make("li", "none", now.step === 0 ? "Nothing yet." : "Nothing: all that came has left."));
  $("held").replaceChildren(...held);
  const counts = Object.entries(now.masked).map(([name, count]) => `${name} ${count}`);
  $("masked").textContent = `Read as ${now.media}. Masked so far: ${counts.length ? counts.join(", ") : "nothing"}.`;
}

function showReplay() {
  stop();
  replay?.free();
  replay = null;
  const text = $("response").value;
  try {
    replay = new wasm_bindgen.Replay(table(), Number($("piece").value));
    const split = text.trimStart().match(/\r?\n\r?\n/);
    body = new TextEncoder().encode(text.trimStart().slice(split.index + split[0].length));
    $("slider").max = replay.steps();
    $("slider").value = replay.steps();
  } catch (wrong) {
    $("replay-wrong").textContent = typeof wrong === "string" ? wrong : wrong.message;
  }
  $("replay-wrong").hidden = Boolean(replay);
  $("replay").hidden = !replay;
  showStep();
}

function step(by) {
  $("slider").value = Number($("slider").value) + by;
  showStep();
}

function stop() {
  clearInterval(playing);
  playing = 0;
  $("play").textContent = "Play";
}

function play() {
  if (playing) return stop();
  const end = Number($("slider").max);
  if (Number($("slider").value) >= end) $("slider").value = 0;
  $("play").textContent = "Pause";
  // A stream of a thousand bytes plays in bigger strides.
  const stride = Math.max(1, Math.round(end / 60));
  showStep();
  playing = setInterval(() => {
    step(stride);
    if (Number($("slider").value) >= end) stop();
  }, BEAT);
}

function choose(index) {
  const example = examples[index];
  for (const name of FIELDS) $(name).value = example[name];
  $("about").textContent = example.about;
  $("known-details").open = Boolean(example.known);
  $("piece").value = "0";
  showDecision();
  showReplay();
  if (example.step) {
    $("slider").value = example.step;
    showStep();
  }
}

async function start() {
  const packed = Uint8Array.from(atob($("module").textContent), (character) => character.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  await wasm_bindgen({ module_or_path: await new Response(unpacked).arrayBuffer() });
  examples = JSON.parse(wasm_bindgen.examples());
  $("example").replaceChildren(...examples.map((example, index) => new Option(example.title, index)));
  let pause = 0;
  for (const name of FIELDS) {
    $(name).addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => {
        const at = $("slider").value;
        if (name !== "response") showDecision();
        showReplay();
        $("slider").value = at;
        showStep();
      }, PAUSE);
    });
  }
  $("example").addEventListener("change", () => choose($("example").value));
  $("piece").addEventListener("change", showReplay);
  $("slider").addEventListener("input", () => (stop(), showStep()));
  $("back").addEventListener("click", () => (stop(), step(-1)));
  $("on").addEventListener("click", () => (stop(), step(1)));
  $("play").addEventListener("click", play);
  choose(0);
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  $("broken").textContent = `This browser cannot run the page: ${error.message ?? error}`;
  $("broken").hidden = false;
  glance("deny", "not running");
});
