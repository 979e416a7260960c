// What a person does at the playground, opened from a file: no server, no network. `tests/e2e/tests/playground.rs` starts it.
import { assert, facts, look, picture, stranger, test } from "./harness.mjs";

/** The page, ready, and what it asked the network for. */
async function playground() {
  const page = await stranger();
  page.asked = [];
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) page.asked.push(request.url());
  });
  await page.goto(facts.desk);
  await page.waitForSelector("html[data-ready]");
  return page;
}

const decision = (page) => page.getByRole("region", { name: "Decision" });
const held = (page) => page.locator("#held");

/** Moves the slider as a person at a keyboard does. */
async function to(page, step) {
  await page.getByRole("slider").focus();
  await page.keyboard.press("Home");
  for (let at = 0; at < step; at++) await page.keyboard.press("ArrowRight");
}

test("an example shows its decision, its operation and what leaves", async () => {
  const page = await playground();
  await decision(page).getByText("Allowed").waitFor();
  await decision(page).getByText("analysts talk to the support graph").first().waitFor();
  await decision(page).getByText("threads.create_run").waitFor();
  await page.getByRole("slider").press("End");
  const left = await page.getByRole("region", { name: "Has left to the caller" }).textContent();
  assert.match(left, /\[EMAIL\]/);
  assert.doesNotMatch(left, /zoe\.obrien|4111 1111 1111 1111/);
  await look(page, "stream-end");
  assert.deepEqual(page.asked, [], "the page asked the network for something");
});

test("the slider shows what is held back, which detector suspects it, and what waits behind", async () => {
  const page = await playground();
  await to(page, 4);
  await held(page).getByText(/could become: .*email/).waitFor();
  await held(page).getByText("zoe.ob", { exact: true }).waitFor();
  await held(page).getByText(/keep their order/).waitFor();
  await held(page).getByText(/^text [0-9a-f]{4}$/).waitFor();
  await look(page, "stream-held");
  await picture(page, "playground");
  await page.getByRole("slider").focus();
  // No step lets a part of the value out.
  const last = Number(await page.getByRole("slider").getAttribute("max"));
  for (let step = 5; step <= last; step++) {
    await page.keyboard.press("ArrowRight");
    assert.doesNotMatch(await page.locator("#left").textContent(), /zoe\.ob|4111 11\b.*1111/, `step ${step}`);
  }
  await held(page).getByText("all that came has left").waitFor();
});

test("byte by byte the same leaves", async () => {
  const page = await playground();
  await page.getByRole("slider").press("End");
  const whole = await page.locator("#left").textContent();
  await page.getByLabel("What comes at once").selectOption("a byte");
  assert.ok(Number(await page.getByRole("slider").getAttribute("max")) > 1000);
  assert.equal(await page.locator("#left").textContent(), whole);
  await page.getByRole("button", { name: "One step back" }).click();
  await page.getByRole("button", { name: "Play" }).click();
  await page.getByRole("button", { name: /Play|Pause/ }).waitFor();
});

test("each example says what becomes of it", async () => {
  const page = await playground();
  const wanted = {
    "A request that waits for a manager": "A person decides",
    "A way round the gate": "field_refused",
    "A run that does more than its route says": "2 operations",
    "Somebody else's thread": "not_found",
    "Nobody signed in": "token_missing",
    "Someone who may see more": "everyone reads",
  };
  for (const [title, words] of Object.entries(wanted)) {
    await page.getByLabel("Example").selectOption({ label: title });
    await decision(page).getByText(words).first().waitFor();
  }
  await page.getByLabel("Example").selectOption({ label: "A request that waits for a manager" });
  await look(page, "approval");
});

test("a problem of the policy has its path and leads to its line", async () => {
  const page = await playground();
  await page.getByLabel("Example").selectOption({ label: "A policy with mistakes" });
  await look(page, "mistakes");
  await decision(page).getByText("masking.detectors[0]").waitFor();
  await page.getByRole("button", { name: /Show access.rules\[0\].operations/ }).click();
  const chosen = await page.evaluate(() => window.getSelection().toString());
  assert.match(chosen, /class:raed/);
});

test("what is typed is judged, and what cannot be read is said beside it", async () => {
  const page = await playground();
  await page.getByLabel(/^Claims/).fill('{ "sub": "u-eve", "roles": [] }');
  await decision(page).getByText("access_denied").first().waitFor();
  await page.getByLabel(/^Claims/).fill("{");
  await page.locator("#claims-wrong").waitFor();
  assert.equal(await page.getByLabel(/^Claims/).getAttribute("aria-invalid"), "true");
  await page.getByLabel(/^Claims/).fill('{ "sub": "u-ana", "roles": ["analyst"] }');
  await page.getByRole("textbox", { name: /^Response/ }).fill("HTTP/1.1 200 OK\ncontent-type: text/plain\n\n<img src=x onerror=alert(1)> zoe@example.com");
  page.on("dialog", () => assert.fail("a script of the response ran"));
  await page.locator("#left", { hasText: "<img src=x onerror=alert(1)> [EMAIL]" }).waitFor();
});
