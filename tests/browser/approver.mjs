// What approvers do at the desk; `tests/e2e/tests/approver.rs` starts the parts. Questions are asked here, as a gateway asks.
import { randomUUID } from "node:crypto";
import { assert, desk, facts, look, picture, signedIn, stranger, test } from "./harness.mjs";

/** Asks as a gateway, and returns the approval's id. */
async function ask(change = {}) {
  const question = {
    exchange: randomUUID(),
    requester: { issuer: "https://idp.example", subject: "u-eli", name: "Eli Engineer", email: "eli@corp.example", roles: ["engineer"] },
    operations: [{ operation: "threads.create_run", class: "execute", graph: "billing", thread: "01a20302-2b19-7586-827f-8a80cbc7f389" }],
    rule: "production writes need a manager",
    policy: "ab".repeat(32),
    digest: randomUUID().replaceAll("-", "").padEnd(64, "0"),
    gateway: "gate-1",
    ...change,
    asks: { approvers: ["role:manager"], quorum: 1, valid_seconds: 600, expires_seconds: 3600, ...change.asks },
    preview: { method: "POST", path: "/threads/t-1/runs", body: '{"assistant_id":"billing","input":{"amount":12,"note":"to [EMAIL]"}}', truncated: false, ...change.preview },
  };
  const answer = await fetch(desk("/v1/approvals"), {
    method: "POST",
    headers: { authorization: `Bearer ${facts.gateway}`, "content-type": "application/json" },
    body: JSON.stringify(question),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).id;
}

/** Decides by the API, as somebody at a terminal does. */
async function decide(id, decision, token = facts.manager) {
  const answer = await fetch(desk(`/v1/approvals/${id}/decisions`), {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ decision }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

const card = (page, id) => page.locator(`a.card[href="/approvals/${id}"]`);

/** Presses Tab until what has the focus fits. */
async function tabTo(page, fits, what) {
  for (let pressed = 0; pressed < 60; pressed++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(fits)) return;
  }
  assert.fail(`no Tab leads to ${what}`);
}

test("a stranger is asked to sign in, and comes back to the request", async () => {
  const id = await ask();
  const page = await stranger();
  await page.goto(desk("/"));
  await page.getByRole("link", { name: "Sign in" }).waitFor();
  await look(page, "welcome");
  await page.goto(desk(`/approvals/${id}`));
  await page.getByRole("link", { name: "manager" }).click();
  await page.waitForURL(desk(`/approvals/${id}`));
  await decide(id, "deny");
});

test("the list shows what comes and goes by itself, and how much waits", async () => {
  const page = await signedIn("manager");
  await page.goto(desk("/"));
  await page.getByText("Nothing waits for you.").waitFor();
  await look(page, "waiting-none");
  const id = await ask();
  await card(page, id).waitFor();
  await page.locator("[data-count]").getByText("1", { exact: true }).waitFor();
  assert.match(await page.title(), /^\(1\) /);
  const others = await ask({ rule: "security has to agree", asks: { approvers: ["role:security"] } });
  await card(page, others).waitFor();
  await page.getByRole("heading", { name: "Waiting for others" }).waitFor();
  await card(page, id).focus();
  const third = await ask({ asks: { quorum: 2 } });
  await card(page, third).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), `/approvals/${id}`, "the focus is lost");
  await look(page, "waiting");
  await decide(id, "approve");
  await card(page, id).waitFor({ state: "detached" });
});

test("a request says who, what, why and since when, with its payload masked and laid out", async () => {
  const id = await ask({ preview: { body: `{"assistant_id":"billing","input":{"note":"to [EMAIL]","lines":[1,2,{"deep":true}],"long":"${"a word ".repeat(60)}"}}` } });
  const page = await signedIn("manager");
  await page.goto(desk(`/approvals/${id}`));
  await page.getByRole("heading", { level: 1, name: "Run the graph billing" }).waitFor();
  const text = await page.locator("main").innerText();
  for (const part of ["Eli Engineer", "eli@corp.example", "engineer", "production writes need a manager", "threads.create_run", "execute", "gate-1"]) {
    assert.ok(text.includes(part) || (await page.locator("details").innerHTML()).includes(part), `${part} is not shown`);
  }
  assert.ok((await page.locator("pre.payload").innerText()).includes('\n  "input": {\n'), "the payload is not laid out");
  assert.ok(await page.locator("pre.payload mark").count(), "what was masked is not marked");
  await page.getByRole("heading", { name: "Asked before by the same person" }).waitFor();
  await look(page, "request");
  const refund = await ask({ preview: { body: '{"assistant_id":"billing","input":{"customer_id":"c-1001","amount":240,"note":"refund to [EMAIL], card [PAYMENT_CARD]"}}' } });
  const other = await signedIn("manager");
  await other.goto(desk(`/approvals/${refund}`));
  await other.getByRole("button", { name: "Approve" }).waitFor();
  await picture(other, "approver");
  await decide(refund, "deny");
  await decide(id, "deny");
  await page.getByText("Denied. The request was not carried out.").waitFor();
  await page.getByRole("button", { name: "Approve" }).waitFor({ state: "detached" });
});

