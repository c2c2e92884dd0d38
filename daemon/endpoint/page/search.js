// SPDX-License-Identifier: MIT
// The search form, the scatter of durations, and the list of traces.
import * as api from './api.js';
import { VirtualList, canvas, cssColor, el } from './dom.js';
import { duration, hue, plural, serviceName, time } from './format.js';

const ROW_HEIGHT = 46;
const LOOKBACKS = [['', 'all that is kept'], ['5m', 'last 5 minutes'], ['15m', 'last 15 minutes'], ['1h', 'last hour'],
  ['6h', 'last 6 hours'], ['1d', 'last day']];
const LIMITS = ['20', '100', '500', '1000', '10000', '100000'];
const SORTS = {
  newest: ['newest first', (a, b) => (a.startNs < b.startNs ? 1 : a.startNs > b.startNs ? -1 : 0)],
  oldest: ['oldest first', (a, b) => (a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0)],
  longest: ['longest first', (a, b) => b.duration_ns - a.duration_ns],
  spans: ['most spans first', (a, b) => b.spans - a.spans],
  errors: ['most errors first', (a, b) => b.errors - a.errors],
};
const FIELDS = ['service', 'operation', 'tags', 'minDuration', 'maxDuration', 'lookback', 'limit', 'errors', 'sort'];
const DEFAULTS = { limit: '100', sort: 'newest' };

