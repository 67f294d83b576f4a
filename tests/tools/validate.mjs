// Checks YAML from standard input against published schemas and prints it as JSON: an array of documents.
//   node validate.mjs kubernetes|compose|plain < FILE      exit code 1 and a line per fault when something is wrong
//   node validate.mjs promql < FILE                        a JSON array of PromQL expressions; prints the metrics they name
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Where ./test installs them.
const installed = new URL("../../artifacts/tools/", import.meta.url);
const require = createRequire(installed);
const { parseAllDocuments } = require("yaml");
const [kind] = process.argv.slice(2);
if (kind === "promql") {
  promql(JSON.parse(readFileSync(0, "utf8")));
  process.exit();
}
const documents = parseAllDocuments(readFileSync(0, "utf8"), { merge: true, strict: true, uniqueKeys: true });
const faults = documents.flatMap((d) => d.errors.map((e) => e.message));
const values = faults.length === 0 ? documents.map((d) => d.toJS()) : [];

if (kind === "kubernetes") for (const value of values) faults.push(...kubernetes(value));
else if (kind === "compose") for (const value of values) faults.push(...compose(value));
else if (kind !== "plain") faults.push(`unknown kind ${kind}`);

if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log(JSON.stringify(values));

// The package's schemas, made from the Kubernetes API's own description, are compiled: each reads the properties it knows, and no others. What a
// document has and nobody read is a property that Kubernetes does not have; a server would drop it, or refuse it.
function kubernetes(value) {
  const name = `${value?.kind} ${value?.metadata?.name}`;
  let validate;
  try {
    // By path: the package offers its models alone, which copy what they are given.
    ({ validate } = require(`./node_modules/kubernetes-models/_schemas/${schemaOf(value)}.js`));
  } catch (e) {
    return [`${name}: no schema for ${value?.apiVersion} ${value?.kind} (${e.message})`];
  }
  const { watched, unread } = watch(value);
  validate(watched);
  const wrong = (validate.errors ?? []).map((e) => `${name}: ${e.instancePath || "/"} ${e.keyword} ${JSON.stringify(e.params)}`);
  return [...wrong, ...unread().map((path) => `${name}: ${path} is unknown`)];
}

function schemaOf({ apiVersion, kind }) {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["core", apiVersion];
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  return `IoK8sApi${capital(group.split(".")[0])}${capital(version)}${kind}`;
}

function watch(value) {
  const objects = [];
  const wrap = (inner, path) => {
    if (inner === null || typeof inner !== "object") return inner;
    const isArray = Array.isArray(inner);
    const children = isArray ? [] : {};
    for (const [key, child] of Object.entries(inner)) children[key] = wrap(child, `${path}/${key}`);
    if (isArray) return children;
    const read = new Set();
    objects.push({ path, keys: Object.keys(inner), read });
    return new Proxy(children, {
      get: (target, key) => (read.add(key), target[key]),
      // A map of free keys (labels, limits, data) is walked as a whole.
      ownKeys: (target) => (Object.keys(target).forEach((key) => read.add(key)), Reflect.ownKeys(target)),
    });
  };
  const watched = wrap(value, "");
  return {
    watched,
    unread: () => {
      const paths = new Set(objects.flatMap(({ path, keys, read }) => keys.filter((key) => !read.has(key)).map((key) => `${path}/${key}`)));
      // What is below an unknown property need not be named too.
      return [...paths].filter((path) => ![...paths].some((above) => path.startsWith(`${above}/`)));
    },
  };
}

function compose(value) {
  const { default: Ajv } = require("ajv");
  const ajv = new Ajv({ strict: false, allErrors: true });
  // The specification's own, which is Go's: 1m30s.
  ajv.addFormat("duration", /^(\d+(us|ms|s|m|h))+$/);
  ajv.addFormat("ports", true).addFormat("expose", true).addFormat("subnet_ip_address", true);
  // Its address of the draft is one that no validator knows; it is draft 7, the default.
  const { $schema, ...schema } = JSON.parse(readFileSync(new URL("./node_modules/dclint/schemas/compose.schema.json", installed)));
  const validate = ajv.compile(schema);
  return validate(value) ? [] : validate.errors.map((e) => `${e.instancePath || "/"} ${e.message} ${JSON.stringify(e.params)}`);
}

// By the grammar that Prometheus' own editor uses.
function promql(expressions) {
  const { parser } = require("@prometheus-io/lezer-promql");
  const metrics = new Set();
  let failed = false;
  for (const expression of expressions)
    parser.parse(expression).iterate({
      enter: (node) => {
        if (node.type.isError) {
          failed = true;
          console.error(`${expression}: not PromQL at character ${node.from}`);
        } else if (node.name === "VectorSelector") {
          const name = node.node.getChild("Identifier");
          if (name) metrics.add(expression.slice(name.from, name.to));
        }
      },
    });
  if (failed) process.exit(1);
  console.log(JSON.stringify([...metrics]));
}
