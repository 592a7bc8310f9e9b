// Why this file exists: the page at /openapi/ui: reads /openapi, lists the operations, and sends
// what the visitor fills in. Plain script without a library, so that the page works where nothing
// but the node can be reached. Everything from outside is put into the page as text, never as HTML.
#include "wire/rest/documents.h"

namespace capstan::wire::rest {

namespace {

constexpr std::string_view kPage = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Node operations</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1.5rem 0 .3rem; }
input, textarea, button { font: inherit; padding: .25rem .4rem; box-sizing: border-box; }
#search { width: 100%; }
details { border: 1px solid #8886; border-radius: .3rem; margin: .25rem 0; padding: .3rem .6rem; }
summary { cursor: pointer; }
summary b { display: inline-block; width: 4.5rem; }
code, pre, textarea { font-family: ui-monospace, monospace; font-size: .9rem; }
label { display: grid; grid-template-columns: 14rem 1fr; gap: .5rem; margin: .25rem 0; }
textarea { width: 100%; height: 7rem; }
pre { background: #8882; padding: .5rem; overflow: auto; max-height: 24rem; white-space: pre-wrap; }
.dim { opacity: .7; }
</style></head><body>
<h1 id="title">Operations</h1>
<input id="search" placeholder="Search paths and descriptions" aria-label="Search">
<div id="list">Loading…</div>
<script>
"use strict";
const make = (tag, text, parent) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
};
const root = location.pathname.replace(/\/openapi\/ui\/*$/, "");
let spec = {};
const resolve = (schema) => schema && schema.$ref
  ? schema.$ref.slice(2).split("/").reduce((at, name) => at && at[name], spec) : schema;
function example(schema, depth) {
  schema = resolve(schema) || {};
  if (schema.enum) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object" && depth < 4) {
    const out = {};
    for (const [name, part] of Object.entries(schema.properties || {})) {
      out[name] = example(part, depth + 1);
    }
    return out;
  }
  if (type === "array") return [];
  return { integer: 0, number: 0, boolean: false, object: {}, string: "" }[type] ?? "";
}
async function show(response, output) {
  output.textContent = response.status + " " + response.statusText + "\n";
  const reader = response.body && response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    output.textContent = response.status + " " + response.statusText + "\n" + text.slice(-100000);
  }
  try {
    const pretty = JSON.stringify(JSON.parse(text), null, 2);
    output.textContent = response.status + " " + response.statusText + "\n" + pretty;
  } catch { /* shown as it came */ }
}
function form(path, method, operation, parent) {
  const inputs = [];
  for (const parameter of operation.parameters || []) {
    const label = make("label", undefined, parent);
    make("span", parameter.name + (parameter.required ? " *" : ""), label);
    const input = make("input", undefined, label);
    input.placeholder = parameter.description || parameter.in;
    inputs.push({ parameter, input });
  }
  let body;
  const content = operation.requestBody && operation.requestBody.content;
  if (content) {
    body = make("textarea", undefined, parent);
    body.setAttribute("aria-label", "Body");
    const json = content["application/json"];
    if (json) body.value = JSON.stringify(example(json.schema, 0), null, 2);
  }
  const send = make("button", "Send", parent);
  const stop = make("button", "Stop", parent);
  stop.hidden = true;
  const output = make("pre", "", parent);
  let running;
  stop.onclick = () => running && running.abort();
  send.onclick = async () => {
    let url = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") {
        url = url.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
      } else if (parameter.in === "query" && input.value !== "") {
        query.append(parameter.name, input.value);
      }
    }
    const options = { method: method.toUpperCase(), headers: {} };
    if (body) {
      options.body = body.value;
      options.headers["content-type"] =
        content["application/json"] ? "application/json" : "application/octet-stream";
    }
    running = new AbortController();
    options.signal = running.signal;
    stop.hidden = false;
    try {
      const asked = query.toString();
      await show(await fetch(root + url + (asked ? "?" + asked : ""), options), output);
    } catch (error) {
      output.textContent += "\n" + error;
    }
    stop.hidden = true;
  };
}
function render(filter) {
  const list = document.getElementById("list");
  list.textContent = "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(spec.paths || {})) {
    for (const [method, operation] of Object.entries(methods)) {
      const text = (method + " " + path + " " + (operation.summary || "") + " " +
        (operation.description || "")).toLowerCase();
      if (!text.includes(filter)) continue;
      const tag = (operation.tags || [path.split("/")[1]])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([path, method, operation]);
    }
  }
  for (const [tag, entries] of groups) {
    make("h2", tag, list);
    for (const [path, method, operation] of entries) {
      const details = make("details", undefined, list);
      const summary = make("summary", undefined, details);
      make("b", method.toUpperCase(), summary);
      make("code", path, summary);
      make("span", "  " + (operation.summary || ""), summary).className = "dim";
      details.ontoggle = () => {
        if (!details.open || details.dataset.built) return;
        details.dataset.built = "1";
        if (operation.description) make("p", operation.description, details);
        form(path, method, operation, details);
      };
    }
  }
  if (!groups.size) list.textContent = "Nothing matches.";
}
fetch(root + "/openapi").then((answer) => answer.json()).then((read) => {
  spec = read;
  document.getElementById("title").textContent = spec.info.title + " " + spec.info.version;
  render("");
  document.getElementById("search").oninput =
    (event) => render(event.target.value.toLowerCase());
}).catch((error) => { document.getElementById("list").textContent = String(error); });
</script></body></html>
)html";

}  // namespace

std::string_view try_page() {
  return kPage;
}

}  // namespace capstan::wire::rest
