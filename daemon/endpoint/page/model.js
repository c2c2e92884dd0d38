// SPDX-License-Identifier: MIT
// A trace from OTLP/JSON: spans in the order of the tree, whatever strangers sent. Times are ns since the trace began.

function plain(value) {
  if (!value || typeof value !== 'object') return '';
  if ('stringValue' in value) return value.stringValue;
  if ('arrayValue' in value) return (value.arrayValue.values || []).map(plain);
  if ('kvlistValue' in value) {
    return Object.fromEntries((value.kvlistValue.values || []).map((pair) => [pair.key ?? '', plain(pair.value)]));
  }
  if ('intValue' in value) {
    const integer = Number(value.intValue);
    return Number.isSafeInteger(integer) ? integer : value.intValue;
  }
  if ('boolValue' in value) return value.boolValue;
  if ('doubleValue' in value) return value.doubleValue;
  if ('bytesValue' in value) return `base64:${value.bytesValue}`;
  return '';
}

export function text(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const pairs = (list) => (list || []).map((pair) => [pair.key ?? '', plain(pair.value)]);

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];

function collect(json) {
  const spans = [];
  for (const { resource, scopeSpans } of json.resourceSpans || []) {
    const process = pairs(resource?.attributes);
    const service = text(process.find(([key]) => key === 'service.name')?.[1] ?? '');
    for (const { scope, spans: list } of scopeSpans || []) {
      for (const raw of list || []) {
        spans.push({
          id: raw.spanId, traceId: raw.traceId, parentId: raw.parentSpanId || '', name: raw.name || '', service, process, scope,
          kind: KINDS[raw.kind] || '', error: raw.status?.code === 2, ok: raw.status?.code === 1,
          message: raw.status?.message || '', state: raw.traceState || '',
          startNs: BigInt(raw.startTimeUnixNano || 0), endNs: BigInt(raw.endTimeUnixNano || 0),
          attributes: pairs(raw.attributes), rawEvents: raw.events || [],
          links: (raw.links || []).map((link) => ({ traceId: link.traceId || '', spanId: link.spanId || '', attributes: pairs(link.attributes) })),
          dropped: [[raw.droppedAttributesCount, 'attribute'], [raw.droppedEventsCount, 'event'], [raw.droppedLinksCount, 'link']],
          children: [], depth: 0, orphan: false,
        });
      }
    }
  }
  return spans;
}

// Depth first, without recursion; spans whose parents form a circle begin where the circle is met first.
function arrange(spans) {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const order = [];
  const seen = new Set();
  const roots = [];
  const sorted = [...spans].sort((a, b) => a.start - b.start || b.duration - a.duration);
  for (const span of sorted) {
    const parent = span.parentId && span.parentId !== span.id ? byId.get(span.parentId) : undefined;
    span.orphan = span.parentId !== '' && !parent;
    if (parent) parent.children.push(span);
    else roots.push(span);
  }
  const walk = (root) => {
    const stack = [root];
    root.depth = 0;
    while (stack.length) {
      const span = stack.pop();
      if (seen.has(span)) continue;
      seen.add(span);
      span.index = order.length;
      order.push(span);
      span.children = span.children.filter((child) => !seen.has(child));
      for (let i = span.children.length - 1; i >= 0; i--) {
        const child = span.children[i];
        child.depth = span.depth + 1;
        child.parent = span;
        stack.push(child);
      }
    }
  };
  roots.forEach(walk);
  for (const span of sorted) {
    if (!seen.has(span)) {
      span.orphan = true;
      span.parent = undefined;
      roots.push(span);
      walk(span);
    }
  }
  for (let i = order.length - 1; i >= 0; i--) {
    order[i].below = order[i].children.reduce((sum, child) => sum + 1 + child.below, 0);
    order[i].errorBelow = order[i].children.some((child) => child.error || child.errorBelow);
  }
  return { order, roots };
}

// Time in which no child was running.
function selfTime(span) {
  let covered = 0;
  let until = span.start;
  for (const child of span.children) { /* sorted by start */
    const from = Math.max(child.start, until);
    const to = Math.min(child.start + child.duration, span.start + span.duration);
    if (to > from) covered += to - from;
    until = Math.max(until, to);
  }
  return span.duration - covered;
}

export function build(json) {
  const spans = collect(json);
  if (!spans.length) return null;
  let start = spans[0].startNs;
  let end = spans[0].endNs;
  for (const span of spans) {
    if (span.startNs < start) start = span.startNs;
    if (span.endNs > end) end = span.endNs;
  }
  for (const span of spans) {
    span.start = Number(span.startNs - start);
    span.duration = Number(span.endNs - span.startNs);
    span.events = span.rawEvents.map((event) => ({
      at: Number(BigInt(event.timeUnixNano || 0) - start), name: event.name || '', attributes: pairs(event.attributes) }));
  }
  const { order, roots } = arrange(spans);
  for (const span of order) span.self = selfTime(span);
  const services = new Map();
  for (const span of order) services.set(span.service, (services.get(span.service) || 0) + 1);
  return {
    id: spans[0].traceId, startNs: start, duration: Number(end - start), spans: order, roots, services,
    errors: order.filter((span) => span.error).length,
    depth: order.reduce((most, span) => Math.max(most, span.depth + 1), 0),
    byId: new Map(order.map((span) => [span.id, span])),
  };
}
