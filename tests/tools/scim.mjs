// Answers for our SCIM with libraries that others wrote: scim2-parse-filter evaluates filters, scim-patch applies patches.
//   node scim.mjs < {"resources": […], "filters": ["…"], "patches": [{"resource": {…}, "operations": […]}]}
// Prints {"filters": [["id", …] or null for one that it cannot read, …], "patches": [{…} or null for one that it refuses, …]}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Where ./test installs them.
const require = createRequire(new URL("../../artifacts/tools/", import.meta.url));
const { filter, parse } = require("scim2-parse-filter");
const { scimPatch } = require("scim-patch");
const { resources, filters, patches } = JSON.parse(readFileSync(0, "utf8"));

function attempt(work) {
  try {
    return work();
  } catch {
    return null;
  }
}

console.log(JSON.stringify({
  filters: filters.map((text) => attempt(() => resources.filter(filter(parse(text))).map((r) => r.id))),
  patches: patches.map(({ resource, operations }) => attempt(() => scimPatch(structuredClone(resource), operations, { mutateDocument: false }))),
}));
