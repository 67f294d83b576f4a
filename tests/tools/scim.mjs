// Answers for our SCIM with libraries that others wrote: scim2-parse-filter evaluates filters, scim-patch applies patches.
//   node scim.mjs < {"resources": […], "filters": ["…"], "patches": [{"resource": {…}, "operations": […]}]}
// Prints {"filters": [["id", …] or null for one that it cannot read, …], "patches": [{…} or null for one that it refuses, …]}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Where ./test installs them.
const require = createRequire(new URL("../../artifacts/tools/", import.meta.url));
const { Tester, parse } = require("scim2-parse-filter");
const { scimPatch } = require("scim-patch");
const { resources, filters, patches } = JSON.parse(readFileSync(0, "utf8"));

// The library asks emails[a and b] of all e-mails together; RFC 7644, 3.4.2.2 wants one of them to fit both.
class Elements extends Tester {
  test(r, f) {
    return Array.isArray(r) ? r.some((element) => super.test(element, f)) : super.test(r, f);
  }
}
const tester = new Elements();

function attempt(work) {
  try {
    return work();
  } catch {
    return null;
  }
}

console.log(JSON.stringify({
  filters: filters.map((text) => attempt(() => resources.filter((r) => tester.test(r, parse(text))).map((r) => r.id))),
  patches: patches.map(({ resource, operations }) => attempt(() => scimPatch(structuredClone(resource), operations, { mutateDocument: false }))),
}));
