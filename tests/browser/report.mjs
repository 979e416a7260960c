// The auditor's report as it lies in an export, opened from the disk; `tests/e2e/tests/auditor.rs` makes the export.
import { assert, facts, look, picture, stranger, test } from "./harness.mjs";

test("the report is read from the disk, in every dress, and asks for nothing", async () => {
  const page = await stranger();
  const asked = [];
  page.on("request", (request) => {
    if (!/^(file|data):/.test(request.url())) asked.push(request.url());
  });
  await page.goto(facts.desk);
  await page.getByText("Annex A").first().waitFor();
  await look(page, "report");
  await picture(page, "report");
  assert.deepEqual(asked, []);
});
