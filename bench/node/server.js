// The same work by a thin handler on Node: fastify, ioredis, undici. It checks nothing, logs nothing, counts nothing and
// proves nothing. `node server.js STORE VENDOR SLOW_VENDOR` prints its port.
import Fastify from "fastify";
import { Redis } from "ioredis";
import { Pool } from "undici";

const [storePort, ...vendorPorts] = process.argv.slice(2).map(Number);
const store = new Redis({ port: storePort, host: "127.0.0.1", enableAutoPipelining: true });
const vendors = vendorPorts.map((port) => new Pool(`http://127.0.0.1:${port}`, { connections: 100, pipelining: 1 }));

// As bench/asks.py has them.
const STATE = JSON.stringify({ hold: { client: "crm", name: "default", parties: 3 }, filler: "s".repeat(620) });
const ENTRY = JSON.stringify({ type: "mute_intended", client: "crm", action: "mute", filler: "e".repeat(460) });
const STOP = JSON.stringify({ action: "StopRecording", phoneCallViewId: "01" });
const JSON_HEADERS = { "content-type": "application/json", authorization: "Bearer bench" };
const FORM_HEADERS = { "content-type": "application/x-www-form-urlencoded" };
const [SLOW, READBACK] = ["bs", "rs"];

function link(call, revision) {
  const hex = Buffer.from(call).toString("hex").padStart(56, "0");
  return (revision.toString(16).padStart(8, "0") + hex).slice(0, 64);
}

function step(call, revision) {
  const keys = [`{thin}:call:acme:${call}`, `{thin}:entries:${call}`, "{thin}:audit", "{thin}:seq", "{thin}:due"];
  const before = revision > 1 ? link(call, revision - 1) : "";
  const words = [`${call}.${revision}`, revision - 1, before, revision];
  return store.fcall("rgw_v2_commit", 5, ...keys, ...words, STATE, ENTRY, link(call, revision), "4102444800000", "");
}

async function answered(vendor, call) {
  const path = `/uapi/phoneCalls/@me/8856/${call}`;
  const { body } = await vendor.request({ method: "PUT", path, headers: JSON_HEADERS, body: STOP });
  return (await body.json()).phoneCallView[0].recording === undefined;
}

async function asked(vendor, call) {
  const form = (fields) => new URLSearchParams({ apiKey: "bench", callID: call, ...fields }).toString();
  const common = { method: "POST", path: "/verba/api?action=MuteRecording", headers: FORM_HEADERS };
  await (await vendor.request({ ...common, body: form({ mute: "3" }) })).body.text();
  const said = await (await vendor.request({ ...common, body: form({}) })).body.text();
  return said.includes('callerMuted="true" calledMuted="true"');
}

const app = Fastify({ logger: false });
app.put("/v1/calls/:call/redaction", async (request, reply) => {
  const { call } = request.params;
  const vendor = vendors[Number(SLOW.includes(call[0]))];
  await step(call, 1);
  const muted = await (READBACK.includes(call[0]) ? asked : answered)(vendor, call);
  await step(call, 2);
  return reply.code(muted ? 200 : 504).send({ call_id: call, protected: muted });
});
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(app.server.address().port);
