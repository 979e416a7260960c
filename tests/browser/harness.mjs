// What the tests in a real Chromium share: one browser, people who sign in, and a look at each page in three dresses.
//
//   import { desk, facts, look, signedIn, test } from "./harness.mjs";
//   test("approvers see what waits", async () => {
//     const page = await signedIn("manager");
//     await page.goto(desk("/"));
//     await look(page, "waiting");
//   });
//
// A Rust test starts the real parts and then the script (`Chromium::run` of the stand): `node SCRIPT FACTS`. FACTS is a
// JSON file: `desk` is the desk's address, `chromium` the program, `shots` the folder for screenshots; the test adds
// whatever else its script has to know. Each `test` is one of node:test, in the order written. A page fails its test
// when its script throws, its console shows an error (a refused style or script is one), or something of it does not
// load.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import nodeTest, { after } from "node:test";
import { chromium } from "playwright-core";

export { assert };

/** What the Rust test knows. */
export const facts = JSON.parse(readFileSync(process.argv[2], "utf8"));
/** How long anything may take, in milliseconds. */
const PATIENCE = 15_000;
/** The dresses: what a page has to look right in. */
const DRESSES = {
  desktop: { width: 1280, height: 800, colorScheme: "light" },
  dark: { width: 1280, height: 800, colorScheme: "dark" },
  phone: { width: 390, height: 844, colorScheme: "light" },
};

const browser = await chromium.launch({ executablePath: facts.chromium, timeout: 60_000 });
after(() => browser.close());

/** The address of a path of the desk. */
export const desk = (path) => facts.desk + path;

/** Complaints of pages since the last test ended. */
let complaints = [];

/** One behaviour. Fails, too, when a page complained meanwhile and the test did not say that it `expects` that. */
export function test(behaviour, body) {
  nodeTest(behaviour, { timeout: 4 * PATIENCE }, async (context) => {
    complaints = [];
    const expected = [];
    await body({ expects: (pattern) => expected.push(pattern), context });
    const left = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
    assert.deepEqual(left, [], "pages complained");
  });
}

/** A page of a browser that knows nothing yet: `options` are Playwright's of a context, such as `javaScriptEnabled`. */
export async function stranger(options = {}) {
  const { width, height, colorScheme } = DRESSES.desktop;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    // A colour on its way to another is neither.
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
    acceptDownloads: true,
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  // The issuer's pages are not what is tried.
  const complain = (url, what) => url.startsWith(facts.desk) && complaints.push(`${url}: ${what}`);
  page.on("pageerror", (error) => complain(page.url(), error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complain(message.location().url || page.url(), message.text());
  });
  page.on("requestfailed", (request) => {
    // Leaving a page ends what it was still fetching; a download ends its navigation.
    const why = request.failure()?.errorText ?? "";
    if (why !== "net::ERR_ABORTED") complain(request.url(), why);
  });
  return page;
}

const signedInAs = new Map();

/** A page of this person (a role of the stand's issuer), signed in by hand on first use, as people do. */
export async function signedIn(role, options = {}) {
  const page = await stranger({ storageState: signedInAs.get(role), ...options });
  if (!signedInAs.has(role)) {
    await page.goto(desk("/sign-in"));
    await page.getByRole("link", { name: role }).click();
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    signedInAs.set(role, await page.context().storageState());
  }
  return page;
}

/**
 * Takes pictures of the page in every dress, and fails where it does not fit a phone, where a control has no name, or
 * where text is hard to read (WCAG 2.2, 1.4.3: 4.5 to 1, large text 3 to 1).
 */
export async function look(page, name) {
  mkdirSync(facts.shots, { recursive: true });
  for (const [dress, { width, height, colorScheme }] of Object.entries(DRESSES)) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${facts.shots}/${name}-${dress}.png`, fullPage: true });
    const wrong = await page.evaluate(inspect);
    assert.deepEqual(wrong, [], `${name}, ${dress}`);
  }
  const { width, height, colorScheme } = DRESSES.desktop;
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme });
}

/** Takes the picture that the README shows: what a desktop shows at once. `make screenshots` collects them. */
export async function picture(page, name) {
  const folder = `${facts.shots}/../images`;
  mkdirSync(folder, { recursive: true });
  const { width, colorScheme } = DRESSES.desktop;
  await page.setViewportSize({ width, height: 860 });
  await page.emulateMedia({ colorScheme });
  await page.evaluate(() => {
    document.activeElement?.blur();
    window.scrollTo(0, 0);
  });
  await page.screenshot({ path: `${folder}/${name}.png` });
}

/** Runs in the page: what is wrong with it. */
function inspect() {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > window.innerWidth) wrong.push(`${root.scrollWidth} px wide in ${window.innerWidth} px`);
  if (!root.lang) wrong.push("the language is not said");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("there is not one h1");
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href]")) {
    const named =
      control.labels?.length || control.getAttribute("aria-label") || control.title || control.textContent.trim();
    if (!named) wrong.push(`no name: ${control.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`two elements have the id ${id}`);

  // Colours are read back from a canvas, whatever notation they are written in.
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    return pixel.getImageData(0, 0, 1, 1).data;
  };
  const over = ([r, g, b, a], [r2, g2, b2]) => {
    const part = a / 255;
    return [r * part + r2 * (1 - part), g * part + g2 * (1 - part), b * part + b2 * (1 - part), 255];
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour[3] === 255) break;
    }
    const canvas = rgba(getComputedStyle(root).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#fff");
    return layers.reduceRight((below, layer) => over(layer, below), canvas);
  };
  const light = (colour) => {
    const [r, g, b] = [...colour].slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const [a, b] = [light(over(rgba(style.color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const said = `${ratio.toFixed(2)} to 1: ${text.data.trim().slice(0, 40)}`;
    if (ratio < (large ? 3 : 4.5) && !faint.has(said)) faint.add(said);
  }
  return [...wrong, ...faint];
}
