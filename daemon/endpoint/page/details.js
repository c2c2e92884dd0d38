// SPDX-License-Identifier: MIT
// All that is known of one span.
import { el } from './dom.js';
import { duration, hue, plural, serviceName, time } from './format.js';
import { text } from './model.js';

const CLIP = 2000; // characters of a value shown at first

function valueOf(value) {
  const whole = text(value);
  const kind = typeof value === 'number' || typeof value === 'boolean' ? 'value literal' : 'value';
  if (whole.length <= CLIP) return el('td', { class: kind }, el('bdi', {}, whole));
  const cell = el('td', { class: kind }, el('bdi', {}, `${whole.slice(0, CLIP)}…`), ' ',
    el('button', { class: 'quiet', type: 'button', onclick: () => cell.replaceChildren(el('bdi', {}, whole)) },
      `all ${plural(whole.length, 'character')}`));
  return cell;
}

// A key may break behind its dots.
const breakable = (key) => key.split(/(?<=[._])/).flatMap((part) => [part, el('wbr')]);

function table(rows) {
  return el('table', {}, el('tbody', {}, rows.map(([key, value]) =>
    el('tr', {}, el('th', { scope: 'row' }, el('bdi', {}, breakable(key))), valueOf(value)))));
}

function section(title, count, open, ...content) {
  return el('details', { open }, el('summary', {}, title, count === null ? null : el('span', { class: 'badge' }, String(count))), content);
}

export function detailsOf(span, trace, select, close) {
  const when = `+${duration(span.start)}`;
  const dropped = span.dropped.filter(([count]) => count > 0).map(([count, what]) => plural(count, what)).join(', ');
  const facts = [['Service', serviceName(span.service)], ['Start', `${when} (${time(span.startNs)})`],
    ['Duration', duration(span.duration)], ['Self time', duration(span.self)], ['Kind', span.kind || 'unspecified'],
    ['Status', span.error ? `ERROR${span.message ? `: ${span.message}` : ''}` : span.ok ? 'OK' : 'unset'], ['Span id', span.id]];
  if (span.state) facts.push(['Trace state', span.state]);
  const parent = span.parentId ? el('p', { class: 'parent' }, 'Parent ',
    span.parent ? el('button', { class: 'quiet link', type: 'button', onclick: () => select(span.parent) }, el('bdi', {}, span.parent.name || span.parentId))
      : el('span', { class: 'muted' }, `${span.parentId}, which is not here`)) : null;
  const scope = [['name', span.scope?.name], ['version', span.scope?.version]].filter(([, value]) => value);
  return [
    el('div', { class: 'details-head', style: { '--hue': hue(span.service) } }, el('i', { class: 'dot' }), el('h2', {}, el('bdi', {}, span.name || '(no name)')),
      el('button', { class: 'quiet', type: 'button', 'aria-label': 'Close', title: 'Close (Esc)', onclick: close }, '✕')),
    span.error ? el('p', { class: 'notice bad' }, span.message || 'This span ended with an error.') : null,
    table(facts), parent,
    dropped ? el('p', { class: 'muted' }, `${dropped} dropped by the sender`) : null,
    section('Attributes', span.attributes.length, true, span.attributes.length ? table(span.attributes) : el('p', { class: 'muted' }, 'none')),
    span.events.length ? section('Events', span.events.length, true, span.events.slice(0, 500).map((event) => el('div', { class: 'event' },
      el('p', {}, el('b', {}, el('bdi', {}, event.name || '(no name)')), el('span', { class: 'muted' }, ` +${duration(event.at)}`)),
      event.attributes.length ? table(event.attributes) : null)),
    span.events.length > 500 ? el('p', { class: 'muted' }, `${span.events.length - 500} more`) : null) : null,
    span.links.length ? section('Links', span.links.length, true, span.links.slice(0, 200).map((link) => el('div', { class: 'event' },
      el('p', {}, link.traceId === trace.id && trace.byId.has(link.spanId)
        ? el('button', { class: 'quiet link', type: 'button', onclick: () => select(trace.byId.get(link.spanId)) }, el('bdi', {}, trace.byId.get(link.spanId).name))
        : el('a', { href: `/trace/${encodeURIComponent(link.traceId)}?span=${encodeURIComponent(link.spanId)}`, 'data-nav': true }, `${link.traceId.slice(0, 8)}… / ${link.spanId}`)),
      link.attributes.length ? table(link.attributes) : null))) : null,
    section('Process', span.process.length, true, table(span.process)),
    scope.length ? section('Scope', null, false, table(scope)) : null,
  ].filter(Boolean);
}
