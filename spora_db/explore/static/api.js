// Asking the server: the token comes in the fragment of the address, is kept for this tab, and never stays in the address.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let token = "";

export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) sessionStorage.setItem("spora-db", given);
  token = given || sessionStorage.getItem("spora-db") || "";
  return token !== "";
}

// how a request is sent: to the server, or in a notebook to the kernel
let send = (method, path, body, signal) => fetch(path, { method, headers: { Authorization: `Bearer ${token}` }, body, signal }).catch((error) => {
  if (error.name === "AbortError") throw error;
  throw new Refused(0, "The server does not answer. Is spora-db explore still running?");
});
export const sendOver = (other) => void (send = other);

async function ask(method, path, body, signal) {
  const answer = await send(method, path, body === undefined ? undefined : JSON.stringify(body), signal);
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  throw new Refused(answer.status, told.error);
}

export const get = async (path, signal) => (await ask("GET", path, undefined, signal)).json();
export const post = async (path, body, signal) => (await ask("POST", path, body, signal)).json();
export const drop = async (path) => void (await ask("DELETE", path));
export const bytes = async (path, body, signal) => (await ask(body ? "POST" : "GET", path, body, signal)).arrayBuffer();

// what an answer of numbers begins with, in JSON after its length, and where the numbers begin
export function headed(content) {
  const length = new DataView(content).getUint32(0, true);
  return { head: JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, length))), start: 4 + length };
}

// planes of a piece of an image, each as float32
export async function planes(path, signal) {
  const answer = await ask("GET", path, undefined, signal);
  const [count, height, width] = answer.headers.get("X-Shape").split(",").map(Number);
  const kind = KINDS[answer.headers.get("X-Dtype")];
  const values = new kind(await answer.arrayBuffer());
  const all = values instanceof Float32Array ? values : Float32Array.from(values, Number);
  const size = height * width;
  return { height, width, planes: Array.from({ length: count }, (_, k) => all.subarray(k * size, (k + 1) * size)) };
}

const KINDS = {
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array, int8: Int8Array,
  int16: Int16Array, int32: Int32Array, int64: BigInt64Array, float32: Float32Array, float64: Float64Array,
};
