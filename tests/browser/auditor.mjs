// What an auditor does at the desk; `tests/e2e/tests/auditor.rs` starts the parts and makes the records.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, desk, facts, look, signedIn, stranger, test } from "./harness.mjs";

const rows = (page) => page.locator("tbody tr");

/** Fills in the search and sends it, as a person does. */
async function search(page, wanted) {
  await page.goto(desk("/evidence"));
  for (const [label, value] of Object.entries(wanted)) {
    const choice = page.getByRole("combobox", { name: label, exact: true });
    if (await choice.count()) await choice.selectOption(value);
    else await page.getByLabel(label, { exact: true }).fill(value);
  }
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL(/\/evidence\?/);
}

/** The texts of a column. */
async function column(page, name) {
  const heads = await page.locator("thead th").allTextContents();
  const cells = await rows(page).locator(`td:nth-child(${heads.indexOf(name) + 1})`).allTextContents();
  return cells.map((text) => text.trim());
}

test("nobody reads evidence without signing in, and comes back to where they wanted to go", async () => {
  const page = await stranger();
  await page.goto(desk("/evidence?kind=outcome"));
  await page.getByRole("link", { name: "auditor" }).click();
  await page.waitForURL(desk("/evidence?kind=outcome"));
  assert.equal(await page.getByRole("combobox", { name: "Kind" }).inputValue(), "outcome");
});

test("who is no auditor is not shown the way and not let in", async ({ expects }) => {
  expects(/403/);
  const page = await signedIn("analyst");
  assert.equal(await page.getByRole("link", { name: "Evidence" }).count(), 0);
  for (const path of ["/evidence", "/evidence/0", "/findings", "/export", "/verification"]) {
    const answer = await page.goto(desk(path));
    assert.equal(answer.status(), 403, path);
    await page.getByRole("heading", { name: "Not allowed" }).waitFor();
  }
});

test("records are found by person, operation, decision, kind and thread", async () => {
  const page = await signedIn("auditor");
  await search(page, { Person: "ANA@corp", Kind: "outcome" });
  assert.deepEqual(await column(page, "Person"), ["Ana Analyst"]);
  await search(page, { Person: "u-eli", Kind: "admission" });
  assert.deepEqual(await column(page, "Operation"), ["Run the graph billing"]);
  await search(page, { Operation: "create_run", Decision: "deny" });
  const [who, effects] = [await column(page, "Person"), await column(page, "Decision")];
  assert.deepEqual([...new Set(who)], ["Art Auditor"]);
  assert.deepEqual([...new Set(effects)], ["deny"]);
  await search(page, { Thread: facts.thread, Decision: "allow", Kind: "outcome" });
  assert.equal(await rows(page).count(), 2, "the stream and the approved run");
  await search(page, { Thread: facts.thread.slice(0, 8) });
  await page.getByText("Nothing found.").waitFor();
  await search(page, { Person: "100%" });
  await page.getByText("Nothing found.").waitFor();
});

test("a name that is an attack is shown as the text that it is", async () => {
  const page = await signedIn("auditor");
  page.on("dialog", () => assert.fail("a script of the name ran"));
  await search(page, { Person: "old.hand", From: "2026-03-02", To: "2026-03-02" });
  assert.equal((await column(page, "Person"))[0], facts.hostile);
  await rows(page).getByRole("link").first().click();
  await page.getByText(facts.hostile).first().waitFor();
  assert.equal(await page.locator("main img").count(), 0);
});

test("dates take whole days, and a page leads to the one after it", async () => {
  const page = await signedIn("auditor");
  await search(page, { Thread: facts.oldThread, From: "2026-03-02", To: "2026-03-02" });
  let seen = 0;
  const places = new Set();
  for (;;) {
    seen += await rows(page).count();
    for (const link of await rows(page).getByRole("link").all()) places.add(await link.getAttribute("href"));
    const older = page.getByRole("link", { name: "Older records" });
    if (!(await older.count())) break;
    await older.click();
    await page.waitForURL(/before=/);
    assert.equal(await page.getByLabel("From").inputValue(), "2026-03-02", "the search is kept");
  }
  // 130 of one chain, two of the next, two of the last; its third has a time that is not over yet.
  assert.equal(seen, 134);
  assert.equal(places.size, seen, "each once");
  await search(page, { Thread: facts.oldThread, To: "2026-03-01" });
  await page.getByText("Nothing found.").waitFor();
  await search(page, { Thread: facts.oldThread, From: "2026-03-03" });
  assert.equal(await rows(page).count(), 1, "the record from the future");
  await page.goto(desk("/evidence?from=soon"));
  await page.getByRole("alert").getByText("“soon” is not a date").waitFor();
});

test("the search looks right", async () => {
  const page = await signedIn("auditor");
  await search(page, { Operation: "threads." });
  await look(page, "evidence");
  await search(page, { Person: "nobody at all" });
  await look(page, "evidence-none");
});

