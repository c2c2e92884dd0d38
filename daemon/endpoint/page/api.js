// SPDX-License-Identifier: MIT
// What the page asks the endpoint.

async function get(path, parameters, signal) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters || {})) {
    if (value !== '' && value !== undefined) query.append(key, value);
  }
  const text = query.toString();
  let answer;
  try {
    answer = await fetch(text ? `${path}?${text}` : path, { signal });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The endpoint does not answer. Is `aistrace endpoint` still running?');
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.errors?.[0]?.msg || body.message || `The endpoint says ${answer.status}.`);
  }
  return answer;
}

export const stats = async () => (await get('/v1/stats')).json();
export const services = async () => (await (await get('/api/services')).json()).data;
export const operations = async (service) => service
  ? (await (await get(`/api/services/${encodeURIComponent(service)}/operations`)).json()).data : [];
export const summaries = async (parameters, signal) => (await (await get('/v1/summaries', parameters, signal)).json()).traces;

// One trace as OTLP/JSON, or null.
export async function trace(id, signal) {
  const text = await (await get('/v1/traces', { trace: id }, signal)).text();
  return text.trim() ? JSON.parse(text) : null;
}
