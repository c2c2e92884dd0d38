// SPDX-License-Identifier: MIT
// One trace: head, overview, waterfall, and the chosen span's details.
import * as api from './api.js';
import { detailsOf } from './details.js';
import { VirtualList, canvas, cssColor, el } from './dom.js';
import { duration, hue, number, plural, serviceName, time } from './format.js';
import { build, text } from './model.js';
import { chip } from './search.js';

const ROW_HEIGHT = 28;
const TICKS = 4;
const INDENT = 14;
const MAX_INDENT = 20; // levels; deeper ones are not moved further

export function traceView(id, navigate) {
  let trace = null;
  let visible = [];
  let selected = null;
  const collapsed = new Set();
  let hits = new Set();
  const request = new AbortController();

  const head = el('div', { class: 'trace-head' });
  const body = el('div', { class: 'trace-body' });
  const element = el('div', { class: 'trace-view' }, head, body);
  const details = el('aside', { class: 'details', 'aria-label': 'Span', hidden: true });
  const find = el('input', { type: 'search', class: 'find', placeholder: 'Find in this trace', 'aria-label': 'Find in this trace',
    autocomplete: 'off', spellcheck: 'false', oninput: () => { look(); remember(); },
    onkeydown: (event) => { if (event.key === 'Enter') { event.preventDefault(); step(event.shiftKey ? -1 : 1); } } });
  const found = el('span', { class: 'muted found', role: 'status' });
  const list = new VirtualList({ class: 'waterfall', role: 'tree', 'aria-label': 'Spans', tabindex: '0' }, ROW_HEIGHT, row);
  const overview = canvas({ class: 'overview', role: 'img', 'aria-label': 'The whole trace' }, drawOverview);

  // ---- rows

  const percent = (ns) => 100 * ns / Math.max(1, trace.duration);

  function bar(span) {
    const left = Math.min(99.9, Math.max(0, percent(span.start)));
    const width = Math.min(100 - left, percent(span.duration));
    const late = left + width > 62;
    const label = late ? { right: `calc(${100 - left}% + 6px)` } : { left: `calc(${left + width}% + 6px)` };
    const inside = late && left < 12;
    return el('span', { class: 'track' },
      el('i', { class: `span-bar${span.error ? ' bad' : ''}`, style: { left: `${left}%`, width: `max(2px, ${width}%)` } }),
      span.events.slice(0, 50).map((event) => el('i', { class: 'event-mark', title: event.name,
        style: { left: `${Math.min(100, Math.max(0, percent(event.at)))}%` } })),
      el('span', { class: `span-length${inside ? ' inside' : ''}`, style: inside ? { left: `calc(${left}% + 6px)` } : label }, duration(span.duration)));
  }

  function row(i) {
    const span = visible[i];
    const open = span.children.length > 0 && !collapsed.has(span);
    const indent = Math.min(span.depth, MAX_INDENT) * INDENT;
    return el('div', { class: `span-row${span === selected ? ' selected' : ''}${hits.has(span) ? ' hit' : ''}`, role: 'treeitem', id: `span-${span.index}`,
      'aria-level': span.depth + 1, 'aria-selected': span === selected ? 'true' : 'false',
      'aria-expanded': span.children.length ? String(open) : undefined, 'data-span': span.id, style: { '--hue': hue(span.service) },
      onclick: () => { select(span); showDetails(); } },
    el('span', { class: 'label', style: { paddingLeft: `${indent + 6}px` } },
      span.children.length
        ? el('button', { class: 'fold', type: 'button', tabindex: '-1', title: `${plural(span.below, 'span')} below`, 'aria-label': open ? 'Collapse' : 'Expand',
          onclick: (event) => { event.stopPropagation(); select(span); fold(span); } }, open ? '▾' : '▸')
        : el('span', { class: 'fold' }),
      el('i', { class: 'dot' }),
      span.error ? el('b', { class: 'mark', title: span.message || 'error' }, '!') : !open && span.errorBelow ? el('b', { class: 'mark below', title: 'an error below' }, '!') : null,
      el('bdi', { class: 'op', title: span.name }, span.name || '(no name)'),
      span.parent?.service === span.service ? null : el('bdi', { class: 'svc' }, serviceName(span.service)),
      span.children.length && !open ? el('span', { class: 'badge' }, `+${number(span.below)}`) : null,
      span.orphan ? el('span', { class: 'badge', title: `parent ${span.parentId} is not here` }, 'no parent') : null),
    bar(span));
  }

  function rebuild() {
    visible = [];
    for (let i = 0; i < trace.spans.length;) {
      const span = trace.spans[i];
      visible.push(span);
      i += collapsed.has(span) ? 1 + span.below : 1;
    }
    visible.forEach((span, i) => { span.row = i; });
    list.setCount(visible.length);
  }

  function fold(span, close = !collapsed.has(span)) {
    if (!span.children.length) return;
    if (close) collapsed.add(span);
    else collapsed.delete(span);
    rebuild();
    list.reveal(selected ? selected.row : 0);
  }

  function foldAll(close) {
    collapsed.clear();
    if (close) trace.spans.filter((span) => span.children.length).forEach((span) => collapsed.add(span));
    while (close && selected?.parent) selected = selected.parent;
    rebuild();
    if (selected) list.reveal(selected.row);
  }

  function select(span) {
    for (let above = span.parent; above; above = above.parent) {
      if (collapsed.has(above)) {
        collapsed.delete(above);
        span.row = -1;
      }
    }
    if (span.row === -1) rebuild();
    const old = selected && list.rows.get(selected.row);
    old?.classList.remove('selected');
    old?.setAttribute('aria-selected', 'false');
    selected = span;
    list.reveal(span.row);
    const now = list.rows.get(span.row);
    now?.classList.add('selected');
    now?.setAttribute('aria-selected', 'true');
    list.element.setAttribute('aria-activedescendant', `span-${span.index}`);
    if (!details.hidden) showDetails();
    remember();
  }

  function showDetails() {
    const was = details.hidden;
    details.replaceChildren(...detailsOf(selected, trace, (span) => { select(span); }, hideDetails));
    details.hidden = false;
    details.scrollTop = was ? 0 : details.scrollTop;
    list.reveal(selected.row);
    remember();
  }

  function hideDetails() {
    details.hidden = true;
    list.element.focus({ preventScroll: true });
    remember();
  }

  function remember() {
    const query = new URLSearchParams();
    if (selected) query.set('span', selected.id);
    if (!details.hidden) query.set('details', '1');
    if (find.value) query.set('find', find.value);
    history.replaceState(history.state, '', `${location.pathname}${query.size ? `?${query}` : ''}`);
  }

  // ---- find

  function look() {
    const wanted = find.value.trim().toLowerCase();
    hits = new Set();
    if (wanted) {
      for (const span of trace.spans) {
        span.haystack ??= [span.name, span.service, span.id, span.kind, span.message, ...span.attributes.flatMap(([key, value]) => [key, text(value)]),
          ...span.events.flatMap((event) => [event.name, ...event.attributes.flatMap(([key, value]) => [key, text(value)])])].join('\n').toLowerCase();
        if (span.haystack.includes(wanted)) hits.add(span);
      }
    }
    found.textContent = wanted ? plural(hits.size, 'span') : '';
    list.redraw();
  }

  function step(direction) {
    const ordered = [...hits];
    if (!ordered.length) return;
    const at = ordered.indexOf(selected);
    const next = at >= 0 ? at + direction
      : direction > 0 ? Math.max(0, ordered.findIndex((span) => span.index > (selected?.index ?? -1))) : ordered.length - 1;
    select(ordered[(next + ordered.length) % ordered.length]);
  }

  function nextError(direction) {
    const errors = trace.spans.filter((span) => span.error);
    if (!errors.length) return;
    const from = selected?.index ?? -1;
    const next = direction > 0 ? errors.find((span) => span.index > from) : errors.findLast((span) => span.index < from);
    select(next || (direction > 0 ? errors[0] : errors[errors.length - 1]));
  }

  // ---- head and overview

  function drawOverview(context, width, height) {
    context.clearRect(0, 0, width, height);
    if (!trace) return;
    const each = Math.max(0.5, Math.min(5, (height - 8) / trace.spans.length));
    const dark = cssColor('--scheme') === 'dark';
    trace.spans.forEach((span, i) => {
      context.fillStyle = span.error ? cssColor('--error') : `hsl(${hue(span.service)} 50% ${dark ? 55 : 45}%)`;
      const x = width * span.start / Math.max(1, trace.duration);
      context.fillRect(x, 4 + (i * (height - 8)) / Math.max(trace.spans.length, (height - 8) / 5),
        Math.max(1.5, width * span.duration / Math.max(1, trace.duration)), Math.max(0.7, each - 1));
    });
  }

  const fact = (label, value, kind = '') => el('span', { class: `fact ${kind}` }, el('span', {}, label), el('b', {}, value));

  function showHead() {
    const root = trace.roots.find((span) => !span.parentId) || trace.roots[0];
    document.title = `${root.name || 'trace'} · aistrace`;
    const copy = el('button', { class: 'quiet id', type: 'button', title: 'Copy the trace id', onclick: async () => {
      try { await navigator.clipboard.writeText(trace.id); copy.dataset.done = 'copied'; } catch { copy.dataset.done = 'not allowed'; }
      setTimeout(() => { delete copy.dataset.done; }, 1200);
    } }, trace.id);
    head.replaceChildren(
      el('div', { class: 'title' }, el('a', { class: 'back', href: '/search', title: 'Back to the list (Esc)', onclick: (event) => { event.preventDefault(); back(); } }, '← Traces'),
        el('h1', {}, el('bdi', {}, root.name || '(no name)')),
        copy, el('span', { class: 'grow' }),
        el('a', { href: `/api/traces/${trace.id}`, target: '_blank', rel: 'noopener' }, 'Jaeger JSON'),
        el('a', { href: `/v1/traces?trace=${trace.id}`, target: '_blank', rel: 'noopener' }, 'OTLP JSON')),
      el('div', { class: 'facts' }, fact('Start', time(trace.startNs, true)), fact('Duration', duration(trace.duration)),
        fact('Spans', number(trace.spans.length)), fact('Depth', number(trace.depth)),
        trace.errors ? el('button', { class: 'fact bad', type: 'button', title: 'To the next error (e)', onclick: () => nextError(1) }, el('span', {}, 'Errors'), el('b', {}, number(trace.errors)))
          : fact('Errors', 'none'),
        el('span', { class: 'legend' }, [...trace.services].slice(0, 12).map(([name, count]) => chip(name, count)))));
  }

  function back() {
    if (history.state?.fromList) history.back();
    else navigate('/search');
  }

  function ruler() {
    const marks = [];
    for (let i = 0; i <= TICKS; i++) {
      marks.push(el('span', { class: `tick${i === TICKS ? ' last' : ''}`, style: { left: `${100 * i / TICKS}%` } }, duration(trace.duration * i / TICKS)));
    }
    return el('div', { class: 'ruler' },
      el('span', { class: 'label' }, el('button', { class: 'quiet', type: 'button', onclick: () => foldAll(false), title: 'Expand all (+)' }, '+'),
        el('button', { class: 'quiet', type: 'button', onclick: () => foldAll(true), title: 'Collapse all (−)' }, '−'), find, found),
      el('span', { class: 'track' }, marks));
  }

  function say(message, kind = '') {
    head.replaceChildren(el('div', { class: 'title' }, el('a', { class: 'back', href: '/search', 'data-nav': true }, '← Traces'), el('h1', {}, 'Trace')));
    body.replaceChildren(el('div', { class: `notice ${kind}` }, message));
  }

  async function load() {
    say('Loading …');
    try {
      const wanted = id.trim().toLowerCase();
      if (!/^[0-9a-f]{1,32}$/.test(wanted)) throw new Error('A trace id is up to 32 hexadecimal digits.');
      const json = await api.trace(wanted.padStart(32, '0'), request.signal);
      trace = json && build(json);
      if (!trace) throw new Error('This trace is not here: it has not arrived yet, or it was evicted to make room for newer ones.');
    } catch (error) {
      if (error.name !== 'AbortError') say(error.message, 'bad');
      return;
    }
    showHead();
    body.replaceChildren(el('div', { class: 'timeline' }, overview, ruler(), list.element,
      el('div', { class: 'keys' }, el('kbd', {}, '↑'), el('kbd', {}, '↓'), ' choose ', el('kbd', {}, '←'), el('kbd', {}, '→'), ' fold ', el('kbd', {}, 'Enter'), ' details ',
        trace.errors ? [el('kbd', {}, 'e'), ' next error '] : null, el('kbd', {}, '/'), ' find ', el('kbd', {}, 'Esc'), ' back')), details);
    const query = new URLSearchParams(location.search);
    find.value = query.get('find') || '';
    rebuild();
    if (find.value) look();
    selected = trace.byId.get(query.get('span')) || trace.spans[0];
    const withDetails = query.get('details') === '1';
    select(selected);
    if (withDetails) showDetails();
    overview.redraw();
    list.element.focus({ preventScroll: true });
  }

  return {
    element,
    shown: load,
    update: () => true,
    close() {
      request.abort();
      list.observer.disconnect();
    },
    key_(event) {
      if (event.key === 'Escape') {
        if (trace && !details.hidden) hideDetails();
        else back();
        return;
      }
      if (!trace) return;
      const onControl = /^(BUTTON|A|SUMMARY)$/.test(event.target.tagName);
      const at = selected.row;
      const page = Math.max(1, Math.floor(list.element.clientHeight / ROW_HEIGHT) - 1);
      const moves = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: visible.length - 1 };
      const inDetails = details.contains(event.target);
      if (event.key in moves && !(inDetails && /^(Page|Home|End|Arrow)/.test(event.key))) select(visible[Math.max(0, Math.min(visible.length - 1, moves[event.key]))]);
      else if (event.key === 'ArrowRight' || event.key === 'l') {
        if (collapsed.has(selected)) fold(selected, false);
        else if (selected.children.length) select(selected.children[0]);
      } else if (event.key === 'ArrowLeft' || event.key === 'h') {
        if (selected.children.length && !collapsed.has(selected)) fold(selected, true);
        else if (selected.parent) select(selected.parent);
      } else if ((event.key === 'Enter' || event.key === ' ') && !onControl) {
        if (details.hidden) showDetails();
        else hideDetails();
      } else if (event.key === 'e' || event.key === 'E') nextError(event.key === 'e' ? 1 : -1);
      else if (event.key === 'n' || event.key === 'N') step(event.key === 'n' ? 1 : -1);
      else if (event.key === '+' || event.key === '=') foldAll(false);
      else if (event.key === '-') foldAll(true);
      else if (event.key === '/') find.focus();
      else return;
      event.preventDefault();
    },
  };
}