test("a record shows its stream again at the pace at which it was sent", async () => {
  const page = await signedIn("auditor");
  await search(page, { Person: "ana@corp", Kind: "outcome" });
  await rows(page).getByRole("link").first().click();
  const pieces = page.locator("[data-replay] li");
  const count = await pieces.count();
  assert.ok(count >= 4, `${count} pieces`);
  const text = (await pieces.allTextContents()).join("");
  assert.match(text, /first words/);
  assert.match(text, /last words/);
  assert.ok(!text.includes("zoe.obrien"), "a value that was masked is shown");
  assert.ok((await page.locator("[data-replay] mark").count()) >= 1, "what was masked is marked");
  const times = await pieces.evaluateAll((all) => all.map((piece) => Number(piece.dataset.ms)));
  assert.deepEqual(times, [...times].sort((a, b) => a - b));
  const took = times.at(-1) - times[0];
  assert.ok(took >= 1_000, `the pieces came within ${took} ms`);
  await look(page, "record-replay");

  await page.getByRole("button", { name: "Replay in time" }).click();
  const began = Date.now();
  const shown = () => page.locator("[data-replay] li:visible").count();
  assert.ok((await shown()) < count, "not all at once");
  await page.waitForFunction(() => !document.querySelector("[data-replay] li[hidden]"));
  const lasted = Date.now() - began;
  assert.ok(lasted >= took - 300 && lasted <= took + 3_000, `${lasted} ms for ${took} ms`);
  await page.getByRole("button", { name: "Replay in time" }).click();
  await page.getByRole("button", { name: "Show all" }).click();
  assert.equal(await shown(), count);
});

test("a record of an approved request shows who agreed and what they said", async () => {
  const page = await signedIn("auditor");
  await search(page, { Person: "eli@corp", Kind: "outcome" });
  await rows(page).getByRole("link").first().click();
  const approval = page.getByRole("region", { name: "Approval" });
  await approval.getByText("Mia Manager").waitFor();
  await approval.getByText("<b>agreed</b> for March").waitFor();
  const link = approval.getByRole("link", { name: "The request for it" });
  assert.equal(await link.getAttribute("href"), `/approvals/${facts.approval}`);
  await look(page, "record-approval");
  await page.getByRole("region", { name: "The same exchange" }).getByRole("link", { name: "admission" }).click();
  await page.getByRole("region", { name: "Record" }).getByText('"kind": "admission"').waitFor();
});

test("everything can be read without scripts", async () => {
  const context = await signedIn("auditor", { javaScriptEnabled: false });
  await context.goto(desk("/evidence?person=ana%40corp&kind=outcome"));
  await rows(context).getByRole("link").first().click();
  assert.ok((await context.locator("[data-replay] li:visible").count()) >= 4);
  assert.equal(await context.getByRole("button", { name: "Replay in time" }).isVisible(), false);
});

test("findings name what does not add up", async () => {
  const page = await signedIn("auditor");
  await page.goto(desk("/"));
  await page.getByRole("link", { name: "Findings" }).click();
  const section = (name) => page.getByRole("region", { name, exact: true }).first();
  await section("Missing records").getByText("odd").waitFor();
  await section("Refused records").getByText("differs from the line already recorded there").waitFor();
  await section("Clocks").getByText("its time is 5000 ms before that of the line before it").waitFor();
  await section("Clocks").getByText("ahead of the desk's clock").waitFor();
  await look(page, "findings");
});

const file = (name) => join(facts.folder, name);

test("an export is made, and verifies here, and not with a byte changed or another key", async ({ expects }) => {
  expects(/400|422/);
  const page = await signedIn("auditor");
  await page.goto(desk("/export"));
  await look(page, "export");
  const key = (await page.locator("code.wrap").textContent()).trim();
  writeFileSync(file("key.txt"), key);
  await page.getByLabel("From").fill("2026-03-02");
  await page.getByLabel("The identity provider's people (CSV)").setInputFiles({
    name: "people.csv",
    mimeType: "text/csv",
    buffer: Buffer.from("subject,email,name,roles,active\nu-ana,ana@corp.example,Ana Analyst,analyst,true\n"),
  });
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Make the export" }).click();
  const saved = await download;
  assert.match(saved.suggestedFilename(), /^evidence-\d{4}-\d\d-\d\d\.zip$/);
  await saved.saveAs(file("evidence.zip"));

  const verify = async (buffer, withKey, since) => {
    await page.goto(desk("/verification"));
    await page.getByLabel("Log key").fill(withKey);
    await page.getByLabel("Export").setInputFiles({ name: "evidence.zip", mimeType: "application/zip", buffer });
    if (since) await page.getByLabel("An earlier checkpoint").setInputFiles(since);
    await page.getByRole("button", { name: "Verify" }).click();
    await page.locator("[data-verdict]").waitFor();
    return page.locator("[data-verdict]").getAttribute("data-verdict");
  };
  const whole = readFileSync(file("evidence.zip"));
  assert.equal(await verify(whole, key), "yes");
  await page.getByText("Every file is as it was signed.").waitFor();
  await look(page, "verification-sound");
  for (const place of [whole.length >> 3, whole.length >> 1, whole.length - (whole.length >> 3)]) {
    const flipped = Buffer.from(whole);
    flipped[place] ^= 1;
    assert.equal(await verify(flipped, key), "no", `byte ${place}`);
  }
  await look(page, "verification-unsound");
  const other = key.replace(/[A-Za-z0-9+/=]{8}$/, (end) => [...end].reverse().join(""));
  assert.equal(await verify(whole, other), "no");
});

test("a form that is wrong says what is wrong with it", async ({ expects }) => {
  expects(/400/);
  const page = await signedIn("auditor");
  await page.goto(desk("/export"));
  await page.getByLabel("An earlier checkpoint").setInputFiles({ name: "x", mimeType: "text/plain", buffer: Buffer.from("no checkpoint") });
  await page.getByRole("button", { name: "Make the export" }).click();
  await page.getByRole("alert").waitFor();
  await look(page, "export-wrong");
});
