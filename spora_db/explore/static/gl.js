// Compositing channels on the graphics card: one texture per plane, one shader, the mix that plot.composite has.

export const CHANNELS = 8;
export const LOST = "The browser took the graphics card away. What was drawn comes back with it; if it does not, load the page again.";

const VERTEX = `#version 300 es
in vec2 corner;
uniform vec4 place;  // left, top, right, bottom in clip space
out vec2 at;
void main() {
  at = corner;
  gl_Position = vec4(mix(place.x, place.z, corner.x), mix(place.y, place.w, corner.y), 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
in vec2 at;
uniform sampler2D plane[${CHANNELS}];
uniform vec3 colour[${CHANNELS}];
uniform vec3 limits[${CHANNELS}];  // black, full colour, gamma
uniform int count;
uniform ivec2 size;
uniform bool bright;  // natural colours: they add up, and not-a-number is white
out vec4 colourOut;
float level(float value, vec3 limit) {
  if (!(limit.y > limit.x) || isnan(value)) return 0.0;
  return pow(clamp((value - limit.x) / (limit.y - limit.x), 0.0, 1.0), limit.z);
}
void main() {
  ivec2 texel = min(ivec2(at * vec2(size)), size - 1);
  vec3 sum = vec3(0.0);
  float weights = 0.0, strongest = 0.0;
  bool nothing = true;
${Array.from({ length: CHANNELS }, (_, k) => `  if (count > ${k}) {
    float value = texelFetch(plane[${k}], texel, 0).r;
    nothing = nothing && isnan(value);
    float found = level(value, limits[${k}]);
    float weight = bright ? found : found * found;
    sum += weight * colour[${k}];
    weights += weight;
    strongest = max(strongest, found);
  }`).join("\n")}
  vec3 mixed = bright || weights == 0.0 ? sum : sum * (strongest / weights);
  colourOut = vec4(bright && nothing ? vec3(1.0) : mixed, 1.0);
}`;

// over what is drawn already: black shows it, full colour covers it
const LAY = `#version 300 es
precision highp float;
uniform sampler2D drawn;
uniform float opacity;
out vec4 colourOut;
void main() {
  vec3 colour = opacity * texelFetch(drawn, ivec2(gl_FragCoord.xy), 0).rgb;
  colourOut = vec4(colour, max(colour.r, max(colour.g, colour.b)));
}`;

export class Compositor {
  // textures are gone once the card is taken away: `changed` is called then, and when the card is back
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.gl = drawing(canvas, { alpha: false, lost: changed, back: () => {
      this.begin();
      changed();
    } });
    this.begin();
  }

  get lost() {
    return this.gl.isContextLost();
  }

  begin() {
    const { gl } = this;
    this.sheet = null;
    this.program = linked(gl, VERTEX, FRAGMENT);
    gl.useProgram(this.program);
    this.at = Object.fromEntries(
      ["place", "plane", "colour", "limits", "count", "size", "bright"].map((name) => [name, gl.getUniformLocation(this.program, name)]),
    );
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    const corner = gl.getAttribLocation(this.program, "corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.uniform1iv(this.at.plane, Array.from({ length: CHANNELS }, (_, k) => k));
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.none = this.texture(new Float32Array([0]), 1, 1);
  }

  // float32, or the bits of float16 in a Uint16Array
  texture(values, width, height) {
    if (this.lost) return null;  // it is asked for again
    const gl = this.gl;
    const half = values instanceof Uint16Array;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.NEAREST], [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, name, value);
    const [format, kind] = half ? [gl.R16F, gl.HALF_FLOAT] : [gl.R32F, gl.FLOAT];
    gl.texImage2D(gl.TEXTURE_2D, 0, format, width, height, 0, gl.RED, kind, values);
    return texture;
  }

  forget(texture) {
    this.gl.deleteTexture(texture);
  }

  clear(width, height, white) {
    const gl = this.gl;
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    gl.viewport(0, 0, width, height);
    gl.clearColor(white ? 1 : 0, white ? 1 : 0, white ? 1 : 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  // channels: [{texture, colour: [r, g, b], limits: [low, high, gamma]}]; the place in pixels of the canvas
  draw(channels, { left, top, width, height }, size, bright = false) {
    const gl = this.gl;
    const shown = channels.slice(0, CHANNELS);
    gl.uniform1i(this.at.count, shown.length);
    gl.uniform1i(this.at.bright, bright ? 1 : 0);
    gl.uniform2i(this.at.size, size.width, size.height);
    const x = (value) => (2 * value) / this.canvas.width - 1;
    const y = (value) => 1 - (2 * value) / this.canvas.height;
    gl.uniform4f(this.at.place, x(left), y(top), x(left + width), y(top + height));
    const flat = (name) => Float32Array.from({ length: 3 * CHANNELS }, (_, k) => shown[Math.floor(k / 3)]?.[name][k % 3] ?? 0);
    gl.uniform3fv(this.at.colour, flat("colour"));
    gl.uniform3fv(this.at.limits, flat("limits"));
    for (let k = 0; k < CHANNELS; k += 1) {
      gl.activeTexture(gl.TEXTURE0 + k);
      gl.bindTexture(gl.TEXTURE_2D, shown[k]?.texture ?? this.none);
    }
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  // what is drawn from now on is kept apart from the canvas, until it is laid over it
  apart() {
    const gl = this.gl;
    const { width, height } = this.canvas;
    this.sheet ??= { frame: gl.createFramebuffer(), program: linked(gl, VERTEX, LAY) };
    const { sheet } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, sheet.frame);
    if (sheet.width !== width || sheet.height !== height) {
      if (sheet.texture) gl.deleteTexture(sheet.texture);
      Object.assign(sheet, { width, height, texture: this.blank(width, height) });
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, sheet.texture, 0);
    }
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  lay(opacity) {
    const { gl, sheet } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(sheet.program);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, sheet.texture);
    gl.uniform1i(gl.getUniformLocation(sheet.program, "drawn"), 0);
    gl.uniform1f(gl.getUniformLocation(sheet.program, "opacity"), opacity);
    gl.uniform4f(gl.getUniformLocation(sheet.program, "place"), -1, 1, 1, -1);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.disable(gl.BLEND);
    gl.useProgram(this.program);
  }

  blank(width, height) {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    return texture;
  }

  // RGBA of the whole canvas, its first row on top
  pixels() {
    const { width, height } = this.canvas;
    const found = new Uint8Array(4 * width * height);
    this.gl.readPixels(0, 0, width, height, this.gl.RGBA, this.gl.UNSIGNED_BYTE, found);
    const rows = Array.from({ length: height }, (_, row) => found.subarray(4 * width * (height - 1 - row), 4 * width * (height - row)));
    const turned = new Uint8Array(found.length);
    rows.forEach((row, k) => turned.set(row, 4 * width * k));
    return turned;
  }
}

// drivers begin anew, laptops sleep, other pages want the card: all that was put on it is gone, until it is given back
export function drawing(canvas, { alpha, lost, back }) {
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault();  // else it is never given back
    lost();
  });
  canvas.addEventListener("webglcontextrestored", back);
  const gl = canvas.getContext("webgl2", { alpha, antialias: false, preserveDrawingBuffer: true });
  if (!gl) throw new Error("This browser has no WebGL 2; images and points cannot be shown.");
  return gl;
}

export function linked(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.bindAttribLocation(program, 0, "corner");  // of both programs of a compositor
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}

export const rgb = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16) / 255);
