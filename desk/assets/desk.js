// Keeps pages fresh: parts with data-poll are fetched again, times are told relative to now, a form is sent once.
// Everything works without this file, only by loading the page again.
"use strict";

const plural = (n, unit) => `${n} ${unit}`;

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return plural(s, "s");
  if (s < 3600) return plural(Math.floor(s / 60), "min");
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function tellTimes(root) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const at = new Date(time.dateTime);
    time.title = at.toLocaleString();
    const gone = now - at;
    time.textContent = gone < 5000 ? "just now" : gone < 86400000 ? `${span(gone)} ago` : at.toLocaleString();
  }
  for (const time of root.querySelectorAll("time[data-left]")) {
    const end = new Date(time.dateTime);
    time.title = end.toLocaleString();
    time.textContent = span(end - now);
    time.classList.toggle("soon", end - now < 60000);
  }
}

function tellCount() {
  const list = document.querySelector("[data-waiting]");
  if (!list) return;
  const count = Number(list.dataset.waiting);
  const badge = document.querySelector("[data-count]");
  badge.textContent = count;
  badge.hidden = count === 0;
  document.title = (count ? `(${count}) ` : "") + document.title.replace(/^\(\d+\) /, "");
}

async function poll(part) {
  let answer;
  try {
    answer = await fetch(part.dataset.poll, { redirect: "manual", headers: { accept: "text/html" } });
  } catch {
    part.classList.add("stale"); // the desk cannot be reached; what is shown may be old
    return;
  }
  if (answer.type === "opaqueredirect") location.reload(); // signed out meanwhile
  if (!answer.ok) return part.classList.add("stale");
  part.classList.remove("stale");
  const text = await answer.text();
  if (text.trim() === part.dataset.last) return;
  part.dataset.last = text.trim();
  const focused = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
  part.replaceChildren(document.createRange().createContextualFragment(text));
  if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"], a[href="${focused}"]`)?.focus();
  tellTimes(part);
  tellCount();
  const status = part.querySelector("[data-status]")?.dataset.status;
  // What may be done has changed with it: another form, or none.
  if (part.dataset.watch && status && status !== part.dataset.watch) location.reload();
}

for (const part of document.querySelectorAll("[data-poll]")) {
  const every = Number(part.dataset.every);
  const again = async () => {
    if (!document.hidden) await poll(part);
    setTimeout(again, every);
  };
  setTimeout(again, every);
  document.addEventListener("visibilitychange", () => document.hidden || poll(part));
}

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    // The pressed button's value has to be sent, so only its looks change.
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
}

// A recorded stream shows its pieces at the pace at which they were sent; without this they all stand there.
const replay = document.querySelector("[data-replay]");
if (replay) {
  const controls = document.querySelector(".replay-controls");
  const clock = document.querySelector("[data-replay-clock]");
  const pieces = [...replay.querySelectorAll("li[data-ms]")];
  let timer;
  const show = (count) => pieces.forEach((piece, index) => (piece.hidden = index >= count));
  controls.hidden = false;
  controls.querySelector("[data-replay-all]").addEventListener("click", () => {
    clearTimeout(timer);
    clock.textContent = "";
    show(pieces.length);
  });
  controls.querySelector("[data-replay-start]").addEventListener("click", () => {
    clearTimeout(timer);
    const first = Number(pieces[0].dataset.ms);
    const began = performance.now();
    const step = () => {
      const now = first + performance.now() - began;
      const count = pieces.filter((piece) => Number(piece.dataset.ms) <= now).length;
      show(count);
      clock.textContent = count < pieces.length ? `${(now / 1000).toFixed(1)} s` : "";
      if (count < pieces.length) timer = setTimeout(step, 50);
    };
    step();
  });
}

// Coming back with the browser's own button must not show a form that cannot be sent any more.
addEventListener("pageshow", (event) => event.persisted && location.reload());

document.querySelector("[data-focus]")?.focus();
tellTimes(document);
tellCount();
setInterval(() => tellTimes(document), 1000);
