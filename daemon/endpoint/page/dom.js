// SPDX-License-Identifier: MIT
// Elements from data. Text only ever becomes text: nothing here takes markup. Children may be in lists of any depth.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'class') element.className = value;
    else if (key === 'style') {
      for (const [name, text] of Object.entries(value)) {
        if (name.startsWith('--')) element.style.setProperty(name, text);
        else element.style[name] = text;
      }
    } else if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// A list of rows of one height of which only those in sight exist. render(i) -> element.
export class VirtualList {
  constructor(properties, rowHeight, render) {
    this.rowHeight = rowHeight;
    this.render = render;
    this.count = 0;
    this.rows = new Map();
    this.spacer = el('div', { class: 'spacer' });
    this.element = el('div', { ...properties, onscroll: () => this.draw() }, this.spacer);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  setCount(count) {
    this.count = count;
    this.spacer.style.height = `${count * this.rowHeight}px`;
    this.redraw();
  }

  redraw() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.draw();
  }

  draw() {
    const margin = 8;
    const first = Math.max(0, Math.floor(this.element.scrollTop / this.rowHeight) - margin);
    const last = Math.min(this.count,
      Math.ceil((this.element.scrollTop + this.element.clientHeight) / this.rowHeight) + margin);
    for (const [i, row] of this.rows) {
      if (i < first || i >= last) {
        row.remove();
        this.rows.delete(i);
      }
    }
    for (let i = first; i < last; i++) {
      if (this.rows.has(i)) continue;
      const row = this.render(i);
      row.style.top = `${i * this.rowHeight}px`;
      row.style.height = `${this.rowHeight}px`;
      this.rows.set(i, row);
      this.spacer.append(row);
    }
  }

  reveal(i) {
    const top = i * this.rowHeight;
    const view = this.element;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + this.rowHeight > view.scrollTop + view.clientHeight)
      view.scrollTop = top + this.rowHeight - view.clientHeight;
    this.draw();
  }
}

// A canvas that fills its box, drawn anew when the box or the colours change. draw(context, width, height)
export function canvas(properties, draw) {
  const element = el('canvas', properties);
  element.redraw = () => {
    const scale = window.devicePixelRatio || 1;
    const width = element.clientWidth;
    const height = element.clientHeight;
    if (!width || !height) return;
    element.width = Math.round(width * scale);
    element.height = Math.round(height * scale);
    const context = element.getContext('2d');
    context.scale(scale, scale);
    draw(context, width, height);
  };
  new ResizeObserver(element.redraw).observe(element);
  return element;
}

export function cssColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
