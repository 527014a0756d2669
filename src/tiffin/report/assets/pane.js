// A canvas that shows an image with zoom and pan. Panes can share a camera.

const MOST_ZOOM = 64; // screen pixels for a pixel

/** Where a camera looks: screen = pixel * scale + offset, in CSS pixels. */
class Camera {
  scale = 1;
  x = 0;
  y = 0;
  fitted = true;
  panes = [];

  change(change) {
    change(this);
    this.panes.forEach((pane) => pane.draw());
  }

  fit() {
    this.change(() => {
      this.fitted = true;
    });
  }

  /** Zoom by a factor around a point of the screen. */
  zoom(factor, x, y) {
    const [pane] = this.panes;
    this.change(() => {
      const scale = Math.min(MOST_ZOOM, Math.max(pane.fittingScale() / 2, this.scale * factor));
      this.x = x - (x - this.x) * scale / this.scale;
      this.y = y - (y - this.y) * scale / this.scale;
      this.scale = scale;
      this.fitted = false;
    });
  }

  pan(dx, dy) {
    this.change(() => {
      this.x += dx;
      this.y += dy;
      this.fitted = false;
    });
  }
}

/** A canvas with an image. `onPoint(row, column)` tells what is under the pointer. */
class Pane {
  constructor(canvas, camera, onPoint) {
    this.canvas = canvas;
    this.camera = camera;
    this.onPoint = onPoint;
    this.source = null;
    this.cursor = null;
    this.pointers = new Map();
    camera.panes.push(this);
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.camera.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
      this.point(event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.point(event.offsetX, event.offsetY); // a finger does not move first
    });
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("dblclick", (event) => this.camera.zoom(2, event.offsetX, event.offsetY));
  }

  /** Show a canvas with an image; `unit` is how many pixels of the file one stands for. */
  show(source, unit) {
    this.source = source;
    this.unit = unit;
    this.draw();
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    const here = [event.offsetX, event.offsetY];
    this.point(...here);
    if (!before) return;
    const second = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (second) { // two fingers
      const apart = (p) => Math.hypot(p[0] - second[0], p[1] - second[1]);
      this.camera.zoom(apart(here) / Math.max(1, apart(before)), second[0], second[1]);
    } else {
      this.camera.pan(here[0] - before[0], here[1] - before[1]);
    }
    this.pointers.set(event.pointerId, here);
  }

  point(x, y) {
    if (!this.source) return;
    const { scale, x: left, y: top } = this.camera;
    const column = Math.floor((x - left) / scale / this.unit);
    const row = Math.floor((y - top) / scale / this.unit);
    const inside = row >= 0 && column >= 0 && row < this.source.height && column < this.source.width;
    this.cursor = null;
    if (inside) this.onPoint(row, column);
  }

  /** Put the cursor on a pixel, and bring it into sight. */
  moveCursor(rows, columns) {
    if (!this.source) return;
    const { width, height } = this.source;
    const [row, column] = this.cursor ?? [Math.floor(height / 2), Math.floor(width / 2)];
    const moved = this.cursor ? [row + rows, column + columns] : [row, column];
    const clamp = (value, most) => Math.min(most - 1, Math.max(0, value));
    this.cursor = [clamp(moved[0], height), clamp(moved[1], width)];
    const { scale } = this.camera;
    const [x, y] = [1, 0].map((k) => (this.cursor[k] + 0.5) * this.unit * scale + (k ? this.camera.x : this.camera.y));
    const off = (value, size) => (value < 0 ? -value + size / 4 : value > size ? size * 0.75 - value : 0);
    const [dx, dy] = [off(x, this.canvas.clientWidth), off(y, this.canvas.clientHeight)];
    if (dx || dy) this.camera.pan(dx, dy);
    this.draw();
    this.onPoint(...this.cursor);
  }

  fittingScale() {
    if (!this.source) return 1;
    return Math.min(
      this.canvas.clientWidth / this.source.width,
      this.canvas.clientHeight / this.source.height,
    ) / this.unit;
  }

  draw() {
    const { canvas, source, camera } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!source || !width || !height) return;
    if (camera.fitted && camera.panes[0] === this) {
      camera.scale = this.fittingScale();
      camera.x = (width - source.width * this.unit * camera.scale) / 2;
      camera.y = (height - source.height * this.unit * camera.scale) / 2;
    }
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    const each = camera.scale * this.unit;
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = each * ratio < 1;
    context.drawImage(source, camera.x, camera.y, source.width * each, source.height * each);
    if (this.cursor) {
      const [row, column] = this.cursor;
      const size = Math.max(each, 7);
      const x = camera.x + (column + 0.5) * each - size / 2;
      const y = camera.y + (row + 0.5) * each - size / 2;
      for (const [colour, lines] of [["#000", 3], ["#fff", 1]]) {
        context.strokeStyle = colour;
        context.lineWidth = lines;
        context.strokeRect(x - 1.5, y - 1.5, size + 3, size + 3);
      }
    }
  }
}