test("a decision can be taken with the keyboard alone", async () => {
  const id = await ask();
  const page = await signedIn("manager");
  await page.goto(desk("/"));
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  await tabTo(page, () => document.activeElement.matches("a.card"), "a card");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(outline, "none", "the focus cannot be seen");
  while ((await page.evaluate(() => document.activeElement.getAttribute("href"))) !== `/approvals/${id}`) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL(desk(`/approvals/${id}`));
  await tabTo(page, () => document.activeElement.id === "comment", "the comment");
  await page.keyboard.type("fine by me");
  await tabTo(page, () => document.activeElement.textContent === "Approve", "Approve");
  await page.keyboard.press("Enter");
  await page.getByText("Approved. The same request can go through once").waitFor();
  await page.getByText("fine by me").waitFor();
});

test("a decision of others arrives while one reads, and what one wrote is not lost by it", async () => {
  const id = await ask({ asks: { quorum: 2 } });
  const page = await signedIn("manager");
  await page.goto(desk(`/approvals/${id}`));
  await page.getByLabel("Comment").fill("half a thought");
  await decide(id, "approve", facts.second);
  await page.getByText("1 of 2 people have agreed.").waitFor();
  assert.equal(await page.getByLabel("Comment").inputValue(), "half a thought");
  await look(page, "request-quorum");
  await page.getByRole("button", { name: "Deny" }).click();
  await page.getByText("Denied. The request was not carried out.").waitFor();
  // Elsewhere it is told with what was agreed to before it ended.
  await page.goto(desk(`/approvals/${await ask()}`));
  await card(page, id).getByText("1 of 2 agreed").waitFor();
});

test("who sends twice, late, or a form of their own making is told so, and nothing changes", async ({ expects }) => {
  expects(/40[0-9]/);
  expects(/fragments/);
  const id = await ask();
  const [one, two] = [await signedIn("manager"), await signedIn("manager")];
  await one.goto(desk(`/approvals/${id}`));
  // The second tab is not told of anything meanwhile.
  await two.route("**/fragments/**", (route) => route.abort());
  await two.goto(desk(`/approvals/${id}`));
  await one.getByRole("button", { name: "Approve" }).click();
  await one.getByText("Approved. The same request").waitFor();
  await two.getByRole("button", { name: "Deny" }).click();
  await two.getByRole("alert").getByText("your first decision stands").waitFor();
  await look(two, "request-refused");

  const late = await ask({ asks: { expires_seconds: 2 } });
  await two.goto(desk(`/approvals/${late}`));
  await two.getByLabel("Comment").fill("in time?");
  await two.waitForTimeout(2500);
  await two.getByRole("button", { name: "Approve" }).click();
  await two.getByRole("alert").getByText("This request is expired already").waitFor();

  const tampered = await ask();
  await one.goto(desk(`/approvals/${tampered}`));
  await one.evaluate(() => (document.querySelector(".decide input[name=csrf]").value = "another"));
  await one.getByRole("button", { name: "Approve" }).click();
  await one.getByText("The form has expired or did not come from this page").waitFor();
  await look(one, "error");
  await one.goto(desk(`/approvals/${tampered}`));
  await one.getByText("Nobody has decided yet.").waitFor();

  await one.goto(desk("/approvals/none"));
  await one.getByText("There is no such approval.").waitFor();
  const other = await signedIn("analyst");
  await two.close();
  await other.goto(desk(`/approvals/${tampered}`));
  await other.getByText("Only the role manager may decide about this request").waitFor();
  assert.equal(await other.getByRole("button", { name: "Approve" }).count(), 0);
});

test("one click is one decision, however often it is clicked", async () => {
  const id = await ask();
  const page = await signedIn("manager");
  await page.goto(desk(`/approvals/${id}`));
  await page.getByRole("button", { name: "Approve" }).dblclick();
  await page.getByText("Approved. The same request").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await page.locator(".decisions li").count(), 1);
});