// key=value pairs as people type them: a=b "c d"="e f" error=true
export function parseTags(text) {
  const tags = {};
  const pattern = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s="]+))=(?:"((?:[^"\\]|\\.)*)"|(\S*))(?=\s|$)/gy;
  const unquote = (part) => part.replace(/\\(.)/g, '$1');
  let end = 0;
  for (let match; (match = pattern.exec(text)); end = pattern.lastIndex) {
    tags[match[1] !== undefined ? unquote(match[1]) : match[2]] = match[3] !== undefined ? unquote(match[3]) : match[4];
  }
  if (text.slice(end).trim()) throw new Error(`Tags are key=value, with quotes around spaces; not understood: ${text.slice(end).trim()}`);
  return tags;
}

function fromUrl() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(FIELDS.map((field) => [field, query.get(field) ?? DEFAULTS[field] ?? '']));
}

function toUrl(state) {
  const query = new URLSearchParams();
  for (const field of FIELDS) {
    if (state[field] && state[field] !== DEFAULTS[field]) query.set(field, state[field]);
  }
  const text = query.toString();
  return text ? `/search?${text}` : '/search';
}

function toApi(state) {
  const tags = state.tags.trim() ? parseTags(state.tags) : {};
  if (state.errors) tags.error = 'true';
  const { service, operation, minDuration, maxDuration, lookback, limit } = state;
  return { service, operation, minDuration, maxDuration, lookback, limit,
    tags: Object.keys(tags).length ? JSON.stringify(tags) : '' };
}

const option = (value, label, selected) => el('option', { value, selected: value === selected }, label);
const field = (label, name, control) => {
  control.id = `field-${name}`;
  control.name = name;
  return el('label', { class: `field field-${name}`, for: control.id }, el('span', {}, label), control);
};

export function chip(service, count, errors) {
  return el('span', { class: 'chip', style: { '--hue': hue(service) } }, el('i', { class: 'dot' }),
    el('bdi', {}, serviceName(service)), count === undefined ? null : el('b', {}, String(count)),
    errors ? el('b', { class: 'bad', title: plural(errors, 'error') }, String(errors)) : null);
}

export function searchView(navigate, kept) {
  let state = fromUrl();
  let traces = [];
  let selected = -1;
  let longest = 1;
  let request = null;

  // ---- form

  const controls = {
    service: el('select', { onchange: () => { controls.operation.value = ''; fillOperations(); } }),
    operation: el('select'),
    tags: el('input', { type: 'text', placeholder: 'http.response.status_code=500', autocomplete: 'off', spellcheck: 'false' }),
    minDuration: el('input', { type: 'text', placeholder: '1.2s, 100ms', autocomplete: 'off', spellcheck: 'false' }),
    maxDuration: el('input', { type: 'text', placeholder: '500us', autocomplete: 'off', spellcheck: 'false' }),
    lookback: el('select', {}, LOOKBACKS.map(([value, label]) => option(value, label))),
    limit: el('select', {}, LIMITS.map((value) => option(value, Number(value).toLocaleString('en')))),
  };
  const errorsOnly = el('input', { type: 'checkbox', id: 'field-errors', name: 'errors' });
  const form = el('form', { class: 'search', 'aria-label': 'Search', onsubmit: (event) => { event.preventDefault(); submit(); } },
    field('Service', 'service', controls.service), field('Operation', 'operation', controls.operation),
    field('Tags', 'tags', controls.tags), field('Min duration', 'minDuration', controls.minDuration),
    field('Max duration', 'maxDuration', controls.maxDuration), field('Time', 'lookback', controls.lookback),
    field('Limit', 'limit', controls.limit),
    el('label', { class: 'check', for: 'field-errors' }, errorsOnly, 'Errors only'),
    el('button', { class: 'primary', type: 'submit' }, 'Find traces'));

  function submit(changes = {}) {
    const next = { ...state, errors: errorsOnly.checked ? 'true' : '', ...changes };
    for (const [name, control] of Object.entries(controls)) next[name] = control.value.trim();
    const url = toUrl(next);
    if (url === location.pathname + location.search) load();
    else navigate(url);
  }

  function fillSelect(select, all, names, value) {
    const list = value && !names.includes(value) ? [...names, value] : names;
    select.replaceChildren(option('', all, value), ...list.map((name) => option(name, name, value)));
    select.value = value;
  }

  async function fillOperations() {
    const service = controls.service.value;
    controls.operation.disabled = !service;
    fillSelect(controls.operation, 'all operations', [], controls.operation.value);
    if (!service) return;
    const names = await api.operations(service).catch(() => []);
    if (controls.service.value === service)
      fillSelect(controls.operation, 'all operations', [...new Set(names)], state.service === service ? state.operation : '');
  }

  async function fillForm() {
    for (const name of ['tags', 'minDuration', 'maxDuration', 'lookback', 'limit']) {
      const control = controls[name];
      if (control.tagName === 'SELECT' && state[name] && ![...control.options].some((o) => o.value === state[name]))
        control.append(option(state[name], state[name]));
      control.value = state[name];
    }
    errorsOnly.checked = Boolean(state.errors);
    fillSelect(controls.service, 'all services', kept.get('services') || [], state.service);
    const known = await api.services().catch(() => []);
    kept.set('services', known);
    known.forEach(hue);
    fillSelect(controls.service, 'all services', known, controls.service.value || state.service);
    await fillOperations();
  }

  // ---- results

  const heading = el('h1', {}, 'Traces');
  const sort = el('select', { 'aria-label': 'Order', onchange: () => submit({ sort: sort.value }) },
    Object.entries(SORTS).map(([value, [label]]) => option(value, label)));
  const message = el('div', { class: 'notice', hidden: true });

  const scatter = canvas({ class: 'scatter', role: 'img', 'aria-label': 'Durations over time; the list has the same traces' }, drawScatter);
  let points = [];
  function drawScatter(context, width, height) {
    const left = 58, right = 12, top = 10, bottom = 20;
    context.clearRect(0, 0, width, height);
    points = [];
    if (!traces.length) return;
    let first = traces[0].startNs, last = first, low = Infinity, high = 1;
    for (const trace of traces) {
      if (trace.startNs < first) first = trace.startNs;
      if (trace.startNs > last) last = trace.startNs;
      low = Math.min(low, Math.max(1, trace.duration_ns));
      high = Math.max(high, trace.duration_ns);
    }
    const span = Number(last - first) || 1;
    const logs = [Math.floor(Math.log10(low)), Math.max(Math.ceil(Math.log10(high)), Math.floor(Math.log10(low)) + 1)];
    const y = (ns) => top + (height - top - bottom) * (1 - (Math.log10(Math.max(1, ns)) - logs[0]) / (logs[1] - logs[0]));
    const x = (ns) => left + (width - left - right) * (last === first ? 0.5 : Number(ns - first) / span);
    context.font = '11px system-ui, sans-serif';
    context.fillStyle = cssColor('--muted');
    context.strokeStyle = cssColor('--line');
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const step = Math.max(1, Math.ceil((logs[1] - logs[0]) / 3));
    for (let power = logs[0]; power <= logs[1]; power += step) {
      const at = Math.round(y(10 ** power)) + 0.5;
      context.beginPath();
      context.moveTo(left, at);
      context.lineTo(width - right, at);
      context.stroke();
      context.fillText(duration(10 ** power).replace('.00', '').replace('.0', ''), left - 8, at);
    }
    context.textBaseline = 'alphabetic';
    context.textAlign = 'left';
    context.fillText(time(first), left, height - 5);
    context.textAlign = 'right';
    if (last !== first) context.fillText(time(last), width - right, height - 5);
    const good = cssColor('--accent');
    const bad = cssColor('--error');
    context.globalAlpha = traces.length > 2000 ? 0.35 : 0.65;
    const radius = traces.length > 2000 ? 2 : 3.5;
    for (const errors of [false, true]) {
      context.fillStyle = errors ? bad : good;
      for (const trace of traces) {
        if ((trace.errors > 0) !== errors) continue;
        const px = x(trace.startNs), py = y(trace.duration_ns);
        points.push([px, py, trace]);
        context.beginPath();
        context.arc(px, py, radius, 0, 2 * Math.PI);
        context.fill();
      }
    }
    context.globalAlpha = 1;
  }
  function nearest(event) {
    let best = null, distance = 12 * 12;
    for (const point of points) {
      const d = (point[0] - event.offsetX) ** 2 + (point[1] - event.offsetY) ** 2;
      if (d <= distance) [best, distance] = [point[2], d];
    }
    return best;
  }
  scatter.addEventListener('mousemove', (event) => {
    const trace = nearest(event);
    scatter.style.cursor = trace ? 'pointer' : '';
    scatter.title = trace ? `${serviceName(trace.root.service)}: ${trace.root.name}\n${duration(trace.duration_ns)}, ${plural(trace.spans, 'span')}` : '';
  });
  scatter.addEventListener('click', (event) => {
    const trace = nearest(event);
    if (trace) navigate(`/trace/${trace.traceID}`);
  });

  const list = new VirtualList({ class: 'rows', role: 'list', 'aria-label': 'Traces', tabindex: '0' }, ROW_HEIGHT, row);
  function row(i) {
    const trace = traces[i];
    const isRoot = (service) => service.name === trace.root.service;
    const shown = [...trace.services.filter(isRoot), ...trace.services.filter((service) => !isRoot(service))].slice(0, 4);
    return el('a', { class: `row${i === selected ? ' selected' : ''}${trace.errors ? ' failed' : ''}`, role: 'listitem',
      href: `/trace/${trace.traceID}`, 'data-nav': true, tabindex: '-1', 'data-index': i,
      'aria-label': `${serviceName(trace.root.service)} ${trace.root.name}, ${duration(trace.duration_ns)}, ${plural(trace.spans, 'span')}${trace.errors ? `, ${plural(trace.errors, 'error')}` : ''}` },
    el('span', { class: 'what' },
      el('span', { class: 'name' }, el('bdi', { class: 'op' }, trace.root.name || '(no name)'),
        trace.errors ? el('span', { class: 'badge bad' }, plural(trace.errors, 'error')) : null,
        trace.complete ? null : el('span', { class: 'badge', title: 'The root span has not arrived, or was dropped' }, 'no root')),
      el('span', { class: 'sub' }, shown.map((service) => chip(service.name, service.spans, service.errors)),
        trace.services.length > 4 ? el('span', { class: 'muted' }, `+${trace.services.length - 4}`) : null)),
    el('span', { class: 'id' }, trace.traceID.slice(0, 8)),
    el('span', { class: 'count' }, plural(trace.spans, 'span')),
    el('span', { class: 'length' }, el('span', { class: 'bar' }, el('i', { style: { width: `${Math.max(0.5, 100 * trace.duration_ns / longest)}%` } })),
      el('span', {}, duration(trace.duration_ns))),
    el('time', { class: 'when' }, time(trace.startNs)));
  }

  function select(i) {
    if (!traces.length) return;
    const old = list.rows.get(selected);
    selected = Math.max(0, Math.min(traces.length - 1, i));
    old?.classList.remove('selected');
    list.reveal(selected);
    list.rows.get(selected)?.classList.add('selected');
  }

  function say(text, kind = '') {
    message.hidden = !text;
    message.className = `notice ${kind}`;
    message.textContent = text;
  }

  function showTraces() {
    traces.sort((SORTS[state.sort] || SORTS.newest)[1]);
    sort.value = SORTS[state.sort] ? state.sort : 'newest';
    longest = traces.reduce((most, trace) => Math.max(most, trace.duration_ns), 1);
    const limited = Number(state.limit) > 0 && traces.length >= Number(state.limit);
    heading.textContent = plural(traces.length, 'trace');
    heading.title = limited ? 'The newest that match; raise the limit for more' : '';
    if (limited) heading.append(el('small', {}, ' the newest that match'));
    selected = -1;
    list.setCount(traces.length);
    results.classList.toggle('empty', traces.length === 0);
    scatter.redraw();
  }

  async function load() {
    request?.abort();
    request = new AbortController();
    const mine = request;
    results.classList.add('loading');
    try {
      const found = await api.summaries(toApi(state), mine.signal);
      if (mine !== request) return;
      for (const trace of found) trace.startNs = BigInt(trace.start_ns);
      traces = found;
      const filtered = FIELDS.some((name) => state[name] && state[name] !== DEFAULTS[name] && name !== 'sort');
      say(found.length ? '' : filtered ? 'No trace matches. Widen the search, or look at all that is kept.'
        : 'No traces yet. Do something that is traced, such as `ais put README.md ais://nnn`, or `aistrace gen`, and look again.');
      list.element.scrollTop = 0;
      showTraces();
    } catch (error) {
      if (error.name === 'AbortError' || mine !== request) return;
      traces = [];
      showTraces();
      heading.textContent = 'Traces';
      say(error.message, 'bad');
    } finally {
      if (mine === request) results.classList.remove('loading');
    }
  }

  const results = el('section', { class: 'results', 'aria-label': 'Results' },
    el('div', { class: 'results-head' }, heading, sort,
      el('span', { class: 'keys' }, el('kbd', {}, '↑'), el('kbd', {}, '↓'), ' choose ', el('kbd', {}, 'Enter'), ' open ', el('kbd', {}, '/'), ' search')),
    scatter, message, list.element);
  const element = el('div', { class: 'search-view' }, form, results);

  return {
    element,
    shown() {
      const held = kept.get('list');
      fillForm();
      if (held && held.url === toUrl(state) && held.traces.length) { // as one left it; Find traces asks anew
        traces = held.traces;
        showTraces();
        list.element.scrollTop = held.scroll;
        if (held.selected >= 0) select(held.selected);
      } else {
        load();
      }
      list.element.focus({ preventScroll: true });
    },
    update() {
      const before = state;
      state = fromUrl();
      fillForm();
      if (FIELDS.every((name) => name === 'sort' || before[name] === state[name]) && before.sort !== state.sort) showTraces();
      else load();
      return true;
    },
    close() {
      request?.abort();
      kept.set('list', { url: toUrl(state), traces, scroll: list.element.scrollTop, selected });
      list.observer.disconnect();
    },
    key_(event) {
      const page = Math.max(1, Math.floor(list.element.clientHeight / ROW_HEIGHT) - 1);
      const moves = { ArrowDown: selected + 1, j: selected + 1, ArrowUp: selected - 1, k: selected - 1,
        PageDown: selected + page, PageUp: selected - page, Home: 0, End: traces.length - 1 };
      if (event.key in moves) select(moves[event.key]);
      else if (event.key === 'Enter' && selected >= 0 && event.target.tagName !== 'BUTTON' && event.target.tagName !== 'A') navigate(`/trace/${traces[selected].traceID}`);
      else if (event.key === '/') controls.tags.focus();
      else return;
      event.preventDefault();
    },
  };
}