test("what approvers could not see is said, and what is no single request looks like it", async () => {
  const page = await signedIn("manager");
  const cut = await ask({ preview: { truncated: true, body: '{"assistant_id":"billing","input":"the beginn' } });
  await page.goto(desk(`/approvals/${cut}`));
  await page.getByText("You would approve more than you can see.").waitFor();
  await look(page, "request-cut");
  const standing = await ask({ asks: { grant_seconds: 3600 } });
  await page.goto(desk(`/approvals/${standing}`));
  await page.getByText("Standing grant, not one request.").waitFor();
  await look(page, "request-standing");
  await page.getByRole("button", { name: "Grant" }).click();
  await page.getByText("Granted. It ends in").waitFor();
  await page.getByRole("button", { name: "Take the grant back" }).click();
  await page.getByText("Taken back. No further request goes through.").waitFor();
  const past = await ask({ asks: { break_glass: { reason: "the customer is locked out <b>now</b>" } } });
  await page.goto(desk("/reviews"));
  await look(page, "reviews");
  await card(page, past).click();
  await page.getByText("the customer is locked out <b>now</b>").waitFor();
  await look(page, "request-break-glass");
  await page.getByLabel("Comment").fill("checked with support");
  await page.getByRole("button", { name: "Accept" }).click();
  await page.getByText("Went past approvers, and was reviewed.").waitFor();
});

test("what callers write is shown as the text that it is", async () => {
  const hostile = '<img src=x onerror=alert(1)>"\'><script>alert(1)</script>';
  const id = await ask({
    rule: hostile,
    gateway: hostile,
    requester: { issuer: "https://idp.example", subject: hostile, name: hostile, email: hostile, roles: [hostile] },
    operations: [{ operation: hostile, class: hostile, graph: hostile, thread: hostile }],
    preview: { body: hostile, path: hostile },
  });
  const page = await signedIn("manager");
  page.on("dialog", () => assert.fail("a script ran"));
  for (const path of ["/", `/approvals/${id}`, "/history"]) {
    await page.goto(desk(path));
    await page.getByText(hostile).first().waitFor();
    assert.equal(await page.locator("main img, main script").count(), 0, path);
  }
  await look(page, "history-hostile");
  await decide(id, "deny");
});

test("the history is found by words, status, kind and day", async () => {
  const page = await signedIn("manager");
  const id = await ask({ rule: "a rule of its own kind" });
  await page.goto(desk("/history"));
  await page.getByLabel("Search").fill("OF ITS OWN");
  await page.keyboard.press("Enter");
  await card(page, id).waitFor();
  assert.equal(await page.locator("a.card").count(), 1);
  await page.getByLabel("Status").selectOption("denied");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByText("Nothing found.").waitFor();
  await look(page, "history-none");
  await page.goto(desk("/history?kind=break_glass"));
  assert.equal(await page.locator("a.card").count(), 1);
  await page.goto(desk("/history?to=2020-01-01"));
  await page.getByText("Nothing found.").waitFor();
  await page.goto(desk("/history"));
  await look(page, "history");
  await decide(id, "deny");
});

test("dead letters are seen and sent again", async () => {
  const page = await signedIn("manager");
  await page.goto(desk("/notifications"));
  await page.getByText("it answered 410 Gone").first().waitFor();
  await look(page, "notifications");
  const before = await page.getByRole("button", { name: /Send again/ }).count();
  await page.getByRole("button", { name: /Send again/ }).first().click();
  await page.waitForLoadState();
  assert.ok(before >= 1);
});

test("without scripts everything can still be read and decided", async () => {
  const id = await ask();
  const page = await stranger({ javaScriptEnabled: false });
  await page.goto(desk(`/approvals/${id}`));
  await page.getByRole("link", { name: "manager" }).click();
  await page.getByLabel("Comment").fill("no script");
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByText("Approved. The same request").waitFor();
});

test("nothing comes from elsewhere, and nothing inline runs", async () => {
  const id = await ask();
  const page = await signedIn("manager");
  const elsewhere = [];
  page.on("request", (request) => request.url().startsWith(facts.desk) || elsewhere.push(request.url()));
  for (const path of ["/", `/approvals/${id}`, "/history", "/reviews", "/notifications"]) {
    const answer = await page.goto(desk(path));
    const policy = answer.headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|data:/);
    assert.equal(await page.locator("[style], [onclick], script:not([src])").count(), 0, path);
  }
  assert.deepEqual(elsewhere, []);
  await decide(id, "deny");
});
